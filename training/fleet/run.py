"""A fleet from beginning to end: what is done already, the rest on an engine, and the tables."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.fleet.earlier_scores import remove_earlier_scores, remove_scores_of_others
from training.fleet.engine import Engine
from training.fleet.index_page import write_index
from training.fleet.output import own_output
from training.fleet.plan import ReplayPlan, TrainingPlan
from training.fleet.score_table import ALERTS, MACHINES, RECORDINGS, write_table
from training.fleet.settings import Machine
from training.fleet.tasks import FRAMES, WORK, Result, Task, recorded

FLEET_TABLE, RECORDING_TABLE, ALERT_TABLE = "fleet.parquet", "recordings.parquet", "alerts.parquet"
Progress = Callable[[int, int, Result], None]
"""Gets how many of the tasks that are to be done are done, and the newest result."""


@dataclass(slots=True)
class FleetResult:
    """What a run did.

    ``rows``: of its tables, by machine. ``done``: tasks of this run; ``known``: those that were
    done before. ``failed``: what could not be done. ``removed``: machines that are not in the fleet
    any more, whose scores were removed.
    """

    rows: list[dict[str, Any]]
    done: int = 0
    known: int = 0
    failed: list[Result] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


def train_fleet(
    machines: Sequence[Machine], out: Path, engine: Engine, progress: Progress, *, overwrite: bool
) -> FleetResult:
    """A bundle for each machine in ``OUT/<machine>``, ``fleet.parquet`` and ``index.html``.

    Raises as ``own_output``.
    """
    with own_output(out):
        return _train_fleet(machines, out, engine, progress, overwrite=overwrite)


def _train_fleet(
    machines: Sequence[Machine], out: Path, engine: Engine, progress: Progress, *, overwrite: bool
) -> FleetResult:
    plan = TrainingPlan(machines, out, overwrite=overwrite)
    frames_were_kept = (out / FRAMES).exists()
    reading = plan.reading()
    unread = [task for task in reading if recorded(task) is None]
    for result in engine.results(unread):
        if result.error:
            plan.refuse(result.machine, result.error, result.status)
    known, pending = _split(plan.training())
    if not frames_were_kept:
        needed = {path for task in pending for path in task.recordings}
        again = [task for task in reading if task not in unread and needed & {*task.recordings}]
        for _ in engine.results(again):
            pass
    results = [*known, *plan.refused.values(), *_run(engine, pending, progress)]
    failed = [one for one in results if one.error]
    if not failed:
        shutil.rmtree(out / FRAMES, ignore_errors=True)
    shutil.rmtree(out / WORK, ignore_errors=True)
    types = {machine.id: machine.settings.type for machine in machines}
    rows = [
        {"machine": one.machine, "type": types[one.machine], "error": one.error, **one.values}
        for one in sorted(results, key=lambda one: one.machine)
    ]
    write_table(out / FLEET_TABLE, rows, MACHINES)
    seconds = {one.machine: one.seconds for one in results}
    messages = {one.machine: one.messages for one in results}
    write_index(out, [{**row, "took_s": seconds[row["machine"]]} for row in rows], messages)
    return FleetResult(rows, len(pending), len(known), failed)


def replay_fleet(
    machines: Sequence[Machine], bundles: Path, out: Path, engine: Engine, progress: Progress
) -> FleetResult:
    """The scores of every archive in ``OUT/scores``, a row a recording, and all alerts.

    The scores of machines that are not in the fleet any more are removed, as their rows are.
    Raises as :func:`train_fleet`.
    """
    with own_output(out):
        return _replay_fleet(machines, bundles, out, engine, progress)


def _replay_fleet(
    machines: Sequence[Machine], bundles: Path, out: Path, engine: Engine, progress: Progress
) -> FleetResult:
    plan = ReplayPlan(machines, bundles, out)
    tasks = plan.replaying()
    known, pending = _split(tasks)
    remove_earlier_scores(out, tasks)
    results = [*known, *_run(engine, pending, progress)]
    results.sort(key=lambda one: one.task)
    rows = [row for one in results for row in one.values.get("recordings", [])]
    refused = [one for one in (*results, *plan.refused.values()) if one.error]
    rows += [{"machine": one.machine, "file": "", "error": one.error} for one in refused]
    alerts = [alert for one in results for alert in one.values.get("alerts", [])]
    rows.sort(key=lambda row: row["machine"])
    alerts.sort(key=lambda row: row["machine"])
    write_table(out / RECORDING_TABLE, rows, RECORDINGS)
    write_table(out / ALERT_TABLE, alerts, ALERTS)
    unread = [
        Result(row["file"], row["machine"], {}, {}, error=row["error"], status=65)
        for row in rows
        if row["file"] and row["error"]
    ]
    removed = remove_scores_of_others(out, {machine.id for machine in machines})
    return FleetResult(rows, len(pending), len(known), [*refused, *unread], removed)


def _run(engine: Engine, tasks: Sequence[Task], progress: Progress) -> list[Result]:
    results: list[Result] = []
    for result in engine.results(tasks):
        results.append(result)
        progress(len(results), len(tasks), result)
    return results


def _split(tasks: Sequence[Task]) -> tuple[list[Result], list[Task]]:
    """The results of the tasks that are done, and the others."""
    known, pending = [], []
    for task in tasks:
        result = recorded(task)
        if result is None:
            pending.append(task)
        else:
            known.append(result)
    return known, pending
