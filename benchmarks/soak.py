"""Whether memory, descriptors or threads grow: four machines, faster than real time.

    python -m benchmarks.soak [--hours 3] [--speed 50] [--json]

``--hours 24 --speed 50`` is a whole day of sound, in 29 minutes if the computer is fast
enough; the default is shorter. Resident memory, file descriptors and threads of the real
daemon are read every second and printed for each hour of sound. Every score that a
subscriber receives must be one of the scores of this machine's sound. Alerts must come
only from the machine with a fault, raised and cleared alternately. The exit status is 1
unless resident memory grows by less than 5 % after the first hour and descriptors and
threads stay the same.
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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks._soak.sound import Looped, make_machines
from tests.daemons import Daemon, daemon
from tests.mosquitto import Mosquitto, Subscriber

MACHINES = 4
MOST_GROWTH = 0.05
_SAMPLE_EVERY_S = 1.0


@dataclass(frozen=True)
class Sample:
    """A measurement of the daemon after ``hours`` of sound of each machine."""

    hours: float
    rss_mb: float
    descriptors: int
    threads: int


@dataclass
class Result:
    """The measurements. ``problems`` is empty if nothing grew and all scores were right."""

    samples: list[Sample]
    wall_s: float
    speed: float
    cpu_share: float
    scores: int = 0
    foreign_scores: int = 0
    alerts: int = 0
    growth: float = 0.0
    problems: list[str] = field(default_factory=list)


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
        begun_s = time.monotonic()
        one.start()
        samples, cpu_s = _watch(one, machines, hours)
        wall_s = time.monotonic() - begun_s
        status = one.end(signal.SIGTERM)
        speed = statistics.mean(machine.heard_s() for machine in machines) / wall_s
        result = Result(samples, wall_s, speed, cpu_s / wall_s)
        if status != 0:
            result.problems.append(f"the daemon ended with status {status}")
        _check_scores(result, machines, [(m.topic, m.payload) for m in scores.messages()])
        _check_alerts(result, machines, [m.payload for m in alerts.messages()])
        errors = [event for event in one.events() if event["level"] in {"error", "critical"}]
        result.problems += [f"logged: {event['message']}" for event in errors[:5]]
    _check_growth(result)
    return result


def _watch(one: Daemon, machines: list[Looped], hours: float) -> tuple[list[Sample], float]:
    process = psutil.Process(one.process.pid)
    samples: list[Sample] = []
    while (heard_h := min(machine.heard_s() for machine in machines) / 3600) < hours:
        time.sleep(_SAMPLE_EVERY_S)
        if one.process.poll() is not None:
            raise SystemExit(f"the daemon ended by itself:\n{one.log.read_text()[-2000:]}")
        rss_mb = process.memory_info().rss / 2**20
        samples.append(Sample(heard_h, rss_mb, process.num_fds(), process.num_threads()))
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


def _check_growth(result: Result) -> None:
    after = [sample for sample in result.samples if sample.hours >= 1.0]
    if len(after) < 20:
        result.problems.append("too short: fewer than 20 measurements after the first hour")
        return
    early = [sample for sample in after if sample.hours < 1.25] or after[:5]
    late = after[-len(early) :]
    first_mb, last_mb = (statistics.median(s.rss_mb for s in some) for some in (early, late))
    result.growth = last_mb / first_mb - 1.0
    if result.growth >= MOST_GROWTH:
        result.problems.append(f"resident memory grew by {result.growth:.1%}")
    for name in ("descriptors", "threads"):
        first, last = (statistics.median(getattr(s, name) for s in some) for some in (early, late))
        if first != last:
            result.problems.append(f"{name}: from {first:g} to {last:g}")


def report(result: Result) -> str:
    """The result as a table, by the hour of sound."""
    lines = [f"{'hour':>5} {'RSS MiB':>9} {'max':>7} {'descriptors':>12} {'threads':>8}"]
    whole_hours = int(result.samples[-1].hours) + 1
    for hour in range(whole_hours):
        some = [sample for sample in result.samples if hour <= sample.hours < hour + 1]
        if some:
            rss = [sample.rss_mb for sample in some]
            lines.append(
                f"{hour:5d} {statistics.median(rss):9.1f} {max(rss):7.1f}"
                f" {_range([sample.descriptors for sample in some]):>12}"
                f" {_range([sample.threads for sample in some]):>8}"
            )
    speed = f"{result.speed:.1f} times real time each"
    scores = f"{result.scores} scores received, {result.foreign_scores} outside their machine"
    lines += [
        f"{MACHINES} machines at {speed}, {result.wall_s:.0f} s, {result.cpu_share:.0%} of a core",
        f"resident memory after the first hour: {result.growth:+.2%}",
        f"{scores}; {result.alerts} alerts",
    ]
    return "\n".join(lines)


def _range(values: list[int]) -> str:
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)}-{max(values)}"


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
