"""The rows of the table, and what each must show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.operation.following import Followed
from monitor.detection.operation import OperationStatus

LEAST_SHARE = 0.95
HEADER = (
    "| machine | sound | seconds | running | off | transition | starts | alerts | as it must be |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. ``problem``: what is not as it must be; empty if all is."""

    machine: str
    sound: str
    followed: Followed
    problem: str

    def __str__(self) -> str:
        one = self.followed
        cells = (
            self.machine,
            self.sound,
            f"{one.time_in.total() / 10:.0f}",
            *(f"{one.share(status):.1%}" for status in OperationStatus),
            str(one.n_starts),
            str(one.n_alerts),
            self.problem or "yes",
        )
        return f"| {' | '.join(cells)} |"


def row(
    machine: str,
    sound: str,
    one: Followed,
    *,
    state: OperationStatus | None = None,
    alerts: Literal["none", "some"] | None = "none",
    starts: int | None = None,
) -> Row:
    """A row that fails if the state lasts too short, or alerts or starts are not as many."""
    problems = []
    if state is not None and one.share(state) < LEAST_SHARE:
        problems.append(f"{state} in less than {LEAST_SHARE:.0%}")
    if alerts == "none" and one.n_alerts:
        problems.append("alerts")
    if alerts == "some" and not one.n_alerts:
        problems.append("no alert")
    if starts is not None and (one.n_starts, one.n_stops) != (starts, starts):
        problems.append(f"{one.n_starts} starts and {one.n_stops} stops, not {starts}")
    return Row(machine, sound, one, ", ".join(problems))
