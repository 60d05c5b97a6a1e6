"""What comes next in the learning of a machine: wait, train, or arm. No clock and no files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from monitor.learning.collector import Collector
from monitor.learning.journal import Journal, UnseenSound
from monitor.learning.pieces import Piece
from monitor.learning.settings import LearningSettings
from monitor.learning.sorting import LEAST_PIECES, pieces_while_off
from monitor.text.wording import counted, duration

WEEK_S = 7 * 86_400.0
_LEAST_NEW_PIECES = 4
_SOONER = 4.0
"""On the first day, a new bundle is made when the machine has run this many times as long."""
_CONFIDENCE = 0.99
_LEAST_SCORED = 0.05
"""Share of a day that must have been scored before the machine is armed."""


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next. ``reason``: why, or what is missing."""

    action: Literal["wait", "train", "arm"]
    reason: str


def next_step(
    journal: Journal,
    pieces: list[Piece],
    settings: LearningSettings,
    per_week: float,
    day_s: float,
) -> Step:
    """What comes next.

    ``pieces``: also those that are set aside. ``per_week``: the budget of false alarms.
    ``day_s``: length of a day.
    """
    bundle = journal.newest
    accepted = [piece for piece in pieces if not piece.aside]
    n_new = sum(piece.heard_s > bundle.heard_s for piece in accepted) if bundle else len(accepted)
    if journal.stage == "armed":
        return Step("wait", "")
    if journal.stage == "collecting" or bundle is None:
        return _first(journal, n_new, settings)
    was_off = bool(pieces_while_off(bundle, pieces))
    day = int(journal.heard_s // day_s)
    can_learn_a_day = day > int(bundle.heard_s // day_s) and n_new >= _LEAST_NEW_PIECES
    if journal.heard_s >= settings.days * day_s and not was_off:
        unseen = journal.unseen_by(bundle.name)
        least_s = min(_LEAST_SCORED * day_s, 60.0 * settings.first_after_min)
        return _last(unseen, pieces, per_week, least_s, can_learn_a_day=can_learn_a_day)
    if can_learn_a_day or was_off:
        louder = "far louder sound shows that the machine was off before"
        return Step("train", louder if was_off else f"day {day} has ended")
    is_early = day == 0 and journal.running_s >= _SOONER * bundle.running_s
    if is_early and n_new >= _LEAST_NEW_PIECES:
        return Step("train", f"{duration(journal.running_s)} of running")
    return Step("wait", f"{duration(settings.days * day_s - journal.heard_s)} of sound")


def _first(journal: Journal, n_pieces: int, settings: LearningSettings) -> Step:
    missing_s = 60.0 * settings.first_after_min - journal.running_s
    if missing_s > 0:
        return Step("wait", f"{duration(math.ceil(missing_s))} of running for the first bundle")
    if n_pieces < LEAST_PIECES:
        least_s = Collector.BEFORE_S + settings.piece_s + Collector.AFTER_S
        missing = counted(LEAST_PIECES - n_pieces, "piece")
        whole = f"each needs {least_s:g} seconds of running without a break"
        return Step("wait", f"{missing} for the first bundle ({whole})")
    return Step("train", f"first bundle, after {duration(journal.running_s)} of running")


def _last(
    unseen: Sequence[UnseenSound],
    pieces: list[Piece],
    per_week: float,
    least_scored_s: float,
    *,
    can_learn_a_day: bool,
) -> Step:
    """All days have passed: arm, or learn the days on which there were too many alarms."""
    scored_s = sum(one.scored_s for one in unseen)
    if scored_s < least_scored_s:
        return Step("wait", "running sound that the newest bundle was not made from")
    n_alarms = alarms_of(unseen, pieces)
    n_most = most_alarms(per_week, scored_s)
    figures = f"{counted(n_alarms, 'alarm')} in {duration(scored_s)} of new sound"
    if n_alarms <= n_most:
        return Step("arm", f"{figures}, at most {n_most} fit the budget")
    if can_learn_a_day:
        return Step("train", f"{figures}, at most {n_most} would fit the budget")
    return Step("wait", f"a day with fewer alarms: {figures}, at most {n_most} fit the budget")


def alarms_of(unseen: Iterable[UnseenSound], pieces: Iterable[Piece]) -> int:
    """The alarms, without those during which a piece was recorded that was set aside."""
    aside = [piece for piece in pieces if piece.aside]
    number = 0
    for sound in unseen:
        n_aside = 0
        for alarm in sound.alarms:
            end_s = math.inf if alarm.end_s is None else alarm.end_s
            n_aside += any(
                one.heard_s + one.seconds >= alarm.begin_s and one.heard_s <= end_s for one in aside
            )
        number += sound.n_alarms - n_aside
    return number


def most_alarms(per_week: float, scored_s: float) -> int:
    """The most alarms that a budget explains: the 99 % quantile of the Poisson distribution."""
    mean = per_week * scored_s / WEEK_S
    if mean <= 0.0:
        return 0
    number, total = 0, math.exp(-mean)
    while total < _CONFIDENCE and number < 10.0 * mean + 100.0:
        number += 1
        total += math.exp(number * math.log(mean) - mean - math.lgamma(number + 1.0))
    return number
