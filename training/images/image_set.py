"""Sets of images: reading IDX files, splitting, adding noise."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import BadInputError, MissingInputError, UsageError

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

MAX_ELEMENTS = 2**31
_UNSIGNED_BYTE = 0x08
_LONGEST_HEADER = 4 + 4 * 255


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


def read_idx(path: Path) -> UInt8Array:
    """Read an IDX file of unsigned bytes, gzipped or not (http://yann.lecun.com/exdb/mnist).

    Raises MissingInputError if it cannot be opened, and BadInputError if it is not a complete IDX
    file of unsigned bytes.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be opened ({error.strerror})") from error
    if content[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(content)) as packed:
                content = packed.read(MAX_ELEMENTS + _LONGEST_HEADER + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise BadInputError(f"{path}: damaged gzip file ({error})") from error
    if len(content) < 4 or content[:2] != b"\x00\x00":
        raise BadInputError(f"{path}: not an IDX file (it does not begin with two zero bytes)")
    kind, n_dims = content[2], content[3]
    if kind != _UNSIGNED_BYTE:
        raise BadInputError(
            f"{path}: IDX type 0x{kind:02x}; only 0x08, unsigned bytes, is supported"
        )
    header = 4 + 4 * n_dims
    if n_dims == 0 or len(content) < header:
        raise BadInputError(f"{path}: IDX header of {n_dims} dimensions is truncated")
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(n_dims))
    n_elements = math.prod(shape)
    if n_elements == 0 or n_elements > MAX_ELEMENTS:
        raise BadInputError(f"{path}: IDX shape {shape} must have 1 to {MAX_ELEMENTS} elements")
    if len(content) - header != n_elements:
        raise BadInputError(
            f"{path}: IDX shape {shape} needs {n_elements} bytes, the file has "
            f"{len(content) - header}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def read_idx_images(images_path: Path, labels_path: Path, class_names: tuple[str, ...]) -> ImageSet:
    """Read a pair of IDX files: images ``(n, h, w)`` and their labels ``(n,)``."""
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3:
        raise BadInputError(f"{images_path}: {images.ndim} dimensions; images need 3 (n, h, w)")
    if labels.shape != images.shape[:1]:
        raise BadInputError(
            f"{labels_path}: labels have shape {labels.shape}, but there are {len(images)} images"
        )
    if int(labels.max()) >= len(class_names):
        raise BadInputError(
            f"{labels_path}: label {int(labels.max())}, the classes are 0 to {len(class_names) - 1}"
        )
    names = tuple(str(i) for i in range(len(images)))
    return ImageSet(images[:, None], labels.astype(np.int64), class_names, names)


def split_validation(images: ImageSet, fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Split ``images`` at random into a training and a validation set, at least one image each."""
    if len(images) < 2:
        raise BadInputError(f"at least 2 training images are needed, not {len(images)}")
    order = np.random.default_rng(seed).permutation(len(images))
    n_validation = min(max(round(fraction * len(images)), 1), len(images) - 1)
    return images.take(np.sort(order[n_validation:])), images.take(np.sort(order[:n_validation]))


def add_noise(images: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
    """Add Gaussian noise of standard deviation ``sigma`` to images in 0..1, and clip to 0..1."""
    if not 0 < sigma < 10:
        raise UsageError(f"--sigma {sigma}; it must be above 0 and below 10, for example 0.2")
    noise = rng.standard_normal(images.shape, dtype=np.float32)
    return np.clip(images + np.float32(sigma) * noise, 0.0, 1.0)
