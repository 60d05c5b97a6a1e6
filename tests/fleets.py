"""Fleets in tests: an engine without workers, and archives to replay."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import soundfile

from tests.bundles import machine_sound, make_bundle
from tests.command_line import RATE_HZ
from tests.daemons import ROOT
from training.fleet.perform import perform
from training.fleet.run import replay_fleet
from training.fleet.settings import read_fleet
from training.fleet.tasks import Result, Task


class InProcess:
    """The work of an engine, in this process."""

    def results(self, tasks: Sequence[Task]) -> Iterator[Result]:
        """One after the other."""
        return (Result.from_json(perform(task.to_json())) for task in tasks)

    def close(self) -> None:
        """There is no worker."""


def write_archives(folder: Path, n_machines: int, seconds: float) -> Path:
    """A fleet in ``folder/fleet`` with a recording for each machine, and ``folder/bundles``."""
    made = make_bundle(folder / "made")
    for number in range(n_machines):
        machine = folder / "fleet" / f"pump-{number}"
        for name in ("healthy", "archive"):
            (machine / name).mkdir(parents=True)
        sound = machine_sound(seconds, seed=number, fault=0.3 if number == 1 else 0.0)
        soundfile.write(machine / "archive" / "20261130T101500Z.wav", sound, RATE_HZ)
        shutil.copytree(made.path, folder / "bundles" / machine.name)
    return folder


def replayed_without_engine(plant: Path, folder: Path) -> dict[str, bytes]:
    """The results that every engine must give, made in ``folder``."""
    out = folder / "out"
    machines = read_fleet(plant / "fleet")
    assert not replay_fleet(machines, plant / "bundles", out, InProcess(), lambda *_: None).failed
    return replayed(out)


def start_replay(plant: Path, out: Path, *more: object) -> subprocess.Popen[bytes]:
    """The command as a process."""
    words = ("replay", plant / "fleet", "--out", out, "--bundles", plant / "bundles", *more)
    return subprocess.Popen(
        [sys.executable, "-m", "monitor", "fleet", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def replayed(out: Path) -> dict[str, bytes]:
    """All tables of a replay by their path: what must be the same for every engine."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.parquet")}
