"""Healthy scores to a threshold for a budget of false alarms.

The budget is alarms per week, so the threshold is set on what raises an alarm:
the persistent score (:mod:`monitor.detection.persistence`), in blocks long enough to be
independent of each other. A block is one chance of a false alarm; its value is
the largest persistent score in it. With ``L`` seconds a block, a budget of ``F`` a
week allows ``p = F L / week`` a block. Where there are enough blocks
(``n + 1 >= 1 / p``) the threshold is the conformal ``1 - p`` quantile of their values,
else it is extrapolated (:mod:`monitor.calibration.tail`).

The tail is fitted to what adds up: the squares of distances, because the squared distance
of normal evidence is a weighted sum of chi-squares, whose tail is exponential (Imhof 1961,
Biometrika 48), and the plain error as it is, which is a mean of squares already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from monitor.calibration.tail import rare_threshold
from monitor.detection.persistence import Persistence, persistent_scores
from monitor.domain import DoubleArray
from monitor.errors import BadInputError
from monitor.model.manifest import MOST_SCORES, Calibration
from monitor.model.reference_match import ReferenceMatch

WEEK_S = 7 * 24 * 3600.0
_LEAST_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class HealthyRecording:
    """The scores of one healthy recording, by statistics that did not see it.

    ``scores``: shape ``(n_scores,)``, one every ``hop_s`` of the scorer;
    ``levels_db``: the same shape, the level beside each score; ``whole``: the score
    of the recording as a whole, ``stretches`` those of its stretches of ten seconds;
    ``reference_match``: whose sound it is, where reference machines are known; ``mean_offset``:
    shape ``(d,)``, its evidence less the nearest healthy, on average.
    """

    scores: DoubleArray
    levels_db: DoubleArray
    seconds: float
    whole: float
    stretches: DoubleArray
    reference_match: ReferenceMatch | None = None
    mean_offset: DoubleArray | None = None


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Block values by recording, and the mean length of a block in seconds."""

    by_recording: list[DoubleArray]
    length_s: float

    @property
    def values(self) -> DoubleArray:
        return np.concatenate(self.by_recording)


def calibrate(
    recordings: Sequence[HealthyRecording],
    *,
    false_alarms_per_week: float,
    persistence: Persistence,
    hop_s: float,
    span_s: float,
    distances: bool,
    seed: int = 0,
) -> Calibration:
    """A threshold for at most ``false_alarms_per_week``, and what supports it.

    ``distances``: whether scores are distances, or the plain error.

    Raises ``BadInputError`` when there is too little healthy sound to say
    anything: fewer than four independent blocks.
    """
    heard = [recording for recording in recordings if len(recording.scores)]
    seconds = sum(recording.seconds for recording in heard)
    blocks = _block_values(heard, persistence, hop_s, span_s)
    if len(blocks.values) < _LEAST_BLOCKS:
        needed_s = _LEAST_BLOCKS * (span_s + persistence.out_of * hop_s)
        heard_in = _counted(len(heard), "recording")
        raise BadInputError(
            f"{seconds:.0f} s of healthy sound in {heard_in} is too little to set a threshold: "
            f"at least {_LEAST_BLOCKS} recordings or {needed_s:.0f} s are needed"
        )
    allowed = false_alarms_per_week * blocks.length_s / WEEK_S
    supported = WEEK_S / (blocks.length_s * (len(blocks.values) + 1))
    power = 2.0 if distances else 1.0
    threshold, method = _threshold(blocks, allowed, power, seed)
    wholes = _Blocks([np.array([r.whole]) for r in heard], seconds / len(heard))
    allowed_whole = false_alarms_per_week * wholes.length_s / WEEK_S
    recording_threshold, _ = _threshold(wholes, allowed_whole, power, seed)
    scores = np.concatenate([recording.scores for recording in heard])
    levels_db = np.concatenate([recording.levels_db for recording in heard])
    means_db = np.array([recording.levels_db.mean() for recording in heard])
    return Calibration(
        threshold=threshold,
        recording_threshold=recording_threshold,
        false_alarms_per_week=false_alarms_per_week,
        supported_false_alarms_per_week=supported,
        method=method,
        healthy_s=seconds,
        recordings=len(heard),
        blocks=len(blocks.values),
        block_s=blocks.length_s,
        persistence_required=persistence.required,
        persistence_out_of=persistence.out_of,
        score_median=float(np.median(scores)),
        score_deviation=float(np.std(blocks.values)),
        level_db=float(np.median(levels_db)),
        level_low_db=float(min(means_db.min(), np.quantile(levels_db, 0.005))),
        level_high_db=float(max(means_db.max(), np.quantile(levels_db, 0.995))),
        recording_scores=_standing_for_all(wholes.values),
        stretch_scores=_standing_for_all(np.concatenate([r.stretches for r in heard])),
        note=_note(heard, false_alarms_per_week, supported, persistence.needs_s(span_s, hop_s)),
    )


def _standing_for_all(values: DoubleArray) -> tuple[float, ...]:
    """The values in rising order; where there are too many, evenly many of every height."""
    n_kept = min(len(values), MOST_SCORES)
    kept = np.linspace(0, len(values) - 1, n_kept).round().astype(int)
    return tuple(np.sort(values)[kept].tolist())


def _note(
    recordings: Sequence[HealthyRecording], asked: float, supported: float, needs_s: float
) -> str:
    """What the healthy sound supports, in words for whoever reads the bundle."""
    seconds = sum(recording.seconds for recording in recordings)
    heard = f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
    note = f"{heard} of healthy sound support the budget of {asked:g} false alarms a week"
    if supported > asked:
        note = (
            f"{heard} of healthy sound support at best {_rounded(supported)} false alarms a week "
            f"by counting; the threshold for {asked:g} a week is extrapolated from the tail of "
            "the scores"
        )
    if float(np.median([recording.seconds for recording in recordings])) < needs_s:
        note += (
            f"; recordings as short as these raise no alert, which takes {needs_s:.1f} s of "
            "unbroken sound, and are told apart by the score of the whole recording only"
        )
    return note


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _rounded(number: float) -> str:
    """Two or three digits that count, never an exponent."""
    return f"{number:.2g}" if number < 10 else f"{round(number, 2 - len(str(int(number)))):.0f}"


def _block_values(
    recordings: Sequence[HealthyRecording], rule: Persistence, hop_s: float, span_s: float
) -> _Blocks:
    series = [persistent_scores(recording.scores, rule) for recording in recordings]
    least = max(1, math.ceil(span_s / hop_s), rule.out_of)
    per_block = max(least, _decorrelation(series))
    values = [_maxima(persistent, per_block) for persistent in series]
    # A short recording's block holds fewer scores and is that much less of a chance.
    lengths = [len(s) / len(v) for s, v in zip(series, values, strict=True) for _ in v]
    return _Blocks(values, hop_s * float(np.mean(np.maximum(lengths, span_s / hop_s))))


def block_values(scores: DoubleArray, rule: Persistence, per_block: int) -> DoubleArray:
    """The largest persistent score of every block of about ``per_block`` of them.

    Shape: ``(n_scores,)`` to ``(n_blocks,)``, at least one. A false alarm is raised in a
    block exactly when its value is over the threshold.
    """
    return _maxima(persistent_scores(scores, rule), per_block)


def _maxima(persistent: DoubleArray, per_block: int) -> DoubleArray:
    n_blocks = max(1, round(len(persistent) / per_block))
    return np.array([part.max() for part in np.array_split(persistent, n_blocks)])


def _decorrelation(series: Sequence[DoubleArray]) -> int:
    """Scores until the autocorrelation, pooled over recordings, has fallen to 1/e."""
    centred = [s - s.mean() for s in series if len(s) > 2]
    power = sum(float(s @ s) for s in centred)
    if power <= 0:
        return 1
    longest = max(len(s) for s in centred)
    for lag in range(1, longest // 2):
        covariance = sum(float(s[:-lag] @ s[lag:]) for s in centred if len(s) > lag)
        if covariance < power / math.e:
            return lag
    return max(1, longest // 2)


def _threshold(
    blocks: _Blocks, allowed: float, power: float, seed: int
) -> tuple[float, Literal["conformal", "generalised_pareto"]]:
    """What ``allowed`` of the values pass: counted, or extrapolated from their powers."""
    values = blocks.values
    n = len(values)
    rank = math.ceil((n + 1) * (1.0 - allowed))
    if rank <= n:
        return float(np.sort(values)[max(rank, 1) - 1]), "conformal"
    beyond = rare_threshold([group**power for group in blocks.by_recording], allowed, seed)
    return beyond ** (1.0 / power), "generalised_pareto"
