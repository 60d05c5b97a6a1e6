"""Healthy recordings with injected faults, scored by every channel without their own statistics.

Where there are samples, the faults of :mod:`training.sound.injected_faults` are mixed in. In
log-mel without samples, the changes of :mod:`training.sound.disturbances` stand for faults.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from monitor.calibration.channels import ChannelKey
from monitor.detection.persistence import Persistence
from monitor.detection.persistent_scores import persistent_scores
from monitor.domain import AudioBlock, DoubleArray, FloatArray
from monitor.errors import BadInputError, MissingInputError
from monitor.features.envelope import EnvelopeStream
from monitor.features.line_spectrum import LineStream
from monitor.features.log_mel_frames import log_mel_frames
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.spectra import SpectraSpec
from monitor.model.long_spans import LongSpan
from training.sound.channels import Statistics, score_sections
from training.sound.controls import Trial
from training.sound.disturbances import DISTURBANCES, disturbed
from training.sound.injected_faults import FAULTS, LEVELS_DB, fault
from training.sound.recording_evidence import score_evidence
from training.sound.recordings import Recording
from training.sound.section_sound import read_samples, sound_of
from training.sound.section_spectra import Spectra

logger = logging.getLogger(__name__)

SIZES = (1.0, 3.0, 9.0)
"""Of the disturbances, in multiples of those that scores are compared with."""
MOST_RECORDINGS = 8
MOST_S = 20.0

Fault = tuple[str, str]
"""Its kind and its level or size in words: ``line``, ``-12 dB``."""
NO_FAULT: Fault = ("", "")


@dataclass(frozen=True, slots=True)
class InjectedFaults:
    """The values that are compared with the thresholds, for each sound with an injected fault.

    ``channels``: the score of the bundle, then the others. ``values``: for each kind and level the
    largest value of each channel, ``(n_sounds, n_channels)``, NaN for a channel without a score.
    ``healthy``: the same of the sounds without a fault. ``of_samples``: whether the faults were
    mixed into samples.
    """

    channels: tuple[ChannelKey, ...]
    values: Mapping[Fault, DoubleArray] = field(repr=False)
    healthy: DoubleArray = field(repr=False)
    of_samples: bool


class _Sound(NamedTuple):
    """One sound with a fault. ``spectra``: of its windows, empty if they are not scored.

    ``samples``: None for log-mel without sound.
    """

    fault: Fault
    frames_db: FloatArray
    spectra: list[Spectra]
    samples: FloatArray | None = None


def inject(
    trial: Trial,
    statistics: Sequence[Statistics],
    rule: Persistence,
    spans: Sequence[LongSpan],
    paths: Sequence[Path],
) -> InjectedFaults:
    """Add every kind of fault at every level to at most ``MOST_RECORDINGS`` recordings.

    ``statistics``: for each recording or section, what was made without it. ``rule``: of the
    scores over the span of the bundle. ``spans``: the long ones. ``paths``: the file of each
    recording.
    """
    n = len(trial.recordings)
    chosen = np.linspace(0, n - 1, min(n, MOST_RECORDINGS)).astype(int).tolist()
    samples = _samples(trial, chosen, paths)
    found: dict[Fault, list[dict[ChannelKey, float]]] = {}
    for index in samples or chosen:
        own = statistics[index]
        if samples:
            sounds = list(_with_faults(samples[index], (trial.seed, index), trial.spec, own))
        else:
            sounds = list(_with_disturbances(trial.recordings[index], (trial.seed, index), trial))
        for sound, values in zip(sounds, _scored(trial, sounds, own, rule, spans), strict=True):
            found.setdefault(sound.fault, []).append(values)
    keys = tuple(dict.fromkeys(k for rows in found.values() for values in rows for k in values))
    by_fault = {
        one: np.array([[scores.get(key, np.nan) for key in keys] for scores in rows])
        for one, rows in found.items()
    }
    healthy = by_fault.pop(NO_FAULT)
    return InjectedFaults(keys, by_fault, healthy, of_samples=bool(samples))


def _samples(trial: Trial, chosen: Sequence[int], paths: Sequence[Path]) -> dict[int, FloatArray]:
    """The sound of the chosen recordings, at most ``MOST_S``; empty if one cannot be had."""
    if any(trial.recordings[index].recorded_by is None for index in chosen):
        return {}
    of_file: dict[Path, list[int]] = {}
    for index in chosen:
        of_file.setdefault(paths[index], []).append(index)
    found: dict[int, FloatArray] = {}
    try:
        for path, indices in of_file.items():
            ranges = [_beginning(trial.recordings[index], trial.spec) for index in indices]
            found |= zip(indices, read_samples(path, trial.spec, ranges), strict=True)
    except (BadInputError, MissingInputError) as error:
        logger.warning("%s: faults are added to log-mel instead of samples", error)
        return {}
    return found


def _beginning(recording: Recording, spec: LogMelSpec) -> tuple[int, int]:
    first, end = sound_of(recording, spec)
    most_windows = max(1, spec.windows_in(MOST_S))
    most = (most_windows - 1) * spec.window_hop_samples + spec.window_samples
    return first, min(end, first + most)


def _with_faults(
    samples: FloatArray, seed: tuple[int, ...], spec: LogMelSpec, own: Statistics
) -> Iterator[_Sound]:
    rms = float(np.sqrt(np.square(samples, dtype=np.float64).mean()))
    spectra = SpectraSpec.for_log_mel(spec) if own.healthy else None

    def sound(name: Fault, mixed: FloatArray) -> _Sound:
        own_spectra = [] if spectra is None else _spectra(mixed, spectra)
        return _Sound(name, log_mel_frames(mixed, spec), own_spectra, mixed)

    yield sound(NO_FAULT, samples)
    for kind in FAULTS:
        added = fault(kind, len(samples), spec.sample_rate_hz, seed)
        for level_db in LEVELS_DB:
            mixed = samples + np.float32(rms * 10.0 ** (level_db / 20.0)) * added
            yield sound((kind, f"{level_db:g} dB"), mixed)


def _spectra(samples: FloatArray, spec: SpectraSpec) -> list[Spectra]:
    block = AudioBlock(samples, spec.envelope.sample_rate_hz, 0)
    streams = EnvelopeStream(spec.envelope), LineStream(spec.lines)
    pairs = zip(*(stream.push(block) for stream in streams), strict=True)
    return [tuple(window.values_db for window in pair) for pair in pairs]


def _with_disturbances(
    recording: Recording, seed: tuple[int, ...], trial: Trial
) -> Iterator[_Sound]:
    n_frames = round(MOST_S * trial.spec.frame_rate_hz)
    beginning = replace(recording, frames_db=recording.frames_db[:n_frames])
    yield _Sound(NO_FAULT, beginning.frames_db, [], beginning.samples)
    for kind, disturb in DISTURBANCES.items():
        for size in SIZES:
            one = disturbed(beginning, disturb, trial.spec, np.random.default_rng(seed), size)
            yield _Sound((kind, f"size {size:g}"), one.frames_db, [], one.samples)


def _scored(
    trial: Trial,
    sounds: Sequence[_Sound],
    own: Statistics,
    rule: Persistence,
    spans: Sequence[LongSpan],
) -> list[dict[ChannelKey, float]]:
    """For each sound, the largest value of each channel that is compared with its threshold."""
    spec, span_windows, first = trial.spec, trial.span_windows, trial.recordings[0]
    span_s = spec.seconds_of(span_windows)
    evidence = [
        trial.evidence_of(replace(first, frames_db=one.frames_db, samples=one.samples))
        for one in sounds
    ]
    each = [score_evidence(one, spec, span_windows, own.head).scores for one in evidence]
    key = ChannelKey("distance", span_s, spec.window_hop_s)
    values = [{key: float(persistent_scores(scores, rule).max())} for scores in each]
    if not own.head.is_distance:
        return values
    windows = ((number, one) for number, sound in enumerate(sounds) for one in sound.spectra)
    scored = score_sections(
        [one.evidence for one in evidence],
        [own] * len(sounds),
        range(len(sounds)),
        spec,
        span_windows=span_windows,
        spans=spans,
        sound=windows if own.healthy else None,
    )
    for found, channels in zip(values, scored.channels, strict=True):
        for channel, scores in channels.items():
            is_long = channel.span_s > span_s + spec.window_hop_s / 2
            compared = scores if is_long else persistent_scores(scores, rule)
            found[channel] = float(compared.max())
    return values
