"""Are the bytes of a program samples of the stated format?

Bytes in the other order, without the sign, of another format or shifted by one byte give loud
noise instead of the sound of the machine. So does a compressed stream. This noise has properties
that the sound of a microphone never has.
"""

from __future__ import annotations

import math

import numpy as np

from monitor.sources.settings import SampleFormat
from monitor.sources.three_bytes import has_three_bytes

_CELL_S = 0.5
_CELLS = 4
_LEAST_VALUES = 2_000
_FLAT = 0.1
"""Largest deviation of the power from that of random numbers; compressed sound deviates by 5 %."""
_LEAST_KURTOSIS, _MOST_KURTOSIS = 1.65, 1.95
"""That of a tone is 1.5, that of random numbers 1.8, that of noise of a machine about 3."""
_MOST_AT_ENDS = 0.01
_WHITE = 0.75
_RAIL = 0.998
_LOUD = 0.67
_QUIETER = 0.3
_LOUD_SWAPPED = 0.05
_QUIETER_SWAPPED = 0.1
_BOTH_SIGNS = 0.05
_LEAST_DISTINCT = 10
"""Quiet sound with fewer values is, swapped, not as loud as `_LOUD_SWAPPED`."""
_QUIETER_THAN_NOISE = 0.5
_MOST_CLIPPED = 0.2
_FLOATS = 0.99

_SWAPPED = (
    "the bytes of each sample seem to be in the wrong order: let the program write the low byte "
    "first (ffmpeg: -f s16le); if this begins in the middle of a stream, a byte was lost"
)
_NOT_PCM = (
    "the data are spread evenly over all values, as no sound is: the program seems to write "
    "compressed sound, or samples of another size"
)
_UNSIGNED = "the samples seem to be unsigned: let the program write signed ones (ffmpeg: -f s16le)"
_THREE_BYTES = (
    "the samples seem to have 3 bytes: let the program write 2 bytes (ffmpeg: -f s16le), or 4 "
    'bytes (ffmpeg: -f s32le) with sample_format = "s32le"'
)
_FLOATING = 'the samples seem to be floating-point numbers: set sample_format = "f32le"'


_LOWEST, _HIGHEST = np.int16(-(2**15)), np.int16(2**15 - 1)
_Int16 = np.ndarray[tuple[int, ...], np.dtype[np.int16]]


class SampleFormatCheck:
    """The bytes of one run of a program to what is wrong with their format.

    A problem begins after two seconds in which every cell of half a second shows it, and ends
    with the first second without it. State: the bytes of the unfinished cell, and the newest
    results.
    """

    def __init__(self, sample_format: SampleFormat, sample_rate_hz: int, channels: int) -> None:
        self._format = sample_format
        self._channels = channels
        bytes_of_sample = 2 if sample_format == "s16le" else 4
        values = max(_LEAST_VALUES, round(_CELL_S * sample_rate_hz)) * channels
        self._cell_bytes = values * bytes_of_sample
        self._pending = bytearray()
        self._newest: list[str] = []
        self.problem = ""
        """What is wrong, as text for people; empty while nothing is."""

    def push(self, data: bytes) -> None:
        """Add bytes as the program wrote them."""
        if self._format == "f32le":  # others are refused as not finite
            return
        self._pending += data
        while len(self._pending) >= self._cell_bytes:
            cell = bytes(self._pending[: self._cell_bytes])
            del self._pending[: self._cell_bytes]
            self._newest = [*self._newest[1 - _CELLS :], self._fault(cell)]
            first = self._newest[0]
            if first and self._newest == [first] * _CELLS:
                self.problem = first
            elif not any(self._newest[-_CELLS // 2 :]):
                self.problem = ""

    def _fault(self, cell: bytes) -> str:
        if has_three_bytes(cell, self._format):
            return _THREE_BYTES
        if self._format == "s32le":
            return _FLOATING if _is_float(cell) else ""
        values = np.frombuffer(cell, "<i2").reshape(-1, self._channels)
        if _is_swapped(values):
            return _SWAPPED
        if _is_even_noise(values):
            return _SWAPPED if _rms(values.byteswap()) < _QUIETER_THAN_NOISE else _NOT_PCM
        return _UNSIGNED if _is_unsigned(values) else ""


def _is_swapped(values: _Int16) -> bool:
    """Whether loud values become quiet sound of both signs when their bytes are exchanged.

    Of loud sound in the right order, every low byte is equally frequent. Sound that was
    converted from 8 bits has the low byte 0, and gives only one sign. Clipped sound and a tone
    that divides the sample rate have so few values that their low bytes can be equal by chance.
    """
    is_clipped = (values == _LOWEST) | (values == _HIGHEST)
    inner = values[~is_clipped] if is_clipped.any() else values
    if inner.size < (1.0 - _MOST_CLIPPED) * values.size:
        return False
    loud, turned = _rms(inner), inner.byteswap()
    if loud < _LOUD_SWAPPED or _rms(turned) > _QUIETER_SWAPPED * loud:
        return False
    is_negative = np.count_nonzero(turned < 0) / turned.size
    if not _BOTH_SIGNS <= is_negative <= 1.0 - _BOTH_SIGNS:
        return False
    return np.unique(turned).size >= _LEAST_DISTINCT


def _is_even_noise(values: _Int16) -> bool:
    """Whether the values are independent and spread over the full scale as random numbers are.

    The standard deviation of such numbers is ``1 / sqrt(3)`` and their kurtosis is 1.8. Loud
    sound that is clipped has many values at the ends of the scale.
    """
    power = _power(values)
    if abs(power * 3.0 - 1.0) > _FLAT:
        return False
    samples = values.astype(np.float64) / 2**15
    if not _LEAST_KURTOSIS <= float(np.mean(samples**4)) / power**2 <= _MOST_KURTOSIS:
        return False
    if float(np.mean((values == _LOWEST) | (values == _HIGHEST))) > _MOST_AT_ENDS:
        return False
    if float(np.mean(np.diff(samples, axis=0) ** 2)) < _WHITE * 2.0 * power:
        return False
    return np.unique(values).size >= _LEAST_DISTINCT


def _is_unsigned(values: _Int16) -> bool:
    """Whether the values lie at both ends of the scale, and are quiet sound around its middle."""
    if values.min() > _RAIL * _LOWEST or values.max() < _RAIL * _HIGHEST:
        return False
    clipped = float(np.mean((values == _LOWEST) | (values == _HIGHEST)))
    loud = _rms(values)
    if loud < _LOUD or clipped > _MOST_CLIPPED or _rms(values ^ _LOWEST) > _QUIETER * loud:
        return False
    return np.unique(values).size > 2  # a tone at half the sample rate


def _is_float(cell: bytes) -> bool:
    """Whether the bytes are numbers between -1 and 1, which integers almost never look like."""
    size = np.abs(np.frombuffer(cell, "<f4"))
    with np.errstate(invalid="ignore"):
        is_sound = (size <= 1.0) & (size >= 1e-7)
    return float(np.mean(is_sound)) >= _FLOATS


def _rms(values: _Int16) -> float:
    """Around the mean; full scale is 1."""
    mean = float(values.mean(dtype=np.float32)) / 2**15
    return math.sqrt(max(0.0, _power(values) - mean**2))


def _power(values: _Int16) -> float:
    """The mean square; full scale is 1."""
    samples = values.astype(np.float32).reshape(-1)  # faster than double precision by far
    return float(np.dot(samples, samples)) / values.size / 2**30
