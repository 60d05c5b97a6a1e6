"""The daemon at work: it waits for signals, watches over the machines, reloads."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import ClassVar

from monitor.config import Settings
from monitor.delivery import Delivery
from monitor.errors import AuscultError
from monitor.machine_plan import MachinePlan
from monitor.signals import SignalQueue
from monitor.supervisor import Supervisor
from monitor.systemd import Notifier

log = logging.getLogger(__name__)

Reading = tuple[Settings, list[MachinePlan]]


class Service:
    """The running daemon. Everything happens in the thread that calls ``run``."""

    TICK_S: ClassVar[float] = 1.0
    COVERAGE_INTERVAL_S: ClassVar[float] = 3600.0

    def __init__(
        self,
        supervisor: Supervisor,
        delivery: Delivery,
        manager: Notifier,
        reread: Callable[[], Reading],
        announce: Callable[[Reading], None],
    ) -> None:
        """``reread`` reads and validates everything anew; ``announce`` tells of a new reading."""
        self._supervisor = supervisor
        self._delivery = delivery
        self._manager = manager
        self._reread = reread
        self._announce = announce
        self._status = ""
        self._complaint = ""
        self._hanging: list[str] = []
        self._coverage_due_s = time.monotonic() + self.COVERAGE_INTERVAL_S

    def run(self, signals: SignalQueue, *, until_ended: bool = False) -> None:
        """Work until told to stop, or until every source has ended if ``until_ended``."""
        tick_s = min(self.TICK_S, self._manager.watchdog_interval_s or self.TICK_S)
        while True:
            self._tick()
            command = signals.wait(tick_s)
            if command == "stop" or (until_ended and self._supervisor.all_ended()):
                return
            if command == "reload":
                self.reload()

    def reload(self) -> None:
        """Go on by the configuration as it is now; one that is not valid changes nothing."""
        self._manager.reloading()
        try:
            reading = self._reread()
        except AuscultError as error:
            self._refuse(str(error))
        except Exception as error:  # whatever a file can do to us, what runs goes on
            log.exception("internal error while reading the configuration")
            self._refuse(repr(error))
        else:
            self._complaint = ""
            settings, plans = reading
            if self._delivery.switch(settings.mqtt):
                self._supervisor.publish_states()
            changes = self._supervisor.apply(plans)
            self._announce(reading)
            log.info("reloaded: %s", changes)
        finally:
            self._manager.ready()

    def _refuse(self, reason: str) -> None:
        log.error("reload refused, nothing has changed")
        for line in reason.splitlines():
            log.error("%s", f"reload refused: {line}")  # each mistake is an event of its own
        self._complaint = f"; RELOAD REFUSED: {reason.partition(chr(10))[0]}"

    def _tick(self) -> None:
        hanging = self._supervisor.stalled()
        if self._delivery.stalled():
            hanging.append("delivery")
        if not hanging:
            self._manager.watchdog()
        elif hanging != self._hanging:
            log.error("no progress, the watchdog is not fed: %s", ", ".join(hanging))
        self._hanging = hanging
        status = f"{self._supervisor.summary()}; {self._delivery.summary()}{self._complaint}"
        if status != self._status:
            self._status = status
            self._manager.status(status)
        if time.monotonic() >= self._coverage_due_s:
            self._coverage_due_s = time.monotonic() + self.COVERAGE_INTERVAL_S
            self._supervisor.log_coverage()
