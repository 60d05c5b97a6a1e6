"""The files of a bundle, read with a limit of their size and compared with their SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from monitor.errors import BundleError
from monitor.text.regular_files import read_regular

_LARGEST_FILE = 256 * 2**20


def check_folder(path: Path, manifest: str) -> None:
    """Raise ``BundleError`` unless ``path`` is a folder; ``manifest`` is the name of its list."""
    try:
        is_there = path.is_dir()
    except OSError as error:
        raise BundleError(f"{path}: cannot be opened ({error.strerror})") from error
    if not is_there:
        raise BundleError(f"{path}: no such bundle; expected a folder with {manifest} in it")


def read_file(path: Path, largest: int = _LARGEST_FILE) -> bytes:
    """A whole file of at most ``largest`` bytes.

    Raises ``BundleError`` if it is missing, too large or not readable.
    """
    try:
        size = path.stat().st_size
        if size > largest:
            raise BundleError(f"{path}: {size} bytes; at most {largest} are allowed")
        return read_regular(path, largest)
    except FileNotFoundError as error:
        raise BundleError(f"{path}: missing from the bundle") from error
    except ValueError as error:
        raise BundleError(str(error)) from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error


def read_verified(path: Path, expected: str, manifest: str) -> bytes:
    """A whole file whose SHA-256 is ``expected``, the one in the file ``manifest``.

    Raises ``BundleError`` if it is another one, or as :func:`read_file`.
    """
    content = read_file(path)
    actual = sha256_of(content)
    if actual != expected:
        raise BundleError(
            f"{path}: SHA-256 is {actual[:12]}..., {manifest} has {expected[:12]}...; "
            "the file was changed or damaged, copy the bundle again"
        )
    return content


def sha256_of(content: bytes) -> str:
    """The SHA-256 in hexadecimal, as it is in a manifest."""
    return hashlib.sha256(content).hexdigest()
