"""Whether sound is that of the machine that a bundle was made for, in healthy condition.

A bundle is made for one machine. New healthy recordings are compared with the scores of the
bundle's own healthy recordings, which were computed by statistics that did not include them. If
the new scores are higher by more than chance, the recordings are of another machine, or the
machine has changed. A new threshold would hide both. Sound that is closer to a reference machine
is that machine's, even where its score is low. Recordings that all differ from the bundle's own
in the same direction by more than chance are of another machine or of another day.
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
from monitor.model.reference_match import ReferenceMatch
from monitor.text.wording import rounded

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
class MachineMatch:
    """The result of the comparison.

    ``matches``: False where a threshold from these recordings should not be trusted.
    ``complaint``: one line for people, empty where there is no difference to report.
    """

    matches: bool
    complaint: str = ""


def match_recordings(
    calibration: Calibration,
    recordings: Sequence[HealthyRecording],
    references: Sequence[str] = (),
    healthy: Sample | None = None,
) -> MachineMatch:
    """Whether healthy recordings are of the bundle's machine.

    ``references``: the names of the reference machines. ``healthy``: the mean offsets of the
    bundle's own healthy recordings.

    Does not match: most recordings score over the threshold for most of their length, are closer
    to a reference machine, or score far above everything healthy; or nearly all score higher
    than nearly all of the bundle's own (the rank test of Mann and Whitney, a chance below one in
    a thousand). Matches with a complaint: fewer recordings do so, or all differ from ``healthy``
    in the same direction by much more than chance. Fewer than four recordings fail to match only
    by scores over the threshold.
    """
    least_s = _comparable_s(calibration)
    new = [recording.whole for recording in recordings if recording.seconds >= least_s]
    results = (
        _a_reference_machine(recordings, references),
        _over_the_threshold(calibration, recordings),
        _far_above_own(calibration, new),
        _higher_than_own(calibration, new),
        _shifted_from_own(recordings, healthy),
    )
    complaints = [result for result in results if result is not None]
    refusals = [result for result in complaints if not result.matches]
    return next(iter((*refusals, *complaints)), MachineMatch(True))


def match_sound(
    calibration: Calibration,
    whole: float,
    seconds: float,
    reference_match: ReferenceMatch | None = None,
    references: Sequence[str] = (),
) -> MachineMatch:
    """Whether about ten seconds, scored as a whole, may be the bundle's machine when healthy."""
    healthy = calibration.stretch_scores
    if not healthy or seconds < _comparable_s(calibration):
        return MachineMatch(True)
    if reference_match is not None and reference_match.is_reference:
        return MachineMatch(
            False,
            "The machine is faulty, or the bundle does not fit it. The sound is closer to "
            f"{_name_of(reference_match.machine, references)} than to the bundle's own machine.",
        )
    if whole <= _highest_believable(calibration):
        return MachineMatch(True)
    return MachineMatch(
        False,
        "The machine is faulty, or the bundle does not fit it. Score of ten seconds: "
        f"{_brief(whole)}. Highest healthy score: {_brief(max(healthy))}.",
    )


def _refused(why: str, *, may_have_aged: bool = True) -> MachineMatch:
    advice = "Train a bundle on recordings of this machine"
    if may_have_aged:
        advice += (
            ". If it is the same machine and it is healthy, use auscult train audio --continue"
        )
    return MachineMatch(False, f"The bundle does not fit this machine: {why}. {advice}")


def _reported(figures: str) -> MachineMatch:
    return MachineMatch(
        True,
        f"The recordings differ from those that the bundle was made from: {figures}. "
        "If they are of another machine, the bundle does not fit it",
    )


def _a_reference_machine(
    recordings: Sequence[HealthyRecording], references: Sequence[str]
) -> MachineMatch | None:
    known = [r.reference_match for r in recordings if r.reference_match is not None]
    theirs = [match.machine for match in known if match.is_reference]
    if len(theirs) <= len(known) / 2:
        return None
    nearest = _name_of(Counter(theirs).most_common(1)[0][0], references)
    why = f"{_share(len(theirs), len(known))} closer to {nearest} than to the bundle's own machine"
    return _reported(why) if len(known) < _FEWEST else _refused(why, may_have_aged=False)


def _over_the_threshold(
    calibration: Calibration, recordings: Sequence[HealthyRecording]
) -> MachineMatch | None:
    over = [float(np.median(r.scores)) > calibration.threshold for r in recordings]
    if sum(over) <= len(over) / 2:
        return None
    typical = float(np.median(np.concatenate([r.scores for r in recordings])))
    return _refused(
        f"{_share(sum(over), len(over))} above the threshold (typical score {_brief(typical)}, "
        f"threshold {_brief(calibration.threshold)}; healthy scores of the bundle: "
        f"{_brief(calibration.score_median)})",
        may_have_aged=False,
    )


def _far_above_own(calibration: Calibration, new: Sequence[float]) -> MachineMatch | None:
    limit = _highest_believable(calibration)
    above = sum(whole > limit for whole in new)
    if above <= len(new) / 2:
        return None
    why = (
        f"{_share(above, len(new))} far above all healthy scores (typical score "
        f"{_brief(float(np.median(new)))}, highest healthy score "
        f"{_brief(max(calibration.stretch_scores))})"
    )
    return _reported(why) if len(new) < _FEWEST else _refused(why)


def _higher_than_own(calibration: Calibration, new: Sequence[float]) -> MachineMatch | None:
    share, chance = share_higher(new, calibration.recording_scores)
    if chance > _CHANCE or share < _SUSPICIOUS:
        return None
    figures = (
        f"their scores are higher than those of the bundle's own recordings in {share:.0%} of all "
        f"comparisons (typical score {_brief(float(np.median(new)))}, before "
        f"{_brief(float(np.median(calibration.recording_scores)))})"
    )
    if share >= _FOREIGN:
        return _refused(figures)
    return _reported(figures)


def _shifted_from_own(
    recordings: Sequence[HealthyRecording], healthy: Sample | None
) -> MachineMatch | None:
    offsets = [r.mean_offset for r in recordings if r.mean_offset is not None]
    if healthy is None or len(offsets) < _FEWEST:
        return None
    shift = mean_shift(healthy, sample_of(np.stack(offsets)))
    if shift is None or shift.strength < _BY_CHANCE or shift.size < _SMALL:
        return None
    return _reported(
        f"all {len(offsets)} differ in the same direction, on average by "
        f"{math.sqrt(shift.size):.2g} standard deviations ({shift.strength:.1f} times chance)"
    )


def _share(part: int, whole: int) -> str:
    """The subject and the verb: ``1 of 3 recordings is`` or ``2 of 3 recordings are``."""
    return f"{part} of {whole} recordings {'is' if part == 1 else 'are'}"


def _brief(score: float) -> str:
    return f"{score:.0f}" if score >= 10.0 else rounded(score, 2)


def _name_of(machine: int, names: Sequence[str]) -> str:
    name = names[machine] if machine < len(names) else ""
    return f"reference machine {machine + 1}" + (f" ({name})" if name else "")


def _highest_believable(calibration: Calibration) -> float:
    """The highest score of ten seconds that a healthy machine may have.

    It is above the highest healthy score seen, and the more so the fewer scores there are.
    """
    healthy = calibration.stretch_scores
    if not healthy:
        return math.inf
    reach = max(healthy) - float(np.median(healthy))
    highest = max(healthy) + (_BEYOND + _BEYOND_OF_FEW / len(healthy)) * reach
    # Scores of whole recordings have the peaks too, which scores of stretches have not.
    return max((highest, *calibration.recording_scores))


def _comparable_s(calibration: Calibration) -> float:
    """The shortest sound to compare: shorter sound scores higher, because it is averaged less."""
    return _NEARLY * min(BLOCK_S, calibration.healthy_s / calibration.recordings)
