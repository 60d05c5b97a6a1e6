"""Running commands in this process or in a new one, with configurations and recordings."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from monitor.cli import run_command
from tests.bundles import SPEC, machine_sound
from tests.daemons import ROOT, Daemon
from tests.mosquitto import Mosquitto

RATE_HZ = SPEC.sample_rate_hz


@dataclass(frozen=True)
class Outcome:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, read as one JSON document."""
        return json.loads(self.out)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def auscult(*arguments: object, terminal: bool = False) -> Outcome:
    """Run a command in this process; ``terminal``: whether standard error is a terminal."""
    out, err = io.StringIO(), _Terminal() if terminal else io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run_command([str(argument) for argument in arguments])
    return Outcome(status, out.getvalue(), err.getvalue())


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as a process."""
    return subprocess.run(
        [sys.executable, "-m", "monitor", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


_HIDE_PACKAGES = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

HIDDEN = sys.argv.pop(1).split(",")
sys.meta_path.insert(0, Hidden())
from monitor.cli import main
main()
"""


def process_without(packages: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as a process in which ``packages``, separated by commas, are not installed."""
    return subprocess.run(
        [sys.executable, "-c", _HIDE_PACKAGES, packages, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def configured(folder: Path, bundle: Path, broker: Mosquitto | None = None, **source: Any) -> Path:
    """A configuration of one machine, ``pump-7``, simulated unless ``source`` is given."""
    daemon = Daemon(folder, broker)
    daemon.machine("pump-7", bundle, **(source or {"kind": "simulated"}))
    daemon.write()
    return daemon.config


def write_recordings(folder: Path) -> Path:
    """Two healthy recordings, and ``fault.flac`` in which a fault starts and ends."""
    (folder / "below").mkdir(parents=True)
    fault = np.concatenate(
        [machine_sound(12), machine_sound(12, seed=1, fault=0.3), machine_sound(20, seed=2)]
    )
    for name, samples in (
        ("healthy-1.flac", machine_sound(10, seed=50)),
        ("below/healthy-2.wav", machine_sound(10, seed=51)),
        ("fault.flac", fault),
    ):
        soundfile.write(folder / name, samples, RATE_HZ)
    return folder
