"""The ``auscult`` command: arguments, messages and exit statuses.

Large packages are imported inside the commands, so that ``--help`` and ``check``
are quick. The exit statuses are those of ``monitor.errors``, 0 for success and
1 for ``replay --fail-on-alert`` with an alert.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from monitor import __version__
from monitor.cli import bundles, daemon, diagnosis, evaluation, notify, operation, training, web
from monitor.cli.stopping import Stopped, end_behind, end_by, stopped_by_signals
from monitor.commands.output import message
from monitor.errors import AuscultError, MissingInputError, ServiceUnavailableError
from monitor.process.memory import is_lack_of_memory
from monitor.text.arguments import CommandApp

EXIT_BUG = 70
EXIT_INTERRUPTED = 130
_DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})
_PATH_TROUBLE = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
        *(errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG, errno.EBUSY),
    }
)

app = CommandApp(help="Listens to machines and reports when one sounds wrong.")
for group in (daemon, operation, web, notify, bundles, evaluation, diagnosis, training):
    group.register(app)

_THREADING = {
    # Products of a few hundred numbers are slower on two threads than on one, and machines run
    # in parallel.
    "OPENBLAS_NUM_THREADS": "1",
    # Threads that wait must not occupy cores that other programs need.
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Numeric libraries read these variables when they are loaded, after ``main`` has started."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status, or by the signal that stopped it."""
    for name, value in _THREADING.items():
        os.environ.setdefault(name, value)
    try:
        with stopped_by_signals():
            status = run_command(sys.argv[1:] if arguments is None else arguments)
    except Stopped as stopped:
        _complain(f"stopped by {stopped.signal.name}: results that were written are incomplete")
        end_by(stopped.signal)
        status = 128 + stopped.signal
    sys.exit(status)


def run_command(arguments: Sequence[str]) -> int:
    """Run a command, print its messages and return its exit status."""
    try:
        return app.run("auscult", arguments)
    except AuscultError as error:
        _complain(*error.lines)
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has closed the pipe: the interpreter's last flush must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  # a bug still gets its exit status
        if isinstance(end := end_behind(error), Stopped):
            raise end from None
        return EXIT_INTERRUPTED if end else _unforeseen(error)


def _unforeseen(error: Exception) -> int:
    """Report what a file, the disk or the memory refuses in one line, or a bug with its traceback.

    Returns the exit status.
    """
    if is_lack_of_memory(error):
        reason = f" ({error})" if str(error) else ""
        _complain(f"MemoryError: not enough memory{reason}: free some, or give less at once")
        return ServiceUnavailableError.exit_status
    if isinstance(error, OSError) and error.errno in _DISK_TROUBLE:
        # This can be an error of reading or of writing, and the file is not always known.
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"disk error: {where}{error.strerror}")
        return ServiceUnavailableError.exit_status
    if (
        isinstance(error, OSError)
        and error.errno in _PATH_TROUBLE
        and isinstance(error.filename, str)
    ):
        # Such as a folder in the place of a file of results, or a folder that was deleted.
        _complain(f"{error.filename}: {error.strerror}")
        return MissingInputError.exit_status
    with suppress(OSError):  # standard error can be a full disk
        traceback.print_exception(error)
    return EXIT_BUG


def _complain(*lines: str) -> None:
    for line in lines:
        message(f"auscult: {line}")


def _version(wanted: bool) -> None:  # typer calls it with the value
    if wanted:
        typer.echo(f"auscult {__version__}")
        raise typer.Exit


@app.callback()
def _auscult(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Listens to machines and reports when one sounds wrong."""
