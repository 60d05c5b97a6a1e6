"""Sets of images: splitting, adding noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.domain import FloatArray
from monitor.errors import BadInputError, UsageError

UInt8Array = NDArray[np.uint8]

MAX_ELEMENTS = 2**31
FEWEST_TRAINED = 3
"""One image to validate, and two to train: statistics of a batch need two."""

_LEAST_SIGMA = 0.001  # a quarter of the step between two grey values


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Images of one size: ``pixels`` uint8 ``(n, channels, height, width)``.

    ``labels`` int64 ``(n,)`` index ``class_names``; ``names`` identify the images (file paths, or
    positions in an IDX file).
    """

    pixels: UInt8Array
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    def scaled(self) -> FloatArray:
        """Return the pixels as float32 in 0..1."""
        return self.pixels.astype(np.float32) / np.float32(255.0)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> ImageSet:
        """Return the images at ``rows`` (positions or a mask)."""
        positions = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        names = tuple(self.names[int(i)] for i in positions)
        return ImageSet(self.pixels[positions], self.labels[positions], self.class_names, names)


def split_validation(images: ImageSet, fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Split ``images`` at random into a training and a validation set, at least one image each."""
    if len(images) < FEWEST_TRAINED:
        raise BadInputError(
            f"at least {FEWEST_TRAINED} training images are needed, not {len(images)}"
        )
    order = np.random.default_rng(seed).permutation(len(images))
    n_validation = min(max(round(fraction * len(images)), 1), len(images) - 1)
    return images.take(np.sort(order[n_validation:])), images.take(np.sort(order[:n_validation]))


def add_noise(images: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
    """Add Gaussian noise of standard deviation ``sigma`` to images in 0..1, and clip to 0..1."""
    if not _LEAST_SIGMA <= sigma < 10:
        raise UsageError(
            f"--sigma {sigma:g}; it must be at least {_LEAST_SIGMA} and below 10, for example 0.2"
        )
    noise = rng.standard_normal(images.shape, dtype=np.float32)
    return np.clip(images + np.float32(sigma) * noise, 0.0, 1.0)
