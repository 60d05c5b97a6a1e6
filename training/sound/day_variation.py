"""Changes between days that are not faults, estimated from altered copies of healthy recordings.

A few recordings of one day do not show how the machine sounds on another: a little faster, with
another slope of the spectrum, with noise in the room, with a door open. Copies with such changes
show the directions in which the evidence moves. They are added to the healthy covariance if
this does not make held-out recordings less likely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio.functional as audio

from monitor.audio.recordings import recording_blocks
from monitor.audio.resampling import StreamResampler
from monitor.domain import AudioBlock, DoubleArray, FloatArray
from monitor.features.log_mel import FrameStream
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.operation import Operation
from training.sound.crossfit import DayVariation
from training.sound.evidence_graph import EvidenceGraph
from training.sound.operation import running_sound
from training.sound.recording_evidence import evidence_of
from training.sound.recordings import Recording

_MOST_RECORDINGS = 8
_EXCERPT_S = 10.0
_SPEED = 1.015
_SLOPE_DB = 2.0
_SLOPE_HZ = 1_000.0
_GAIN_DB = 3.0
_ROOM_SNR_DB = 25.0
_ECHO_S = 0.15
_ECHO_DB = -18.0

Change = Callable[[torch.Tensor, int, torch.Generator], torch.Tensor]


def faster(samples: torch.Tensor, rate_hz: int, _: torch.Generator) -> torch.Tensor:
    """1.5 % faster and higher."""
    return _tensor(audio.resample(samples, round(rate_hz * _SPEED), rate_hz))


def slower(samples: torch.Tensor, rate_hz: int, _: torch.Generator) -> torch.Tensor:
    """1.5 % slower and lower."""
    return _tensor(audio.resample(samples, round(rate_hz / _SPEED), rate_hz))


def brighter(samples: torch.Tensor, rate_hz: int, _: torch.Generator) -> torch.Tensor:
    """2 dB more above 1 kHz, 3 dB louder."""
    louder = audio.gain(samples, _GAIN_DB)
    return _tensor(audio.treble_biquad(louder, rate_hz, _SLOPE_DB, _SLOPE_HZ))


def duller(samples: torch.Tensor, rate_hz: int, _: torch.Generator) -> torch.Tensor:
    """2 dB less above 1 kHz, 3 dB quieter."""
    quieter = audio.gain(samples, -_GAIN_DB)
    return _tensor(audio.treble_biquad(quieter, rate_hz, -_SLOPE_DB, _SLOPE_HZ))


def in_noise(samples: torch.Tensor, rate_hz: int, random: torch.Generator) -> torch.Tensor:
    """Room noise 25 dB below the machine, falling by 3 dB per octave."""
    noise = torch.randn(samples.shape, generator=random)
    spectrum = torch.fft.rfft(noise)
    hz = torch.fft.rfftfreq(len(samples), 1.0 / rate_hz).clamp(min=20.0)
    pink = torch.fft.irfft(spectrum / hz.sqrt(), n=len(samples))
    return _tensor(audio.add_noise(samples, pink, torch.tensor(_ROOM_SNR_DB)))


def in_an_echo(samples: torch.Tensor, rate_hz: int, random: torch.Generator) -> torch.Tensor:
    """A short reverberation, 18 dB below the direct sound."""
    n = round(_ECHO_S * rate_hz)
    tail = torch.randn(n, generator=random) * torch.exp(-6.9 * torch.arange(n) / n)
    tail *= 10 ** (_ECHO_DB / 20) / tail.norm()
    tail[0] += 1.0
    return _tensor(audio.fftconvolve(samples, tail)[: len(samples)])


def _tensor(value: Any) -> torch.Tensor:
    """torchaudio is published without types."""
    samples: torch.Tensor = value
    return samples


CHANGES: Mapping[str, Change] = {
    "faster": faster,
    "slower": slower,
    "brighter": brighter,
    "duller": duller,
    "noise": in_noise,
    "echo": in_an_echo,
}


def day_variation(
    graph: EvidenceGraph,
    files: Sequence[Recording],
    recordings: Sequence[Recording],
    spec: LogMelSpec,
    operation: Operation | None,
    *,
    seed: int,
    device: torch.device,
) -> DayVariation | None:
    """How ``recordings`` move; None if no sound is available, for example for log-mel.

    ``files``: as they were read; their names are paths. ``recordings``: the same, or sections.
    """
    offsets, owners = [], []
    chosen = np.unique(np.linspace(0, len(files) - 1, _MOST_RECORDINGS).astype(int))
    for number in chosen:
        file = files[number]
        if file.recorded_by is None:
            continue
        samples = _excerpt(Path(file.name), file, spec, operation)
        if samples is None:
            continue
        random = torch.Generator().manual_seed(seed + int(number))
        before = _mean_evidence(graph, samples, file, spec, device)
        owner = next(i for i, one in enumerate(recordings) if one.file == file.file)
        for change in CHANGES.values():
            altered = change(samples, spec.sample_rate_hz, random)
            offsets.append(_mean_evidence(graph, altered, file, spec, device) - before)
            owners.append(owner)
    if not offsets:
        return None
    return DayVariation(np.stack(offsets), np.array(owners, dtype=np.intp))


def _excerpt(
    path: Path, file: Recording, spec: LogMelSpec, operation: Operation | None
) -> torch.Tensor | None:
    """Ten seconds of the running machine at the rate of the features, or None."""
    resampler = StreamResampler(spec.sample_rate_hz)
    parts: list[FloatArray] = []
    needed = round(_EXCERPT_S * spec.sample_rate_hz)
    for block in recording_blocks(path, spec):
        resampled = resampler.push(block) if isinstance(block, AudioBlock) else None
        if resampled is not None:
            parts.append(resampled.samples)
        if sum(map(len, parts)) >= needed:
            break
    if not parts:
        return None
    samples = np.concatenate(parts)[:needed]
    frames_db = _frames(samples, spec)
    if len(frames_db) < spec.window_frames:
        return None
    whole = replace(file, frames_db=frames_db)
    running = running_sound([whole], spec, operation, 1)
    if len(running) != 1 or len(running[0].frames_db) != len(frames_db):
        return None
    return torch.from_numpy(samples)


def _mean_evidence(
    graph: EvidenceGraph,
    samples: torch.Tensor,
    file: Recording,
    spec: LogMelSpec,
    device: torch.device,
) -> DoubleArray:
    frames_db = _frames(samples.numpy().astype(np.float32), spec)
    evidence = evidence_of(graph, replace(file, frames_db=frames_db), spec, device).evidence
    mean: DoubleArray = evidence.mean(axis=0, dtype=np.float64)
    return mean


def _frames(samples: FloatArray, spec: LogMelSpec) -> FloatArray:
    return FrameStream(spec).push(AudioBlock(samples, spec.sample_rate_hz, 0))
