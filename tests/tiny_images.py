"""A small set of images made by code: bright bars, upright (class 0) or lying (class 1)."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.images.datasets import ImageData
from training.images.image_set import ImageSet

CLASS_NAMES = ("upright", "lying")


def bars(n: int, seed: int, side: int = 12) -> ImageSet:
    """Return ``n`` grey images of ``side`` x ``side``, alternating between the classes."""
    rng = np.random.default_rng(seed)
    grid = np.arange(side)
    pixels = np.zeros((n, 1, side, side), dtype=np.uint8)
    labels = np.arange(n, dtype=np.int64) % 2
    for image, label in zip(pixels[:, 0], labels, strict=True):
        profile = 255 * np.exp(-np.square(grid - rng.uniform(2, side - 3)) / rng.uniform(1, 4))
        image[:] = profile[None, :] if label == 0 else profile[:, None]
    return ImageSet(pixels, labels, CLASS_NAMES, tuple(str(i) for i in range(n)))


def bar_data(n_train: int = 300, n_test: int = 80) -> ImageData:
    """Return bars with a training and a test split."""
    return ImageData("bars", bars(n_train, 0), bars(n_test, 1))


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """Return ``array`` as an IDX file of unsigned bytes."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_idx_folder(
    folder: Path, *, gzipped: bool = True, classes: tuple[int, int] = (0, 1)
) -> Path:
    """Write bars as the four IDX files of MNIST, labelled ``classes``."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, images in (("train", bars(300, 0)), ("t10k", bars(80, 1))):
        for kind, array in (
            ("images-idx3", images.pixels[:, 0]),
            ("labels-idx1", np.array(classes, dtype=np.uint8)[images.labels]),
        ):
            content = idx_bytes(array)
            name = f"{prefix}-{kind}-ubyte" + (".gz" if gzipped else "")
            (folder / name).write_bytes(gzip.compress(content) if gzipped else content)
    return folder


def write_frames(folder: Path, n: int, *, seed: int = 0, colour: bool = False) -> Path:
    """Write upright bars as PNG frames."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(bars(2 * n, seed).pixels[::2, 0]):
        pixels = np.stack([image, image // 2, 255 - image], axis=2) if colour else image
        Image.fromarray(pixels).save(folder / f"{i:03}.png")
    return folder
