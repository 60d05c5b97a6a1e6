"""Several channels to one, and a check for samples that cannot be sound."""

from __future__ import annotations

import numpy as np

from monitor.audio.channel_choice import Channel
from monitor.domain import FloatArray

HIGHEST_SAMPLE = 64.0
"""36 dB above full scale. Larger values are not sound at full scale +-1 but integers
stored as floats, or bytes that are not samples."""


_QUIET_POWER = 1e-6
"""-60 dBFS. Channels are compared only if their mean is quieter."""
_CANCELLED = 1e-3
"""The most power of the mean, relative to the channels, at which they cancel each other."""


def one_channel(samples: FloatArray, channel: Channel) -> FloatArray:
    """The chosen channel, or the mean of all.

    Shape: ``(n_frames, n_channels)`` to ``(n_frames,)``, a copy. The sum is made channel
    by channel, so that the rounding does not depend on the number of frames.
    """
    if channel != "mix":
        return samples[:, channel].copy()
    mixed = samples[:, 0].copy()
    for index in range(1, samples.shape[1]):
        mixed += samples[:, index]
    if samples.shape[1] > 1:
        mixed *= np.float32(1.0 / samples.shape[1])
    return mixed


def is_cancelled(samples: FloatArray, mixed: FloatArray) -> bool:
    """Whether channels cancel each other, so that their mean is quiet and they are not.

    Shape: ``(n_frames, n_channels)`` and ``(n_frames,)``, as :func:`one_channel` gives it. True if
    the mean is 30 dB quieter than the channels: one of two is inverted.
    """
    if samples.shape[1] < 2:
        return False
    power = float(np.dot(mixed, mixed))
    if power >= _QUIET_POWER * len(mixed):
        return False
    channels = np.ascontiguousarray(samples).reshape(-1)
    return bool(power < _CANCELLED * float(np.dot(channels, channels)) / samples.shape[1])


def first_unsound(samples: FloatArray) -> int | None:
    """The first frame that cannot be sound, ``None`` if all can.

    Shape: ``(n_frames,)`` or ``(n_frames, n_channels)``. NaN, infinity and values
    beyond ``HIGHEST_SAMPLE`` cannot be sound.
    """
    if not samples.size:
        return None
    # A NaN makes both extremes NaN, and a comparison with it false.
    if samples.max() <= HIGHEST_SAMPLE and samples.min() >= -HIGHEST_SAMPLE:
        return None
    with np.errstate(invalid="ignore"):
        sound = np.asarray(np.abs(samples) <= HIGHEST_SAMPLE)
    return int(np.argmin(sound.reshape(len(samples), -1).all(axis=1)))
