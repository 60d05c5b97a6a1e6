"""Several channels to one, and a check for samples that cannot be sound."""

from __future__ import annotations

import numpy as np

from monitor.audio.channel_choice import Channel
from monitor.domain import FloatArray

HIGHEST_SAMPLE = 64.0
"""36 dB above full scale. Larger values are not sound at full scale +-1 but integers
stored as floats, or bytes that are not samples."""


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


def unmixed(samples: FloatArray, channel: Channel) -> FloatArray | None:
    """The channels that :func:`one_channel` makes a mean of; None if it selects one."""
    return samples if channel == "mix" and samples.shape[1] > 1 else None


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
