"""The measurements of the soak, and what they must show."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

import numpy as np

MOST_GROWTH = 0.05
TOO_SHORT = "too short: fewer than 20 measurements after the first hour"


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
    machines: int
    scores: int = 0
    foreign_scores: int = 0
    alerts: int = 0
    growth: float = 0.0
    slope_mb_per_hour: float = 0.0
    most_history_bytes: int = 0
    most_evidence_bytes: int = 0
    looks: int = 0
    evidence_named: int = 0
    evidence_there: int = 0
    evidence_events: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def check_growth(result: Result) -> None:
    """Nothing may grow after the first hour."""
    after = [sample for sample in result.samples if sample.hours >= 1.0]
    if len(after) < 20:
        result.problems.append(TOO_SHORT)
        return
    early = [sample for sample in after if sample.hours < 1.25] or after[:5]
    late = after[-len(early) :]
    first_mb, last_mb = (statistics.median(s.rss_mb for s in some) for some in (early, late))
    result.growth = last_mb / first_mb - 1.0
    slope, _ = np.polyfit([s.hours for s in after], [s.rss_mb for s in after], 1)
    result.slope_mb_per_hour = float(slope)
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
    growth = f"{result.growth:+.2%}, {result.slope_mb_per_hour:+.3f} MiB per hour of sound"
    most = f"of the history {result.most_history_bytes}, of the evidence"
    pieces = f"{result.evidence_named}, there at the end: {result.evidence_there}"
    share = f"{result.cpu_share:.0%}"
    lines += [
        f"{result.machines} machines at {speed}, {result.wall_s:.0f} s, {share} of a core",
        f"resident memory after the first hour: {growth}",
        f"most bytes {most} {result.most_evidence_bytes}, in {result.looks} looks",
        f"pieces of evidence that alerts name: {pieces}; by the history: {result.evidence_events}",
        f"{scores}; {result.alerts} alerts",
    ]
    return "\n".join(lines)


def _range(values: list[int]) -> str:
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)}-{max(values)}"
