"""Results that take long to make, kept on disk as long as the programs that made them are equal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks._machine import RUNS
from benchmarks.recall.machines import Machine

Arrays = Mapping[str, npt.NDArray[Any]]

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAMS = (
    "monitor/audio",
    "monitor/calibration",
    "monitor/detection",
    "monitor/features",
    "monitor/model",
    "training/sound",
    "benchmarks/recall",
)
_NO_RESULTS = {"__main__.py", "figures.py", "rows.py"}
"""Programs of these folders that only use what is kept."""


def folder_of(machine: Machine) -> Path:
    """Where the results of a machine are kept."""
    name = f"{machine.name}-{machine.seed}-{_programs()[:12]}".replace(" ", "_")
    return RUNS / "recall" / name


def kept(machine: Machine, name: str, make: Callable[[], Iterable[Arrays]]) -> list[Arrays]:
    """What ``make`` gives for the machine, from disk if it was made before."""
    path = folder_of(machine) / f"{name.replace(' ', '_')}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = {
            f"{number:05d}/{key}": array
            for number, arrays in enumerate(make())
            for key, array in arrays.items()
        }
        unfinished = path.with_suffix(".part.npz")
        np.savez(unfinished, allow_pickle=False, **made)
        unfinished.rename(path)
    found: dict[str, dict[str, npt.NDArray[Any]]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for name_in_file in stored.files:
            number, key = name_in_file.split("/")
            found.setdefault(number, {})[key] = stored[name_in_file]
    return [found[number] for number in sorted(found)]


@cache
def _programs() -> str:
    """The hash of every program on which the kept results depend."""
    digest = hashlib.sha256()
    for folder in _PROGRAMS:
        for path in sorted((_ROOT / folder).rglob("*.py")):
            if path.name not in _NO_RESULTS:
                digest.update(path.read_bytes())
    return digest.hexdigest()
