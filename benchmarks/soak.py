"""Whether memory, descriptors or threads grow: four machines, faster than real time.

    python -m benchmarks.soak [--hours 3] [--speed 50] [--json]

``--hours 24 --speed 50`` is a whole day of sound, in 29 minutes if the computer is fast
enough; the default is shorter. Resident memory, file descriptors and threads of the real
daemon are read every second and printed for each hour of sound. Every score that a
subscriber receives must be one of the scores of this machine's sound. Alerts must come
only from the machine with a fault, raised and cleared alternately. The history and the
evidence have the smallest limits, and the history is full at the beginning; their folders are
looked at all the time. Every piece of evidence that an alert names must be there, or be
reported as deleted or lost. The exit status is 1 unless all of this is true, resident memory grows
by less than 5 % after the first hour, and descriptors and threads stay the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from benchmarks._soak.result import Result, Sample, check_growth, report
from benchmarks._soak.sound import Looped, make_machines
from benchmarks.folder_limits import FolderWatch, fill_history
from monitor.evidence.folder import EvidenceFolder
from monitor.history.reader import HistoryReader
from tests.daemons import Daemon, daemon
from tests.mosquitto import Mosquitto, Subscriber

MACHINES = 4
_SAMPLE_EVERY_S = 1.0
_MOST_MB = 10
"""The limit of the history, and that of the evidence."""


def soak(folder: Path, hours: float, speed: float) -> Result:
    """Run the daemon for some hours of sound of each machine."""
    machines = make_machines(folder, MACHINES, speed)
    with (
        Mosquitto(folder / "broker") as broker,
        daemon(folder / "daemon", broker) as one,
        Subscriber(broker, "auscult/test/+/score", client_id="scores") as scores,
        Subscriber(broker, "auscult/test/+/alert", client_id="alerts") as alerts,
    ):
        for machine in machines:
            one.machine(machine.machine, machine.bundle, **machine.source)
        one.mqtt(score_interval_s=0.25)
        one.table("history", max_mb=_MOST_MB)
        one.table("evidence", max_mb=_MOST_MB, max_per_day=10_000)
        space = _prepare(one.folder / "state", [machine.machine for machine in machines])
        begun_s = time.monotonic()
        one.start()
        samples, cpu_s = _watch(one, machines, hours)
        wall_s = time.monotonic() - begun_s
        status = one.end(signal.SIGTERM)
        space.stop()
        speed = statistics.mean(machine.received_s() for machine in machines) / wall_s
        result = Result(samples, wall_s, speed, cpu_s / wall_s, MACHINES)
        if status != 0:
            result.problems.append(f"the daemon ended with status {status}")
        _check_scores(result, machines, [(m.topic, m.payload) for m in scores.messages()])
        received = [m.payload for m in alerts.messages()]
        _check_alerts(result, machines, received)
        _check_space(result, space)
        _check_evidence(result, one.folder / "state", received)
        errors = [event for event in one.events() if event["level"] in {"error", "critical"}]
        result.problems += [f"logged: {event['message']}" for event in errors[:5]]
    check_growth(result)
    return result


def _prepare(state: Path, machines: list[str]) -> FolderWatch:
    """A history that is as full as the daemon lets it become, and a watch that has begun."""
    state.mkdir()
    n_bytes = _MOST_MB * 1_000_000
    fill_history(state / "history.sqlite3", machines, time.time(), int(0.78 * n_bytes))
    space = FolderWatch(state, history_bytes=n_bytes, evidence_bytes=n_bytes)
    space.start()
    return space


def _watch(one: Daemon, machines: list[Looped], hours: float) -> tuple[list[Sample], float]:
    process = psutil.Process(one.process.pid)
    samples: list[Sample] = []
    while (received_h := min(machine.received_s() for machine in machines) / 3600) < hours:
        time.sleep(_SAMPLE_EVERY_S)
        if one.process.poll() is not None:
            raise SystemExit(f"the daemon ended by itself:\n{one.log.read_text()[-2000:]}")
        rss_mb = process.memory_info().rss / 2**20
        samples.append(Sample(received_h, rss_mb, process.num_fds(), process.num_threads()))
    times = process.cpu_times()
    return samples, times.user + times.system


def _check_scores(
    result: Result, machines: list[Looped], messages: list[tuple[str, bytes]]
) -> None:
    known = {machine.machine: machine.scores for machine in machines}
    result.scores = len(messages)
    seen = set()
    for topic, payload in messages:
        machine = topic.split("/")[-2]
        seen.add(machine)
        if json.loads(payload)["score"] not in known.get(machine, frozenset()):
            result.foreign_scores += 1
    if result.foreign_scores:
        result.problems.append(f"{result.foreign_scores} scores of no or another machine")
    if seen != set(known):
        result.problems.append(f"there are scores of {sorted(seen)} only")
    values = [score for scores in known.values() for score in scores]
    if len(values) != len(set(values)):
        result.problems.append("two machines have the same scores: the result is not valid")


def _check_alerts(result: Result, machines: list[Looped], payloads: list[bytes]) -> None:
    faulty = {machine.machine for machine in machines if machine.faulty}
    documents: list[dict[str, Any]] = [json.loads(payload) for payload in payloads]
    result.alerts = len(documents)
    if not {one["machine"] for one in documents} <= faulty:
        result.problems.append("an alert from a machine without a fault")
    if [one["sequence"] for one in documents] != list(range(1, len(documents) + 1)):
        result.problems.append("the alerts' sequence has gaps")


def _check_space(result: Result, space: FolderWatch) -> None:
    result.most_history_bytes, result.most_evidence_bytes = space.history.most, space.evidence.most
    result.looks = space.n_looks
    result.problems += space.problems()


def _check_evidence(result: Result, state: Path, payloads: list[bytes]) -> None:
    """Every piece that an alert names is there, or was kept and deleted, or is reported as lost."""
    evidence = [json.loads(payload).get("evidence") or {} for payload in payloads]
    named = {str(one["id"]) for one in evidence if "id" in one}
    folder = EvidenceFolder(state / "evidence")
    there = {one for one in named if folder.piece(one) is not None}
    events = HistoryReader(state / "history.sqlite3").events(kinds=["evidence"], limit=10_000)
    reported = {str(event.payload["evidence_id"]) for event in events}
    result.evidence_named, result.evidence_there = len(named), len(there)
    result.evidence_events = dict(Counter(event.value for event in events))
    if unknown := named - there - reported:
        result.problems.append(f"nothing is known of {len(unknown)} pieces of evidence")
    if not all("id" in one for one in evidence):
        result.problems.append("an alert without evidence")


def main() -> int:
    """Run with the given arguments; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, default=3.0, help="of sound of each machine")
    parser.add_argument("--speed", type=float, default=50.0, help="at most so many times real time")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.nice(10)
    folder = Path(tempfile.mkdtemp(prefix="auscult-soak-"))
    try:
        result = soak(folder, arguments.hours, arguments.speed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(asdict(result)) if arguments.json else report(result))
    for problem in result.problems:
        print(f"PROBLEM: {problem}", file=sys.stderr)
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
