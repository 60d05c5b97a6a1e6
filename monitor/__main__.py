"""``python -m monitor`` runs ``auscult``."""

import os
import signal
import sys


def main() -> None:
    """Run a command and exit with its status. Ctrl+C while packages are loaded ends it silently."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_standard_files()
    from monitor.cli import main as run  # noqa: PLC0415 - this takes most of the start

    signal.signal(signal.SIGINT, before)
    run()


def _open_standard_files() -> None:
    """Open those that the caller has closed.

    Otherwise a database would get the number of standard error, and libraries write to that.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
        setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


if __name__ == "__main__":
    main()
