"""How the evidence of healthy recordings moves by what changes between days.

A few recordings of one day do not show how the machine sounds on another: a little faster, with
another slope of the spectrum, with noise in the room, with a door open. Altered copies show the
directions in which the evidence moves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from monitor.domain import AudioBlock, DoubleArray, FloatArray
from monitor.errors import BadInputError, MissingInputError
from monitor.features.log_mel_frames import FrameStream
from monitor.features.log_mel_spec import LogMelSpec
from training.sound.alterations import ALTERATIONS
from training.sound.crossfit import DayVariation
from training.sound.evidence_graph import EvidenceGraph
from training.sound.recording_evidence import evidence_of
from training.sound.recordings import Recording
from training.sound.section_sound import section_blocks, sound_of
from training.sound.variation_choice import Change

logger = logging.getLogger(__name__)

MOST_RECORDINGS = 6
_EXCERPT_S = 2.5
_MOST_DIFFERENCE_DB = 1.0
"""Between the excerpt and the features it was read as: otherwise it is another part."""

_MeanEvidence = Callable[[torch.Tensor], DoubleArray]


def changes_to_try(*, every_size: bool) -> list[Change]:
    """Every kind of change, with its usual size only or with every size."""
    wanted = [
        (alteration, size)
        for alteration in ALTERATIONS
        for size in (alteration.sizes if every_size else (alteration.usual,))
    ]
    return [
        Change(alteration.name, size, alteration.unit, number)
        for number, (alteration, size) in enumerate(wanted)
    ]


def day_variation(
    graph: EvidenceGraph,
    recordings: Sequence[Recording],
    files: Sequence[Path],
    spec: LogMelSpec,
    changes: Sequence[Change],
    *,
    seed: int,
    device: torch.device,
) -> DayVariation | None:
    """The offsets of altered copies; None if no sound is available, for example for log-mel.

    A recording that can no longer be read is left out with a warning.

    ``files``: the path of each recording, which may be a section of it. At most
    ``MOST_RECORDINGS`` recordings are used, a few seconds of each. A change with a sign goes in
    one direction for one recording and in the other direction for the next.
    """
    alterations = {alteration.name: alteration for alteration in ALTERATIONS}
    offsets, owners, numbers = [], [], []
    chosen = np.unique(np.linspace(0, len(recordings) - 1, MOST_RECORDINGS).astype(int))
    for position, number in enumerate(map(int, chosen)):
        recording = recordings[number]
        try:
            samples = _excerpt(files[number], recording, spec)
        except (BadInputError, MissingInputError) as error:
            logger.warning("%s; its sound is not altered", error)
            continue
        if samples is None:
            continue
        evidence = _evidence(graph, recording, spec, device)
        before = evidence(samples)
        for change in changes:
            alteration = alterations[change.name]
            random = torch.Generator().manual_seed(seed + number)
            signed = -change.size if alteration.has_sign and position % 2 else change.size
            altered = alteration.alter(samples, spec.sample_rate_hz, signed, random)
            offsets.append(evidence(altered) - before)
            owners.append(number)
            numbers.append(change.number)
    if not offsets:
        return None
    return DayVariation(np.stack(offsets), np.array(owners), np.array(numbers))


def _excerpt(path: Path, recording: Recording, spec: LogMelSpec) -> torch.Tensor | None:
    """The first seconds at the rate of the features, or None if they cannot be found again."""
    if recording.recorded_by is None:
        return None
    n_frames = min(len(recording.frames_db), round(_EXCERPT_S * spec.frame_rate_hz))
    first, _ = sound_of(recording, spec)
    samples = _samples(path, spec, first, (n_frames - 1) * spec.hop_length + spec.n_fft)
    if samples is None:
        return None
    difference_db = np.abs(_frames(samples, spec) - recording.frames_db[:n_frames]).mean()
    if difference_db > _MOST_DIFFERENCE_DB:
        logger.debug("%s: differs by %.1f dB from its features", recording.name, difference_db)
        return None
    return torch.from_numpy(samples)


def _samples(path: Path, spec: LogMelSpec, first: int, needed: int) -> FloatArray | None:
    """Samples from ``first`` on, at the rate of the features; None if they are not all there."""
    found = np.empty(0, np.float32)
    for _, block in section_blocks(path, spec, [(first, first + needed)]):
        if block.discontinuous and len(found):
            return None
        found = np.concatenate((found, block.samples))
        if len(found) >= needed:
            return found
    return None


def _evidence(
    graph: EvidenceGraph, recording: Recording, spec: LogMelSpec, device: torch.device
) -> _MeanEvidence:
    """The mean evidence of altered samples of a recording."""

    def mean_evidence(samples: torch.Tensor) -> DoubleArray:
        sound = samples.numpy().astype(np.float32)
        altered = replace(recording, frames_db=_frames(sound, spec), samples=sound)
        evidence = evidence_of(graph, altered, spec, device).evidence
        mean: DoubleArray = evidence.mean(axis=0, dtype=np.float64)
        return mean

    return mean_evidence


def _frames(samples: FloatArray, spec: LogMelSpec) -> FloatArray:
    return FrameStream(spec).push(AudioBlock(samples, spec.sample_rate_hz, 0))
