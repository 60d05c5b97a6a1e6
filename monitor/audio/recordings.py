"""Recordings from arguments: files and folders, sound or log-mel."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from monitor.audio.channel_choice import Channel
from monitor.audio.ffmpeg import FFMPEG_SUFFIXES
from monitor.audio.files import read_blocks
from monitor.audio.log_mel_files import read_log_mel_blocks
from monitor.domain import AudioBlock, LogMelBlock
from monitor.errors import AuscultError, BadInputError, MissingInputError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.text.escaping import one_line
from monitor.text.wording import counted

AUDIO_SUFFIXES = FFMPEG_SUFFIXES | {
    *(".wav", ".wave", ".bwf", ".rf64", ".w64"),
    *(".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".caf", ".au", ".snd"),
}
"""Which files of a folder are recordings. What a file holds is decided by its content."""
LOG_MEL_SUFFIXES = frozenset({".npy"})
RECORDING_SUFFIXES = AUDIO_SUFFIXES | LOG_MEL_SUFFIXES

_COMMON = ("wav", "flac", "ogg", "mp3")

_Read = TypeVar("_Read")


def recording_files(
    arguments: Iterable[Path], suffixes: frozenset[str] = RECORDING_SUFFIXES
) -> list[Path]:
    """The recordings in ``arguments``, each path as it is reached from its argument.

    A folder gives all recordings in it and below, without hidden ones, sorted by path. A
    file gives itself, whatever its name. No path is listed twice. Raises
    ``MissingInputError`` for an argument that does not exist and for a folder without
    recordings.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        if stat.S_ISDIR(path_mode(argument)):
            below = list(_below(argument, suffixes))
            if not below:
                names = [name for name in _COMMON if f".{name}" in suffixes]
                expected = ", ".join([*names, "..."]) if names else ", ".join(sorted(suffixes))
                raise MissingInputError(f"{argument}: contains no recordings; expected {expected}")
            found.update(dict.fromkeys(below))
        else:
            found[argument] = None
    return list(found)


def ignored_files(
    arguments: Iterable[Path], suffixes: frozenset[str] = RECORDING_SUFFIXES
) -> Counter[str]:
    """How many files of the folders in ``arguments`` are no recordings, by suffix."""
    ignored: Counter[str] = Counter()
    for argument in arguments:
        if argument.is_dir():
            for path in _below(argument, None):
                if path.suffix.lower() not in suffixes:
                    ignored[path.suffix.lower()] += 1
    return ignored


def describe_ignored(ignored: Counter[str]) -> str:
    """``12 other files ignored (10 .txt, 2 .log)``, empty where there are none."""
    number = ignored.total()
    if not number:
        return ""
    kinds = ", ".join(
        f"{n} {one_line(suffix) or 'without suffix'}" for suffix, n in ignored.most_common(5)
    )
    return f"{counted(number, 'other file')} ignored ({kinds})"


def read_each(paths: Iterable[Path], read: Callable[[Path], _Read]) -> list[_Read]:
    """The result of ``read`` for every recording.

    Tries all of them, and raises one error with a line for each that cannot be used:
    ``MissingInputError`` if none of these can be opened, otherwise ``BadInputError``.
    """
    results: list[_Read] = []
    refused: list[AuscultError] = []
    for path in paths:
        try:
            results.append(read(path))
        except (BadInputError, MissingInputError) as error:
            refused.append(error)
    if refused:
        missing = all(isinstance(error, MissingInputError) for error in refused)
        lines = [line for error in refused for line in error.lines]
        raise MissingInputError(*lines) if missing else BadInputError(*lines)
    return results


def path_mode(path: Path, wanted: str = "file or folder") -> int:
    """What is at a path, as in ``st_mode``.

    Raises ``MissingInputError`` for a path that does not exist or cannot be reached: without the
    right to enter a folder above it, or on a share that is not connected.
    """
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise MissingInputError(f"{path}: no such {wanted}") from None
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be opened: {error.strerror}") from None


def _below(folder: Path, suffixes: frozenset[str] | None) -> Iterator[Path]:
    """Files that are not hidden, with one of ``suffixes`` or with any."""

    def refuse(error: OSError) -> None:
        raise MissingInputError(f"{error.filename}: cannot be listed: {error.strerror}")

    for path in files_below(folder, refuse):
        if suffixes is None or path.suffix.lower() in suffixes:
            yield path


def files_below(folder: Path, on_error: Callable[[OSError], None]) -> Iterator[Path]:
    """The files in a folder and below it, without hidden ones, sorted by path.

    Links to folders are followed. A folder that is reached in several ways is listed once, so a
    link to a folder above it does no harm. ``on_error`` gets the error of each folder that cannot
    be listed.
    """
    seen: set[tuple[int, int]] = set()

    def is_new(path: str) -> bool:
        try:
            status = os.stat(path)  # noqa: PTH116 - half the time of Path.stat
        except OSError as error:
            on_error(error)
            return False
        key = (status.st_dev, status.st_ino)
        if key in seen:
            return False
        seen.add(key)
        return True

    # os.walk calls itself for each level, and fails below about a thousand of them.
    waiting = [os.fspath(folder)]
    is_new(waiting[0])
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listed:
                entries = [entry for entry in listed if not entry.name.startswith(".")]
        except OSError as error:
            on_error(error)
            continue
        entries.sort(key=lambda entry: entry.name)
        folders = [entry.path for entry in entries if _is_folder(entry) and is_new(entry.path)]
        waiting.extend(reversed(folders))
        yield from (Path(entry.path) for entry in entries if not _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def recording_blocks(
    path: Path, spec: LogMelSpec | None = None, *, channel: Channel = "mix"
) -> Iterator[AudioBlock | LogMelBlock]:
    """One recording from its beginning: sound, or log-mel for an ``.npy`` file.

    Raises as ``read_blocks`` and ``read_log_mel_blocks``; with ``spec`` also for
    log-mel with another number of bands.
    """
    if path.suffix.lower() in LOG_MEL_SUFFIXES:
        return read_log_mel_blocks(path, n_mels=spec.n_mels if spec else None)
    return read_blocks(path, channel)
