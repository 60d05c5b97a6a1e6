"""A diagnosis: the sound of an alert against healthy sound of the same machine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from monitor.diagnosis.blows import blows
from monitor.diagnosis.causes import Causes
from monitor.diagnosis.findings import Finding
from monitor.diagnosis.groups import line_findings
from monitor.diagnosis.healthy import Healthy
from monitor.diagnosis.healthy_files import FEW
from monitor.diagnosis.healthy_sound import LONGEST_S, HealthySound
from monitor.diagnosis.lines_gone import lines_gone
from monitor.diagnosis.noise import louder_noise
from monitor.diagnosis.repeats import new_repeats
from monitor.diagnosis.running import running_part
from monitor.diagnosis.segments import LEAST_S, SegmentPlan
from monitor.diagnosis.settings import ShaftSettings
from monitor.diagnosis.sound import Spectra, segments_of
from monitor.diagnosis.speed import ShaftSpeed, shaft_speed
from monitor.domain import FloatArray

_FULL_SCALE = 0.985
_CLIPPED_SHARE, _MOST_CLIPPED_SHARE = 3e-4, 0.05
_SILENT_DB = -110.0
_SAME_RATE = 0.01
_MOST_GONE = (
    "most tones of healthy sound are missing: the machine may be off or run at another speed"
)


@dataclass(frozen=True)
class Diagnosis:
    """The findings, most certain first; empty if nothing is certain.

    ``notes``: why nothing, or less, could be stated. ``speed``: of the shaft, None if unknown.
    ``sound``, ``healthy``: what was compared, None if the sound could not be used.
    """

    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    speed: ShaftSpeed | None = None
    sound: Spectra | None = field(default=None, repr=False)
    healthy: Healthy | None = field(default=None, repr=False)


def trouble_with(samples: FloatArray, rate_hz: int) -> str:
    """Why nothing is stated about this sound; empty if it can be used."""
    seconds = len(samples) / rate_hz
    if seconds < LEAST_S:
        shown_s = math.floor(10.0 * seconds) / 10.0  # 4.99 s are not 5.0 s
        return f"{shown_s:.1f} s of sound are too short: at least {LEAST_S:g} s are needed"
    power = float(np.var(samples, dtype=np.float64))  # without an offset, which is no sound
    if 10.0 * np.log10(power + 1e-30) < _SILENT_DB:
        return "the sound is silent"
    if (share := max(clipped_share(samples), flat_share(samples))) > _MOST_CLIPPED_SHARE:
        return f"{100.0 * share:.0f} % of the samples are clipped, which adds impacts"
    return ""


def clipped_share(samples: FloatArray) -> float:
    """The share of samples at the limit of the range."""
    peak = float(np.abs(samples).max(initial=0.0))
    return float((np.abs(samples) >= _FULL_SCALE * peak).mean()) if peak >= _FULL_SCALE else 0.0


def flat_share(samples: FloatArray) -> float:
    """The share of samples that are exactly the highest or the lowest one.

    Sound that was clipped and then made quieter has many of them below the limit of the range.
    """
    return float(((samples == samples.max()) | (samples == samples.min())).mean())


def diagnosed(
    samples: FloatArray,
    rate_hz: int,
    healthy: Sequence[FloatArray],
    shaft: ShaftSettings | None = None,
) -> Diagnosis:
    """Compare the sound of an alert with healthy recordings at the same rate.

    Shape: ``(n_samples,)`` each. Sound beyond ``LONGEST_S`` is not used. Without healthy sound,
    only rhythms and halves of the speed are named, which a healthy machine seldom has.
    """
    samples = samples[: round(LONGEST_S * rate_hz)]
    if trouble := trouble_with(samples, rate_hz):
        return Diagnosis(notes=(trouble,))
    seconds = len(samples) / rate_hz
    plan = SegmentPlan.for_sound(seconds, rate_hz)
    usable = [one for one in healthy if not trouble_with(one, rate_hz)]
    return compared(samples, plan, HealthySound.of(usable, plan, seconds), shaft)


def compared(
    samples: FloatArray,
    plan: SegmentPlan,
    reference: HealthySound | None,
    shaft: ShaftSettings | None = None,
) -> Diagnosis:
    """The same with a reference that was made before, for the same plan."""
    notes: list[str] = []
    if reference is not None:
        part = running_part(samples, plan.rate_hz, reference.quiet_db)
        if part.stop - part.start < len(samples):
            begin_s, end_s = part.start / plan.rate_hz, part.stop / plan.rate_hz
            notes.append(
                "the machine is off, starts or stops in this sound: only the part from "
                f"{begin_s:.0f} to {end_s:.0f} s is compared"
            )
        samples = samples[part]
    segments = segments_of(samples, plan)
    if segments is None:
        why = "the machine is off in most of this sound" if notes else "the sound is too short"
        return Diagnosis(notes=(why,))
    if reference is None:
        sound, healthy = segments.averaged(), None
    else:
        sound, healthy = reference.matched(segments)
        healthy = healthy.at_speed_of(sound)
    found = _compared(samples, sound, healthy or Healthy.featureless(sound), shaft)
    return replace(found, notes=(*notes, *found.notes))


def _compared(
    samples: FloatArray, sound: Spectra, reference: Healthy, shaft: ShaftSettings | None
) -> Diagnosis:
    shaft = shaft or ShaftSettings()
    others = reference.pieces if reference.has_sound else ()
    ratios = [reference.speed / float(one) for one in reference.speeds[: len(others)]]
    causes = Causes(shaft, shaft_speed(sound, others, shaft.speed_range_hz, ratios))
    gone = lines_gone(sound, reference)
    findings = new_repeats(sound, reference, causes) or blows(samples, sound, reference)
    if clipped_share(samples) > _CLIPPED_SHARE:
        findings = [one for one in findings if one.kind == "impacts"]
    else:
        lines = line_findings(sound, reference, causes, findings, gone.lines)
        findings = _joined(findings, lines)
        findings += _apart(louder_noise(sound, reference), findings)
    if not reference.has_sound:
        findings = [one for one in findings if one.kind in _SELDOM or (one.rate_hz and one.band)]
    # Louder noise without a rhythm is the least specific.
    findings.sort(key=lambda one: (one.kind == "broadband" and not one.rate_hz, -one.certainty))
    notes = (*_notes(samples, reference, causes), *([_MOST_GONE] if gone.is_most else []))
    return Diagnosis(tuple(findings), notes, causes.speed, sound, reference)


_SELDOM = frozenset({"impacts", "subharmonics"})


def _notes(samples: FloatArray, reference: Healthy, causes: Causes) -> Iterator[str]:
    if not reference.has_sound:
        yield "without healthy sound: what is named may be normal for this machine"
    elif len(reference.pieces) < FEW:
        yield "there is little healthy sound, so only what is far above it is named"
    if reference.is_other_speed:
        yield (
            f"the machine runs at {reference.speed:.2f} times the speed of healthy sound, so only "
            "what is far above it is named"
        )
    if causes.speed is None and causes.shaft.speed_range_hz is not None:
        yield "the sound repeats at another rate than the given speed, which is not used"
    if clipped_share(samples) > _CLIPPED_SHARE:
        yield "the sound is clipped, which adds tones and noise: only impacts are named"


def _joined(repeats: list[Finding], lines: list[Finding]) -> list[Finding]:
    """Both, without lines at the multiples of a rhythm: regular impacts make them too."""
    joined = []
    for one in repeats:
        same = [other for other in lines if _is_same(one, other)]
        lines = [other for other in lines if other not in same]
        # A comb of lines up to high frequencies is impulsive even if the envelope is smooth.
        pulses = [other for other in same if other.kind == "impacts"]
        first = pulses[0] if one.kind != "impacts" and pulses else one
        certainty = max(other.certainty for other in (one, *same))
        joined.append(replace(first, certainty=certainty))
    return joined + lines


def _is_same(rhythm: Finding, lines: Finding) -> bool:
    if lines.kind not in {"impacts", "harmonics"} or not rhythm.rate_hz or not lines.rate_hz:
        return False
    return abs(rhythm.rate_hz / lines.rate_hz - 1.0) < _SAME_RATE


def _apart(noise: list[Finding], others: list[Finding]) -> list[Finding]:
    """The noise that no other finding explains, because it is in another band."""
    bands = [one.band for one in others if one.band is not None]
    return [
        one
        for one in noise
        if one.band is not None and not any(one.band.overlaps(band) for band in bands)
    ]
