"""IDX files, the format of MNIST and Fashion-MNIST: arrays of unsigned bytes."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from monitor.errors import BadInputError, MissingInputError
from training.images.image_set import MAX_ELEMENTS, ImageSet, UInt8Array
from training.images.memory import READ_BYTES, check_memory

_UNSIGNED_BYTE = 0x08
_MOST_DIMS = 8
_LONGEST_HEADER = 4 + 4 * _MOST_DIMS
_MOST_TOO_MUCH = 1024
"""So many bytes too much are counted."""


def read_idx(path: Path) -> UInt8Array:
    """Read an IDX file of unsigned bytes, gzipped or not (http://yann.lecun.com/exdb/mnist).

    Raises MissingInputError if it cannot be opened, and BadInputError if it is not a complete IDX
    file of unsigned bytes.
    """
    try:
        if (size := path.stat().st_size) > MAX_ELEMENTS + _LONGEST_HEADER:
            raise BadInputError(f"{path}: {size} bytes; an IDX file has at most {MAX_ELEMENTS}")
        with path.open("rb") as file:
            if file.peek(2)[:2] != b"\x1f\x8b":
                return _read(path, file)
            try:
                with gzip.open(file) as packed:
                    return _read(path, packed)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise BadInputError(f"{path}: damaged gzip file ({error})") from error
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be opened ({error.strerror})") from error


def _read(path: Path, file: IO[bytes] | gzip.GzipFile) -> UInt8Array:
    header = file.read(4)
    if len(header) < 4 or header[:2] != b"\x00\x00":
        raise BadInputError(f"{path}: not an IDX file (it does not begin with two zero bytes)")
    kind, n_dims = header[2], header[3]
    if kind != _UNSIGNED_BYTE:
        raise BadInputError(
            f"{path}: IDX type 0x{kind:02x}; only 0x08, unsigned bytes, is supported"
        )
    if n_dims > _MOST_DIMS:
        raise BadInputError(f"{path}: IDX header of {n_dims} dimensions, more than {_MOST_DIMS}")
    sizes = file.read(4 * n_dims)
    if n_dims == 0 or len(sizes) < 4 * n_dims:
        raise BadInputError(f"{path}: IDX header of {n_dims} dimensions is truncated")
    shape = tuple(int.from_bytes(sizes[4 * i : 4 * i + 4], "big") for i in range(n_dims))
    n_elements = math.prod(shape)
    if n_elements == 0 or n_elements > MAX_ELEMENTS:
        raise BadInputError(f"{path}: IDX shape {shape} must have 1 to {MAX_ELEMENTS} elements")
    check_memory(path, shape[0], n_elements // shape[0], READ_BYTES)
    content = file.read(n_elements + _MOST_TOO_MUCH)
    if len(content) != n_elements:
        found = f"{len(content)}{' or more' * (len(content) == n_elements + _MOST_TOO_MUCH)}"
        raise BadInputError(
            f"{path}: IDX shape {shape} needs {n_elements} bytes, the file has {found}"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


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
