"""Whether the machine starts more often, or runs for another share of the time, than allowed.

Example: a compressor with a leak starts twice as often, although its sound is healthy.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import ClassVar

from monitor.detection.operation import OperationStatus
from monitor.detection.settings import OperationSettings
from monitor.model.operation import HealthyDuty


@dataclass(slots=True)
class DutyPart:
    """A part of the observed time. While the machine is in transition, it does not run."""

    observed_s: float = 0.0
    running_s: float = 0.0
    starts: int = 0


def duty_of(settings: OperationSettings, *known: HealthyDuty | None) -> HealthyDuty:
    """The healthy range: each limit of the settings or, where unset, the first ``known`` one."""
    limits = {}
    for name in HealthyDuty.model_fields:
        values = (getattr(source, name, None) for source in (settings, *known))
        limits[name] = next((value for value in values if value is not None), None)
    return HealthyDuty(**limits)


def duty_text(duty: HealthyDuty) -> str:
    """The healthy range in words; empty without limits."""
    most = duty.most_starts_per_h
    least_share, most_share = duty.least_running_share, duty.most_running_share
    starts = "" if most is None else f"at most {most:.3g} starts per hour"
    least = "" if least_share is None else f"at least {least_share:.0%}"
    highest = "" if most_share is None else f"at most {most_share:.0%}"
    share = " and ".join(filter(None, (least, highest)))
    return ", ".join(filter(None, (starts, share and f"running {share} of the time")))


class DutyWatch:
    """Counts starts and running time over the last ``over_s`` of sound.

    Nothing is reported before a whole ``over_s`` was observed. Time without sound is not
    observed. State: the counts of the last parts, and those of the part that is not complete.
    """

    PARTS: ClassVar[int] = 24
    """The result changes only at the end of a part, so that it does not change too often."""

    def __init__(self, duty: HealthyDuty, over_s: float) -> None:
        self._duty = duty
        self._over_s = over_s
        self._parts: deque[DutyPart] = deque(maxlen=self.PARTS)
        self._newest = DutyPart()
        self.detail = ""
        """What is outside the healthy range, in one line; empty if nothing is."""

    def started(self) -> None:
        """The machine has started."""
        self._newest.starts += 1

    def passed(self, seconds: float, status: OperationStatus | None) -> None:
        """``seconds`` of sound in this state were processed; None: the state is unknown."""
        if status is None:
            return
        part_s = self._over_s / self.PARTS
        while seconds > 0:
            taken_s = min(seconds, part_s - self._newest.observed_s)
            self._newest.observed_s += taken_s
            self._newest.running_s += taken_s * (status is OperationStatus.RUNNING)
            seconds -= taken_s
            if self._newest.observed_s >= part_s * (1 - 1e-9):
                self._parts.append(self._newest)
                self._newest = DutyPart()
                self._judge()

    def _judge(self) -> None:
        if len(self._parts) < self.PARTS:
            return
        observed_s = sum(part.observed_s for part in self._parts)
        per_h = sum(part.starts for part in self._parts) / (observed_s / 3600)
        share = sum(part.running_s for part in self._parts) / observed_s
        duty, found = self._duty, []
        if duty.most_starts_per_h is not None and per_h > duty.most_starts_per_h:
            most = f"{duty.most_starts_per_h:.3g}"
            found.append(f"{per_h:.3g} starts per hour, healthy: at most {most}")
        if duty.most_running_share is not None and share > duty.most_running_share:
            most = f"{duty.most_running_share:.0%}"
            found.append(f"running {share:.0%} of the time, healthy: at most {most}")
        if duty.least_running_share is not None and share < duty.least_running_share:
            least = f"{duty.least_running_share:.0%}"
            found.append(f"running {share:.0%} of the time, healthy: at least {least}")
        over = f"over the last {observed_s / 3600:.3g} h: "
        self.detail = over + "; ".join(found) if found else ""
