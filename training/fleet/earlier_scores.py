"""Scores of earlier runs that the archives no longer have. No other file is removed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

from training.fleet.replay_task import SCORES
from training.fleet.tasks import Task, forget, recorded_results, sha256_of_file


def remove_earlier_scores(out: Path, tasks: Sequence[Task]) -> None:
    """Remove the scores of tasks that the machines of ``tasks`` no longer have.

    Where old recordings are removed from an archive, the last tasks have no successor that
    replaces their scores.
    """
    names: dict[str, set[str]] = {}
    for task in tasks:
        names.setdefault(task.machine, set()).add(f"{task.id}.parquet")
    for machine, present in names.items():
        is_of_task = re.compile(rf"replay-{re.escape(machine)}-\d{{5,}}\.parquet").fullmatch
        for path in (out / SCORES / f"machine={machine}").glob("day=*/replay-*.parquet"):
            if is_of_task(path.name) and path.name not in present:
                path.unlink()


def remove_scores_of_others(out: Path, machines: Collection[str]) -> list[str]:
    """Remove the scores of all machines but these; the machines whose scores were removed.

    A file that has another content than its record states is not removed: the fleet did not write
    it. Raises ``OSError``.
    """
    removed: dict[str, None] = {}
    for result in recorded_results(out, "replay"):
        if result.machine in machines:
            continue
        for name, sha256 in result.files.items():
            path = out / name
            if _is_place_of_scores(name, result.machine, result.task) and _has(path, sha256):
                path.unlink()
                removed[result.machine] = None
                for folder in (path.parent, path.parent.parent):
                    with contextlib.suppress(OSError):  # not empty
                        folder.rmdir()
        forget(out, result.task)
    return sorted(removed)


def _is_place_of_scores(name: str, machine: str, task: str) -> bool:
    """Whether a worker writes scores there: a record may be of another program."""
    parts = PurePosixPath(name).parts
    place = (SCORES, f"machine={machine}", f"{task}.parquet")
    return len(parts) == 4 and (parts[0], parts[1], parts[3]) == place and parts[2][:4] == "day="


def _has(path: Path, sha256: str) -> bool:
    try:
        return path.is_file() and sha256_of_file(path) == sha256
    except OSError:
        return False
