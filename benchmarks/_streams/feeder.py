"""Writes a recording in real time into many named pipes, a tenth of a second at a time.

    python -m benchmarks._streams.feeder RECORDING FOLDER COUNT

Each pipe begins at another place of the recording and at another moment.
"""

from __future__ import annotations

import heapq
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import soundfile

CHUNK_S = 0.1


def main() -> None:
    """Feed until killed."""
    recording, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    samples, rate_hz = soundfile.read(recording, dtype="int16")
    sound, step = samples.tobytes(), 2 * round(CHUNK_S * rate_hz)
    n_chunks = len(sound) // step
    begun_s = time.monotonic()
    due = [(begun_s + CHUNK_S * n / count, n, n * 37 % n_chunks) for n in range(count)]
    heapq.heapify(due)
    pipes: dict[int, int] = {}
    while True:
        due_s, number, place = due[0]
        time.sleep(max(0.0, due_s - time.monotonic()))
        if number not in pipes:
            with suppress(OSError):  # nobody reads it yet
                flags = os.O_WRONLY | os.O_NONBLOCK
                pipes[number] = os.open(folder / f"{number}.pcm", flags)
        if number in pipes:
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(pipes[number], sound[place * step : (place + 1) * step])
        heapq.heapreplace(due, (due_s + CHUNK_S, number, (place + 1) % n_chunks))


if __name__ == "__main__":
    main()
