"""What a caller gives as sound: a file, or an array of samples."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from monitor.audio.channels import first_unsound
from monitor.audio.decoders import RATES_HZ
from monitor.audio.files import BLOCK_S
from monitor.domain import AudioBlock, FloatArray
from monitor.errors import BadInputError, UsageError

File: TypeAlias = str | os.PathLike[str]
Samples: TypeAlias = npt.NDArray[np.floating[Any]]
"""Shape: ``(n_samples,)``, one channel, full scale +-1."""
Sound: TypeAlias = File | Samples


def as_path(sound: File) -> Path:
    """The path. Raises ``UsageError`` for what is neither a path nor an array."""
    if isinstance(sound, str | os.PathLike):
        return Path(sound)
    raise UsageError(
        f"{type(sound).__name__}: expected the path of a recording or an array of samples"
    )


def given_sound(sound: Iterable[Sound], kind: str) -> list[tuple[Path, Samples | None]]:
    """Each path, or a name (``kind`` and a number from 1) with its samples.

    Raises ``UsageError`` for a single path or array, and for what is neither.
    """
    if isinstance(sound, str | os.PathLike | np.ndarray):
        raise UsageError(f"{kind}: expected a list of paths or of arrays, not a single one")
    return [
        (Path(f"{kind} {number}"), one) if isinstance(one, np.ndarray) else (as_path(one), None)
        for number, one in enumerate(sound, 1)
    ]


def block_samples(samples: Samples, name: str) -> FloatArray:
    """The samples in single precision. Raises ``BadInputError`` for another shape or type."""
    if not isinstance(samples, np.ndarray):
        raise BadInputError(f"{name}: is a {type(samples).__name__}; expected an array of samples")
    if samples.ndim != 1:
        raise BadInputError(
            f"{name}: has the shape {samples.shape}; expected one channel, (n_samples,): take one "
            "channel, or the mean of all"
        )
    if samples.dtype.kind != "f":
        raise BadInputError(
            f"{name}: contains {samples.dtype}; expected floats with full scale +-1: divide "
            "integers by their full scale"
        )
    return np.ascontiguousarray(samples, dtype=np.float32)


def recording_samples(samples: Samples, name: str) -> FloatArray:
    """The same for a whole recording, which also needs samples that can be sound."""
    sound = block_samples(samples, name)
    if not sound.size:
        raise BadInputError(f"{name}: contains no samples")
    wrong = first_unsound(sound)
    if wrong is not None:
        raise BadInputError(
            f"{name}: sample {wrong} is {sound[wrong]:g}; expected numbers with full scale +-1"
        )
    return sound


def checked_rate_hz(sample_rate_hz: int | None) -> int:
    """The rate. Raises ``UsageError`` if an array has none, or one that cannot be."""
    if sample_rate_hz is None:
        raise UsageError("sample_rate_hz: an array of samples needs its sample rate in Hz")
    is_number = isinstance(sample_rate_hz, int | float | np.number)
    if not is_number or sample_rate_hz not in RATES_HZ:
        raise UsageError(
            f"sample_rate_hz: expected a whole number from {RATES_HZ[0]} to {RATES_HZ[-1]}, "
            f"not {sample_rate_hz}"
        )
    return int(sample_rate_hz)


def array_blocks(samples: Samples, sample_rate_hz: int | None, name: str) -> Iterator[AudioBlock]:
    """The blocks of a file with these samples. Raises as the two functions above."""
    rate_hz = checked_rate_hz(sample_rate_hz)
    sound = recording_samples(samples, name)
    step = round(BLOCK_S * rate_hz)
    for first in range(0, len(sound), step):
        yield AudioBlock(sound[first : first + step], rate_hz, first)
