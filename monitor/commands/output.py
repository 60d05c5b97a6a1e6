"""Results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

import typer

from monitor.errors import MissingInputError, ServiceUnavailableError, UsageError
from monitor.text.escaping import json_text, one_line

if TYPE_CHECKING:
    from monitor.offline.replay import RecordingSummary

STANDARD_OUTPUT = Path("-")
"""As the name of a file of results."""


def emit(document: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print a result: one JSON document, or ``lines`` for people."""
    if as_json:
        typer.echo(json_text(document, indent=2))
        return
    for line in lines:
        typer.echo(one_line(line))


class ResultFile:
    """A text file with results of a command, named by ``option``. ``-`` is standard output.

    Raises ``UsageError`` for a recording, which a pattern such as ``--scores *.wav`` names,
    ``MissingInputError`` if it cannot be created and ``ServiceUnavailableError`` if it cannot be
    written, for example because the disk is full.
    """

    def __init__(self, path: Path, option: str) -> None:
        from monitor.audio.recordings import RECORDING_SUFFIXES  # noqa: PLC0415 - loads libraries

        self._path = path
        self.is_standard_output = path == STANDARD_OUTPUT
        self._file: TextIO
        if self.is_standard_output:
            self._file = sys.stdout
            return
        if path.suffix.lower() in RECORDING_SUFFIXES and path.exists():
            raise UsageError(f"{option}: {path} is a recording and would be overwritten")
        if not path.parent.exists():
            raise MissingInputError(f"{option}: the folder {path.parent} does not exist")
        try:
            self._file = path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise MissingInputError(f"{path}: cannot be written: {error.strerror}") from error

    def write(self, text: str) -> int:
        """Append ``text``; return the number of characters."""
        try:
            return self._file.write(text)
        except BrokenPipeError:  # the program that reads standard output wants no more
            raise
        except OSError as error:
            raise self._full(error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            if self.is_standard_output:
                self._file.flush()
            else:
                self._file.close()
        except BrokenPipeError:
            if exc_info[0] is None:
                raise
        except OSError as error:
            if exc_info[0] is None:
                raise self._full(error) from None

    def _full(self, error: OSError) -> ServiceUnavailableError:
        return ServiceUnavailableError(f"{self._path}: cannot be written: {error.strerror}")


def refuse_shared_output(files: Mapping[str, Path | None], *, as_json: bool) -> None:
    """Refuse two results on standard output. ``files``: by option.

    Raises ``UsageError``.
    """
    options = [option for option, path in files.items() if path == STANDARD_OUTPUT]
    if as_json:
        options.append("--json")
    if len(options) > 1:
        raise UsageError(
            f"{' and '.join(options)} would both write to standard output: name a file instead of -"
        )


def message(text: str) -> None:
    """Print a message that is not part of the result.

    Nobody reads it if standard error is a full disk or a closed pipe: this ends no command.
    """
    _echo_error(one_line(text), newline=True)


def report_ignored(arguments: Iterable[Path]) -> None:
    """Report the files of folders that are not read because they are not recordings."""
    from monitor.audio.recordings import (  # noqa: PLC0415 - loads libraries that few commands need
        describe_ignored,
        ignored_files,
    )

    if ignored := describe_ignored(ignored_files(arguments)):
        message(ignored)


def progress(text: str) -> None:
    """Replace the line of progress; only if standard error is a terminal."""
    if sys.stderr.isatty():
        _echo_error(f"\r\x1b[K{one_line(text)}", newline=False)


def _echo_error(text: str, *, newline: bool) -> None:
    try:
        typer.echo(text, nl=newline, err=True)
    except OSError:
        # What is left in the buffer would give the command another exit status at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """``rows`` as lines with their cells under each other."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def report_unjudged(summaries: Sequence[RecordingSummary]) -> None:
    """Name the recordings that were scored only in part, with the reason."""
    for one in summaries:
        if one.not_judged:
            message(f"{one.file}: not scored completely: {one.not_judged}")
