"""What the history and the sound around alerts cost the daemon while nothing happens.

    python -m benchmarks.kept [--seconds 60] [--pairs 3]

Pairs of daemons run at the same time, one with both and one without, each with one machine whose
healthy 16 kHz sound comes from a program in real time, and the default network. Processor time and
resident memory are those of the daemon itself, without the program. Each figure is the median of
the pairs. What a piece of evidence takes when there is an alert is in `benchmarks.footprint`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks._machine import RATE_HZ, machine_sound
from benchmarks.daemon import SETTLE_S, broker, configuration, daemon

_WITHOUT = '\n[history]\nenabled = false\n[evidence]\nkeep = "off"\n'
_PACED_FILE = """
import sys, time
sound = open(sys.argv[1], "rb").read()
start, sent = time.monotonic(), 0
while True:
    at = 2 * sent % len(sound)
    sys.stdout.buffer.write(sound[at:at + 3200]); sys.stdout.buffer.flush()
    sent += 1600
    time.sleep(max(0.0, start + sent / 16000 - time.monotonic()))
"""
_SOUND_S = 20.0
_LABELS = ("with history and evidence", "without")


def measure(seconds: float, n_pairs: int) -> list[tuple[float, float]]:
    """Share of a core and MB: the medians with both, and those without."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = stack.enter_context(broker(root))
        sound = root / "healthy.s16"
        (machine_sound(_SOUND_S) * 32_767).astype("<i2").tofile(sound)
        processes = []
        for number in range(2 * n_pairs):
            folder = root / str(number)
            folder.mkdir()
            config = _configure(folder, port, sound, keeps=number % 2 == 0)
            processes.append(stack.enter_context(daemon(config, folder))[0])
        time.sleep(SETTLE_S)
        begun_s, before_s = time.perf_counter(), [_used_s(one) for one in processes]
        time.sleep(seconds)
        lasted_s = time.perf_counter() - begun_s
        shares = [
            (_used_s(one) - used_s) / lasted_s
            for one, used_s in zip(processes, before_s, strict=True)
        ]
        rss_mb = [one.memory_info().rss / 1e6 for one in processes]
        if list(root.glob("*/**/evidence/*/*-raised.json")):
            raise SystemExit("an alert was raised, so the figures are not those of healthy sound")
        return [
            (statistics.median(shares[kind::2]), statistics.median(rss_mb[kind::2]))
            for kind in range(2)
        ]


def _configure(folder: Path, port: int, sound: Path, *, keeps: bool) -> Path:
    command = json.dumps([sys.executable, "-S", "-c", _PACED_FILE, str(sound)])
    source = f'kind = "command"\ncommand = {command}\nsample_rate_hz = {RATE_HZ}'
    path = configuration(folder, port, [source])
    text = path.read_text(encoding="utf-8").replace('"bench"', f'"bench/{folder.name}"')
    path.write_text(text + ("" if keeps else _WITHOUT), encoding="utf-8")
    return path


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    found = measure(options.seconds, options.pairs)
    for label, (share, mb) in zip(_LABELS, found, strict=True):
        print(f"{label:28} {share:7.2%} of a core {mb:7.1f} MB")
    (share, mb), (least_share, least_mb) = found
    print(f"{'difference':28} {share - least_share:7.2%} of a core {mb - least_mb:7.1f} MB")


if __name__ == "__main__":
    main()
