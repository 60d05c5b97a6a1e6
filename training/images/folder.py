"""Reading a folder of PNG or JPEG frames of one size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monitor.errors import BadInputError, MissingInputError
from training.images.image_set import MAX_ELEMENTS, ImageSet
from training.images.memory import READ_BYTES, check_memory

_SUFFIXES = {".png", ".jpg", ".jpeg"}
_FORMATS = ("PNG", "JPEG")  # of others, Pillow gives some to external programs
_TEST_FRACTION = 0.15


def read_image_folder(folder: Path) -> ImageSet:
    """Read every PNG and JPEG below ``folder``, in the order of their paths.

    Frames are grey if all of them are grey, otherwise red, green and blue. The class of a frame is
    the name of its folder. Raises MissingInputError without frames, and BadInputError for a frame
    that cannot be read or has another size than the first.
    """
    if not folder.is_dir():
        raise MissingInputError(f"{folder}: no such folder of images")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    if not paths:
        raise MissingInputError(f"{folder}: no PNG or JPEG images in this folder")
    pixels = _stack(folder, paths)
    kinds = [str(path.parent.relative_to(folder)) for path in paths]
    class_names = tuple(sorted(set(kinds)))
    labels = np.array([class_names.index(kind) for kind in kinds], dtype=np.int64)
    return ImageSet(pixels, labels, class_names, tuple(str(path) for path in paths))


def split_frames(frames: ImageSet, seed: int) -> tuple[ImageSet, ImageSet]:
    """Split frames at random into a training set and a test set of about 15 %."""
    if len(frames) < 4:
        raise BadInputError(f"at least 4 frames are needed to train and to test, not {len(frames)}")
    order = np.random.default_rng([seed, 15]).permutation(len(frames))
    n_test = max(1, round(_TEST_FRACTION * len(frames)))
    return frames.take(np.sort(order[n_test:])), frames.take(np.sort(order[:n_test]))


def _stack(folder: Path, paths: Sequence[Path]) -> NDArray[np.uint8]:
    frames: list[NDArray[np.uint8]] = []
    for path in paths:
        frame = _read(path)
        if frames and frame.shape[:2] != frames[0].shape[:2]:
            raise BadInputError(
                f"{path}: {frame.shape[1]} x {frame.shape[0]} pixels, {paths[0]} has "
                f"{frames[0].shape[1]} x {frames[0].shape[0]}; all frames must have the same size"
            )
        if not frames or frame.size > frames[-1].size:
            check_memory(folder, len(paths), frame.size, READ_BYTES)
        frames.append(frame)
        if len(paths) * frame.size > MAX_ELEMENTS:
            raise BadInputError(
                f"{folder}: {len(paths)} images of {frame.size} values are too many: use fewer or "
                "smaller images"
            )
    colour = any(frame.shape[2] == 3 for frame in frames)
    if colour:
        frames = [np.repeat(f, 3, axis=2) if f.shape[2] == 1 else f for f in frames]
    return np.ascontiguousarray(np.stack(frames).transpose(0, 3, 1, 2))


def _read(path: Path) -> NDArray[np.uint8]:
    """Return a frame as ``(height, width, 1 or 3)``."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            grey = image.mode in ("1", "L", "LA") or image.mode.startswith("I")
            pixels = _eight_bits(image, grey=grey)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInputError(f"{path}: not a readable image ({error})") from error
    return pixels[:, :, None] if grey else pixels


def _eight_bits(image: Image.Image, *, grey: bool) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        # Grey with 16 bits: Pillow would clip it at 255.
        return (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
    return np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
