"""``python -m monitor`` runs ``auscult``."""

import signal


def main() -> None:
    """Run a command and exit with its status. Ctrl+C while packages are loaded ends it silently."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from monitor.cli import main as run  # noqa: PLC0415 - this takes most of the start

    signal.signal(signal.SIGINT, before)
    run()


if __name__ == "__main__":
    main()
