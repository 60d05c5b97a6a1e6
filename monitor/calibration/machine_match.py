"""Is this the machine that the bundle was made from, as it was when it was well?

A bundle knows one machine. Recordings said to be healthy are compared with the scores
that the bundle's own healthy recordings got from statistics that did not see them. Where
the new ones lie higher by more than chance, either the machine is another one or it has
changed; a new threshold would hide which. Where reference machines are known, sound that
lies on their side is theirs, however low it scores. And recordings that differ from the
bundle's own all in the same way, more than by chance, are another machine's or another day's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.calibration.threshold import HealthyRecording
from monitor.calibration.two_sample import mean_shift, share_higher
from monitor.model.head import Sample, sample_of
from monitor.model.manifest import Calibration
from monitor.model.recording_score import BLOCK_S
from monitor.model.reference_match import Likeness

_CHANCE = 1e-3
_SUSPICIOUS = 0.75
_FOREIGN = 0.9
_BEYOND = 0.5
_BEYOND_OF_FEW = 4.0
_NEARLY = 0.9
_FEWEST = 4
_BY_CHANCE = 2.4
_SMALL = 0.1


@dataclass(frozen=True, slots=True)
class Fit:
    """What the comparison says.

    ``complaint``: one line for people, empty where the bundle fits. ``fits``: False where a
    threshold from these recordings should not be trusted.
    """

    fits: bool
    complaint: str = ""


def fit_of_recordings(
    calibration: Calibration,
    recordings: Sequence[HealthyRecording],
    references: Sequence[str] = (),
    healthy: Sample | None = None,
) -> Fit:
    """Whether healthy recordings are of the bundle's machine.

    Refused is where most of them score over the threshold for most of their length, are more
    like a reference machine (``references``: what those are called) or score far beyond
    everything healthy, and where nearly all score higher than nearly all of the bundle's own
    (the rank test of Mann and Whitney, a chance below one in a thousand). Told is where fewer
    do, and where all differ from the bundle's own (``healthy``) in the same way by much more
    than chance: that may be another machine, or another day. Of fewer than four recordings
    only those over the threshold are refused.
    """
    least_s = _comparable_s(calibration)
    new = [recording.whole for recording in recordings if recording.seconds >= least_s]
    findings = (
        _a_reference_machine(recordings, references),
        _over_the_threshold(calibration, recordings),
        _far_beyond_own(calibration, new),
        _higher_than_own(calibration, new),
        _shifted_from_own(recordings, healthy),
    )
    told = [finding for finding in findings if finding is not None]
    refusals = [finding for finding in told if not finding.fits]
    return next(iter((*refusals, *told)), Fit(True))


def fit_of_sound(
    calibration: Calibration,
    whole: float,
    seconds: float,
    likeness: Likeness | None = None,
    references: Sequence[str] = (),
) -> Fit:
    """Whether some ten seconds, scored as a whole, could be the bundle's machine when well."""
    healthy = calibration.stretch_scores
    if not healthy or seconds < _comparable_s(calibration):
        return Fit(True)
    if likeness is not None and likeness.is_the_references:
        return Fit(
            False,
            f"more like {_called(likeness.machine, references)} than like the machine the bundle "
            "was made for: the bundle does not fit this machine, or the machine is not well now",
        )
    if whole <= _highest_believable(calibration):
        return Fit(True)
    return Fit(
        False,
        f"scores {whole:.3g}, ten seconds of the bundle's healthy sound at most "
        f"{max(healthy):.3g}: the machine is not well now, or the bundle does not fit this machine",
    )


def _refused(why: str, *, may_have_aged: bool = True) -> Fit:
    way_out = "train a bundle on this machine's own sound"
    if may_have_aged:
        way_out += (
            ", or, if it is the same machine and it is well, go on from the bundle with "
            "train audio --continue"
        )
    return Fit(False, f"this bundle does not fit this machine: {why}; {way_out}")


def _told(figures: str) -> Fit:
    return Fit(
        True,
        f"these recordings do not sound like those that the bundle was made from: {figures}; "
        "if they are of another machine, the bundle does not fit it",
    )


def _a_reference_machine(
    recordings: Sequence[HealthyRecording], references: Sequence[str]
) -> Fit | None:
    known = [r.likeness for r in recordings if r.likeness is not None]
    theirs = [likeness.machine for likeness in known if likeness.is_the_references]
    if len(theirs) <= len(known) / 2:
        return None
    nearest = _called(Counter(theirs).most_common(1)[0][0], references)
    why = (
        f"{len(theirs)} of {len(known)} recordings are more like {nearest} than like the machine "
        "that the bundle was made for"
    )
    return _told(why) if len(known) < _FEWEST else _refused(why, may_have_aged=False)


def _over_the_threshold(
    calibration: Calibration, recordings: Sequence[HealthyRecording]
) -> Fit | None:
    over = [float(np.median(r.scores)) > calibration.threshold for r in recordings]
    if sum(over) <= len(over) / 2:
        return None
    typical = float(np.median(np.concatenate([r.scores for r in recordings])))
    return _refused(
        f"{sum(over)} of {len(over)} healthy recordings score over its threshold (typically "
        f"{typical:.3g}, the threshold is {calibration.threshold:.3g}, the machine it was made for "
        f"gave {calibration.score_median:.3g})",
        may_have_aged=False,
    )


def _far_beyond_own(calibration: Calibration, new: Sequence[float]) -> Fit | None:
    limit = _highest_believable(calibration)
    beyond = sum(whole > limit for whole in new)
    if beyond <= len(new) / 2:
        return None
    why = (
        f"{beyond} of {len(new)} recordings score far beyond everything healthy (typically "
        f"{np.median(new):.3g}, ten seconds of the bundle's healthy sound at most "
        f"{max(calibration.stretch_scores):.3g})"
    )
    return _told(why) if len(new) < _FEWEST else _refused(why)


def _higher_than_own(calibration: Calibration, new: Sequence[float]) -> Fit | None:
    share, chance = share_higher(new, calibration.recording_scores)
    if chance > _CHANCE or share < _SUSPICIOUS:
        return None
    figures = (
        f"a new recording scores higher than a healthy one of the bundle's in {share:.0%} of all "
        f"pairs (typically {np.median(new):.3g} against "
        f"{np.median(calibration.recording_scores):.3g})"
    )
    if share >= _FOREIGN:
        return _refused(figures)
    return _told(figures)


def _shifted_from_own(recordings: Sequence[HealthyRecording], healthy: Sample | None) -> Fit | None:
    offsets = [r.mean_offset for r in recordings if r.mean_offset is not None]
    if healthy is None or len(offsets) < _FEWEST:
        return None
    shift = mean_shift(healthy, sample_of(np.stack(offsets)))
    if shift is None or shift.strength < _BY_CHANCE or shift.size < _SMALL:
        return None
    return _told(
        f"all {len(offsets)} together differ from the bundle's own, on average by "
        f"{math.sqrt(shift.size):.2g} standard deviations ({shift.strength:.1f} times chance)"
    )


def _called(machine: int, names: Sequence[str]) -> str:
    name = names[machine] if machine < len(names) else ""
    return f"reference machine {machine + 1}" + (f" ({name})" if name else "")


def _highest_believable(calibration: Calibration) -> float:
    """A score of ten seconds that a healthy machine may have, though none was heard so high.

    The highest of few values is a poor guess at how high they go.
    """
    healthy = calibration.stretch_scores
    if not healthy:
        return math.inf
    reach = max(healthy) - float(np.median(healthy))
    return max(healthy) + (_BEYOND + _BEYOND_OF_FEW / len(healthy)) * reach


def _comparable_s(calibration: Calibration) -> float:
    """Shorter sound than this scores higher, because less of its flutter cancels."""
    return _NEARLY * min(BLOCK_S, calibration.healthy_s / calibration.recordings)
