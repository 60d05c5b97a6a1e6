"""Measure fleets: machines and hours of sound an hour, with one worker and with two.

    python -m benchmarks.fleet [--machines 40] [--hours 10] [--engines local ray]

Simulated machines are trained with a small network, and hours of sound are replayed, once as a file
an hour and once as one file. Every run must give the same bundles and tables, bit for bit; the
program ends with an error if not. The ratio is the time with one worker over that with two. What
Ray adds is the difference to ``local`` with as many workers.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from benchmarks._machine import RATE_HZ, machine_sound, trained_bundle
from benchmarks._page import write_section

CONFIG = "[training]\nepochs = 5\nmost_windows_per_epoch = 512\nchannels = [8]\nbottleneck = 4\n"
N_RECORDINGS, RECORDING_S = 8, 12.0
WORKERS = (1, 2)
HEADER = (
    "| work | engine | one worker | two workers | ratio | a worker and hour |\n"
    "|---|---|---|---|---|---|"
)


def write_machines(folder: Path, n_machines: int) -> Path:
    """A fleet of simulated machines, each with a seed of its own."""
    for number in range(n_machines):
        healthy = folder / "plant" / f"pump-{number:02d}" / "healthy"
        healthy.mkdir(parents=True)
        sound = machine_sound(N_RECORDINGS * RECORDING_S, seed=number)
        for index, part in enumerate(np.split(sound, N_RECORDINGS)):
            soundfile.write(healthy / f"{index}.flac", part, RATE_HZ)
    (folder / "auscult.toml").write_text(CONFIG)
    path = folder / "fleet.toml"
    path.write_text(
        '[defaults]\nconfig = "auscult.toml"\nreport = false\n[[machine]]\nfolders = "plant/*"\n'
    )
    return path


def write_archive(folder: Path, hours: int, *, as_one: bool) -> Path:
    """A machine with ``hours`` of sound as 16-bit WAV: one file, or one an hour."""
    name = "one" if as_one else "many"
    archive = folder / name / "pump" / "archive"
    archive.mkdir(parents=True)
    (archive.parent / "healthy").mkdir()
    ten_minutes = machine_sound(600.0, seed=3)
    for first in range(0, hours, hours if as_one else 1):
        path = archive / f"20261130T{first:02d}0000Z.wav"
        with soundfile.SoundFile(path, "w", RATE_HZ, 1) as file:
            for _ in range(6 * (hours if as_one else 1)):
                file.write(ten_minutes)
    return archive.parent.parent


def timed(command: Sequence[object]) -> float:
    """Seconds of a command that must succeed."""
    started = time.perf_counter()
    words = [sys.executable, "-m", "monitor", "fleet", *map(str, command)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr}")
    return time.perf_counter() - started


def results(out: Path) -> dict[str, bytes]:
    """What must be the same in every run."""
    patterns = ("*.parquet", "bundle.json")
    found = [path for pattern in patterns for path in out.rglob(pattern)]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


@dataclass(frozen=True)
class Work:
    """A command and how much it does."""

    name: str
    amount: int
    unit: str
    command: tuple[object, ...]


def rows(work: Work, engines: Sequence[str], out: Path) -> Iterator[str]:
    """A row for each engine. Ends the program if two runs differ."""
    expected: dict[str, bytes] = {}
    for engine in engines:
        seconds = []
        for workers in WORKERS:
            folder = out / f"{engine}-{workers}"
            more = ("--engine", engine, "--workers", workers)
            seconds.append(timed([*work.command, "--out", folder, *more]))
            found = results(folder)
            if expected and found != expected:
                sys.exit(f"{work.name}, {engine}, {workers} workers: other results than before")
            expected = found
        one, two = seconds
        yield (
            f"| {work.name} | {engine} | {one:.0f} s | {two:.0f} s | {one / two:.2f} "
            f"| {work.amount / one * 3600:.0f} {work.unit} |"
        )


def main() -> None:
    """Measure, print, and write to the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machines", type=int, default=40)
    parser.add_argument("--hours", type=int, default=10)
    parser.add_argument("--engines", nargs="+", choices=("local", "ray"), default=["local", "ray"])
    options = parser.parse_args()
    bundle = trained_bundle()
    lines = [HEADER]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fleet = write_machines(folder, options.machines)
        name = f"training of {options.machines} small machines"
        training = Work(name, options.machines, "machines", ("train", fleet))
        lines += rows(training, options.engines, folder / "t")
        bundles = folder / "bundles"
        bundles.mkdir()
        (bundles / "pump").symlink_to(bundle)
        for as_one in (False, True):
            archive = write_archive(folder, options.hours, as_one=as_one)
            kind = "one file" if as_one else "a file an hour"
            name = f"replay of {options.hours} hours, {kind}"
            command = ("replay", archive, "--bundles", bundles)
            replay = Work(name, options.hours, "hours of sound", command)
            lines += rows(replay, options.engines, folder / f"r-{as_one}")
    text = "\n".join(lines)
    print(text)
    if (options.machines, options.hours) == (40, 10) and len(options.engines) == 2:
        write_section("fleet", text)


if __name__ == "__main__":
    main()
