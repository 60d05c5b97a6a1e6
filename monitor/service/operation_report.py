"""What is published about whether a machine runs: its state, hours and starts, and an alert."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from monitor.alerts import AlertDraft
from monitor.clock import rfc3339
from monitor.detection.duty_cycle import DutyWatch
from monitor.detection.operation import OperationChange, OperationStatus
from monitor.detection.settings import OperationSettings
from monitor.detection.thresholds import Thresholds
from monitor.domain import MachineWarning
from monitor.model.bundle import Bundle
from monitor.model.operation import HealthyDuty
from monitor.service.operation_record import OperationRecord
from monitor.service.outlet import Outlet

log = logging.getLogger(__name__)


class OperationReport:
    """Counts how one machine runs, and publishes it to the outlet. Call ``use`` first.

    ``send``: gives an alert to the outlet. ``unix_s``: the wall time that lies so many seconds
    before the newest sound. ``path``: where running hours and starts are kept.
    """

    def __init__(
        self,
        machine: str,
        outlet: Outlet,
        settings: OperationSettings,
        path: Path | None,
        *,
        send: Callable[[AlertDraft], None],
        unix_s: Callable[[float], float],
    ) -> None:
        self._machine = machine
        self._outlet = outlet
        self._settings = settings
        self._path = path
        self._send = send
        self._unix_s = unix_s

    def use(self, bundle: Bundle | None, thresholds: Thresholds | None, duty: HealthyDuty) -> None:
        """By what the machine is judged from now on."""
        self._bundle = bundle
        self._thresholds = thresholds
        self._record = OperationRecord(self._path, bundle.sha256 if bundle is not None else "")
        self._is_off_reported: bool | None = None
        """Whether an alert is open because the machine is off; None: not known yet."""
        self._limits = duty.model_dump(exclude_none=True)
        self._duty = DutyWatch(duty, self._settings.duty_cycle_s)

    @property
    def warnings(self) -> tuple[MachineWarning, ...]:
        """What is unusual about how the machine runs."""
        return (MachineWarning("duty_cycle", self._duty.detail),) if self._duty.detail else ()

    def passed(self, seconds: float, operation: OperationStatus | None) -> None:
        """So much sound has passed. Raise or clear the alert of a machine that is off."""
        self._record.passed(seconds, operation)
        self._duty.passed(seconds, operation)
        self._check_off(operation)

    def changed(self, change: OperationChange) -> None:
        """Publish and log that the machine has started or stopped."""
        self._record.changed(change)
        if change.is_start:
            self._duty.started()
        log.info("operation %s", change.status, extra={"machine": self._machine})
        self.publish()

    def publish(self) -> None:
        """Publish whether the machine runs, if that is known."""
        if (payload := self._record.payload()) is not None:
            self._outlet.operation(self._machine, {**payload, "healthy_duty": self._limits})

    def save(self) -> None:
        """Keep what was counted."""
        self._record.save()

    def _check_off(self, operation: OperationStatus | None) -> None:
        """Raise an alert if the machine is off for too long, and clear it when it runs."""
        if operation is OperationStatus.RUNNING and self._is_off_reported is not False:
            self._is_off_reported = False
            standing = self._outlet.open_alert(self._machine)
            if standing is not None and standing.reason == "off":
                self._send(standing.cleared(rfc3339(self._unix_s(0.0))))
        limit_s, off_s = self._settings.alert_when_off_s, self._record.off_s
        is_over = operation is OperationStatus.OFF and limit_s is not None and off_s >= limit_s
        if not is_over or self._is_off_reported:
            return
        standing = self._outlet.open_alert(self._machine)
        if standing is None and self._bundle is not None and self._thresholds is not None:
            self._send(self._off_draft(off_s, self._bundle, self._thresholds))
        self._is_off_reported = standing is None or standing.reason == "off"

    def _off_draft(self, off_s: float, bundle: Bundle, thresholds: Thresholds) -> AlertDraft:
        return AlertDraft(
            kind="raised",
            machine=self._machine,
            at=rfc3339(self._unix_s(0.0)),
            started_at=rfc3339(self._unix_s(off_s)),
            score=0.0,
            peak_score=0.0,
            threshold=thresholds.alarm,
            loss=0.0,
            false_alarms_per_week=thresholds.alarm_per_week,
            bundle_sha256=bundle.sha256,
            reason="off",
        )
