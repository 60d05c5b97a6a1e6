"""A worker process of the engine ``local``: tasks on standard input, results on standard output.

    python -m training.fleet.worker DESCRIPTOR

It ends when its standard input ends, and at once when the pipe DESCRIPTOR is closed by the end of
the process that started it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def main(life: int) -> None:
    """Do tasks until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the driver as well
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()
    # What libraries print must not get between the results.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    from training.fleet.perform import perform  # noqa: PLC0415 - loads torch, after the thread

    for line in sys.stdin:
        answers.write(perform(line) + "\n")
        answers.flush()


def _end_with(life: int) -> None:
    """Wait for the end of the process that started this one: nothing is ever written."""
    os.read(life, 1)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
