"""Recordings by path or by URL: which there are, and how a worker reaches them.

A URL is read with fsspec: ``s3://bucket/pump-1/*.flac``, or a file of an archive,
``zip://pump-1/*.flac::/data/pumps.zip``. Other texts are paths, which every worker must have.
"""

from __future__ import annotations

import contextlib
import glob
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from monitor.audio.recordings import RECORDING_SUFFIXES, recording_files
from monitor.errors import BadInputError, MissingInputError
from training.fleet.settings import is_url

_STAMPS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "modify", "CRC")
"""What changes with the content of a file, by the names of the stores. Zip archives have a CRC."""


def expanded(patterns: Iterable[str]) -> list[str]:
    """The recordings of paths, patterns and URLs: each path or URL once, in sorted order.

    Raises ``MissingInputError`` for one that names no recording.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        found.update(dict.fromkeys(_of_url(pattern) if is_url(pattern) else _of_path(pattern)))
    return list(found)


def identity_of(recording: str) -> list[object]:
    """What changes if a recording is replaced: its name, its size, and when it was written.

    Raises ``OSError`` for a path, and ``MissingInputError`` for a URL, that cannot be reached.
    """
    if is_url(recording):
        filesystem, path = _opened(recording)
        with _reachable(recording):
            info = filesystem.info(path)
        stamps = (info[name] for name in _STAMPS if info.get(name))
        return [recording, info.get("size"), str(next(stamps, ""))]
    status = Path(recording).stat()
    return [recording, status.st_size, status.st_mtime_ns]


def size_of(recording: str) -> int:
    """The size in bytes; 0 if it is not known."""
    with contextlib.suppress(OSError, BadInputError, MissingInputError):
        size = identity_of(recording)[1]
        return size if isinstance(size, int) else 0
    return 0


@contextlib.contextmanager
def local_paths(recordings: Iterable[str]) -> Iterator[dict[str, Path]]:
    """A local path for each recording; what is a URL is copied into a folder for this time.

    The copies have relative paths, so that their names do not depend on the worker: the folder is
    the current folder of the process meanwhile. Raises ``MissingInputError`` that names this
    computer for a recording that it cannot reach.
    """
    names = list(recordings)
    for name in names:
        if not is_url(name) and not os.access(name, os.R_OK):
            why = "cannot be read" if Path(name).exists() else "is not there"
            raise MissingInputError(f"{name}: {why} on {socket.gethostname()}, where the work runs")
    remote = [name for name in names if is_url(name)]
    if not remote:
        yield {name: Path(name) for name in names}
        return
    with tempfile.TemporaryDirectory(prefix="auscult-fleet-") as folder, contextlib.chdir(folder):
        copies: dict[str, Path] = {}
        for name in remote:
            copies[name] = _copied(name, {*copies.values()})
        yield {name: copies[name] if name in copies else Path(name) for name in names}


def _of_path(pattern: str) -> list[str]:
    paths = [pattern]
    if glob.has_magic(pattern) and not Path(pattern).exists():
        paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - the pattern is absolute
        if not paths:
            raise MissingInputError(f"{pattern}: nothing matches this pattern")
    return [str(path) for path in recording_files(map(Path, paths))]


def _of_url(url: str) -> list[str]:
    filesystem, path = _opened(url)
    below: list[str] = []
    with _reachable(url):
        for found in filesystem.glob(path) if glob.has_magic(path) else [path]:
            if filesystem.isdir(found):
                inside = filesystem.find(found)
                below += [one for one in inside if _suffix(one) in RECORDING_SUFFIXES]
            elif filesystem.exists(found):
                below.append(found)
    if not below:
        raise MissingInputError(f"{url}: no recording is there")
    return [_url_of(url, filesystem, one) for one in sorted(below)]


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _url_of(url: str, filesystem: Any, path: str) -> str:
    """The URL of one path, also in a chain such as ``zip://PATH::/data/file.zip``."""
    first, *rest = url.split("::")
    if not rest:
        return str(filesystem.unstrip_protocol(path))
    return "::".join([f"{first.partition('://')[0]}://{path}", *rest])


def _copied(url: str, taken: set[Path]) -> Path:
    filesystem, path = _opened(url)
    inside = Path(*(part for part in PurePosixPath(path).parts if part not in {"/", "..", "."}))
    # Two archives may have a recording of one name.
    places = (inside, *(Path(str(number), inside) for number in range(2, len(taken) + 3)))
    target = next(place for place in places if place not in taken)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _reachable(url):
        filesystem.get_file(path, str(target))
    return target


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    try:
        import fsspec  # noqa: PLC0415 - local paths need no fsspec
    except ModuleNotFoundError:
        raise BadInputError(
            f"{url}: reading URLs needs the extra 'fleet': pip install '.[fleet]'"
        ) from None
    with _reachable(url):
        filesystem, path = fsspec.core.url_to_fs(url)
    return filesystem, str(path)


@contextlib.contextmanager
def _reachable(url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise MissingInputError(f"{url}: is not there, seen from {socket.gethostname()}") from None
    except ImportError as error:
        raise BadInputError(f"{url}: {error}") from None
    except Exception as error:  # noqa: BLE001 - each store and archive has errors of its own
        raise MissingInputError(
            f"{url}: cannot be reached from {socket.gethostname()}: {str(error) or repr(error)}"
        ) from None
