"""The demo with many seeds: whether every fault is detected, and whether there are other alerts.

    python -m benchmarks.demo_seeds [--seeds 20] [--jobs 2]

Every seed is another machine of the same type, with other noise and another load. Each run
trains, calibrates and monitors in real time: twenty runs take about twenty minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def run(seed: int) -> tuple[int, int, float, str]:
    """Seed, exit status, seconds and output of the demo."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "monitor", "demo", "--seed", str(seed), "--out", folder],
            capture_output=True,
            text=True,
            cwd=Path(__file__).resolve().parent.parent,
            check=False,
        )
    return seed, done.returncode, time.monotonic() - started, done.stdout + done.stderr


def main() -> None:
    """Run all seeds and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    options = parser.parse_args()
    good = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for seed, status, seconds, said in pool.map(run, range(options.seeds)):
            good += status == 0
            received = [line.strip() for line in said.splitlines() if "received:" in line]
            print(f"seed {seed:2}  exit {status}  {seconds:3.0f} s  " + "; ".join(received))
            if status:
                print(said)
            sys.stdout.flush()
    print(f"{good} of {options.seeds} seeds: the fault raised and cleared, no other alert")
    sys.exit(good != options.seeds)


if __name__ == "__main__":
    main()
