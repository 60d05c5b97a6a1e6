"""The main loop of the daemon: signals, watchdog, reload, and what is due from time to time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import ClassVar

from monitor.clock import StepWatch
from monitor.config.settings import Settings
from monitor.errors import AuscultError
from monitor.process.signals import SignalQueue
from monitor.process.systemd import Notifier
from monitor.service.delivery import Delivery
from monitor.service.machine_plan import MachinePlan
from monitor.service.supervisor import Supervisor

log = logging.getLogger(__name__)

Reading = tuple[Settings, list[MachinePlan]]


class MainLoop:
    """The main loop of the daemon. Everything happens in the thread that calls ``run``."""

    TICK_S: ClassVar[float] = 1.0
    COVERAGE_INTERVAL_S: ClassVar[float] = 3600.0

    def __init__(
        self,
        supervisor: Supervisor,
        delivery: Delivery,
        manager: Notifier,
        reread: Callable[[], Reading],
        announce: Callable[[Reading], None],
        *,
        turn_mutes: Callable[[], list[str]] = list,
        turn_learning: Callable[[], None] = lambda: None,
        turn_history: Callable[[], None] = lambda: None,
        turn_evidence: Callable[[], None] = lambda: None,
    ) -> None:
        """``reread`` reads and validates everything again; ``announce`` publishes the result.

        ``turn_mutes`` ends the mutes whose time is over and returns their machines.
        ``turn_learning`` does what is due for machines that are learned. ``turn_history`` counts
        the time in which nothing arrives. ``turn_evidence`` completes what no sound comes for.
        """
        self._supervisor = supervisor
        self._delivery = delivery
        self._manager = manager
        self._reread = reread
        self._announce = announce
        self._turn_mutes = turn_mutes
        self._turn_learning = turn_learning
        self._turn_history = turn_history
        self._turn_evidence = turn_evidence
        self._status = ""
        self._complaint = ""
        self._hanging: list[str] = []
        self._steps = StepWatch()
        self._coverage_due_s = time.monotonic() + self.COVERAGE_INTERVAL_S

    def run(self, signals: SignalQueue, *, until_ended: bool = False) -> None:
        """Run until a stop is requested, or until every source has ended if ``until_ended``."""
        tick_s = min(self.TICK_S, self._manager.watchdog_interval_s or self.TICK_S)
        while True:
            self._tick()
            command = signals.wait(tick_s)
            if command == "stop" or (until_ended and self._supervisor.all_ended()):
                return
            if command == "reload":
                self.reload()

    def reload(self) -> None:
        """Apply the configuration as it is now; if it is not valid, nothing changes."""
        self._manager.reloading()
        try:
            reading = self._reread()
        except AuscultError as error:
            self._refuse(*error.lines)
        except Exception as error:  # a bug in reading must not stop the running machines
            log.exception("internal error while reading the configuration")
            self._refuse(repr(error))
        else:
            self._complaint = ""
            settings, plans = reading
            if self._delivery.switch(settings.mqtt):
                self._supervisor.publish_states()
            changes = self._supervisor.apply(plans)
            self._announce(reading)
            log.info("reloaded: %s; %s", changes, _kept(settings))
        finally:
            self._manager.ready()

    def _refuse(self, *lines: str) -> None:
        log.error("reload refused, the running configuration is unchanged")
        for line in lines:
            log.error("%s", f"reload refused: {line}")  # one event for each mistake
        self._complaint = f"; RELOAD REFUSED: {lines[0] if lines else 'unknown'}"

    def _tick(self) -> None:
        hanging = self._supervisor.stalled()
        if self._delivery.stalled():
            hanging.append("delivery")
        if not hanging:
            self._manager.watchdog()
        elif hanging != self._hanging:
            log.error("no progress, the watchdog is not notified: %s", ", ".join(hanging))
        self._hanging = hanging
        self._supervisor.share_time()
        for name in self._turn_mutes():
            if machine := self._supervisor.machines.get(name):
                machine.publish_state()
        self._turn_learning()
        self._turn_history()
        self._turn_evidence()
        if step_s := self._steps.step_s():
            direction = "forward" if step_s > 0 else "back"
            log.warning("the system clock was set %s by %.0f s", direction, abs(step_s))
            self._supervisor.publish_states()  # they contain times
            self._delivery.publish_info()
        status = f"{self._supervisor.summary()}; {self._delivery.summary()}{self._complaint}"
        if status != self._status:
            self._status = status
            self._manager.status(status)
        if time.monotonic() >= self._coverage_due_s:
            self._coverage_due_s = time.monotonic() + self.COVERAGE_INTERVAL_S
            self._supervisor.log_coverage()


def _kept(settings: Settings) -> str:
    """What is kept from now on, for the log: somebody who switches it off wants to see it."""
    evidence = "kept" if settings.evidence.is_on else "off, no new sound is kept"
    return f"evidence: {evidence}; history: {'kept' if settings.history.enabled else 'off'}"
