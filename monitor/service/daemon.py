"""The daemon: start, main loop with signals, watchdog and reload, and an orderly stop."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from io import UnsupportedOperation
from pathlib import Path
from typing import Any, ClassVar, Literal

from monitor import __version__
from monitor.clock import SYSTEM_CLOCK, StepWatch, rfc3339
from monitor.config.settings import Settings, load_config, outbox_path, state_dir
from monitor.control.address import socket_path
from monitor.control.dispatcher import Dispatcher
from monitor.control.operator_log import OperatorLog
from monitor.control.server import ControlServer
from monitor.errors import AuscultError, ServiceUnavailableError
from monitor.mqtt.payloads import info_payload
from monitor.outbox.queue import Outbox
from monitor.service.commissioning import Commissioning
from monitor.service.delivery import Delivery
from monitor.service.logs import set_up_logging
from monitor.service.machine_plan import MachinePlan, make_plans, replanned
from monitor.service.muting import Muting
from monitor.service.operator_commands import Daemon, OperatorCommands
from monitor.service.signals import SignalQueue
from monitor.service.supervisor import Supervisor
from monitor.service.systemd import Notifier

log = logging.getLogger(__name__)

Reading = tuple[Settings, list[MachinePlan]]


class Service:
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
    ) -> None:
        """``reread`` reads and validates everything again; ``announce`` publishes the result.

        ``turn_mutes`` ends the mutes whose time is over and returns their machines.
        ``turn_learning`` does what is due for machines that are learned.
        """
        self._supervisor = supervisor
        self._delivery = delivery
        self._manager = manager
        self._reread = reread
        self._announce = announce
        self._turn_mutes = turn_mutes
        self._turn_learning = turn_learning
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
            log.info("reloaded: %s", changes)
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
        for name in self._turn_mutes():
            if machine := self._supervisor.machines.get(name):
                machine.publish_state()
        self._turn_learning()
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


def run_daemon(
    config: Path,
    *,
    log_format: Literal["text", "json"] | None = None,
    until_ended: bool = False,
) -> None:
    """Monitor the configured machines until SIGTERM or SIGINT; SIGHUP reloads.

    ``log_format`` replaces the configured one. ``until_ended``: stop when every source
    was finite and has ended.

    Raises what reading the configuration and the bundles raises, and
    ``ServiceUnavailableError`` when another daemon holds the state folder.
    """
    started_s = SYSTEM_CLOCK.steady_s()
    with suppress(UnsupportedOperation):  # standard error may have no descriptor
        faulthandler.enable()  # the watchdog's SIGABRT then writes to the journal where it hung
    with ExitStack() as stack:
        signals = stack.enter_context(SignalQueue())
        settings = load_config(config)
        in_force = [settings]
        set_up_logging(settings.service.log_level, log_format or settings.service.log_format)
        plans = make_plans(settings, state_dir=state_dir(settings, config))
        outbox = stack.enter_context(
            Outbox(
                outbox_path(settings, config),
                max_alerts=settings.mqtt.outbox_max_alerts,
                max_age_days=settings.mqtt.outbox_max_age_days,
            )
        )
        delivery = Delivery(settings.mqtt, outbox)
        stack.callback(delivery.stop)
        operators = OperatorLog(outbox.path.with_name("operators.sqlite3"))
        stack.callback(operators.close)
        muting = Muting(delivery, operators)
        commissioning = Commissioning(outbox.path.parent, config.absolute())
        stack.callback(commissioning.stop)
        supervisor = Supervisor(
            muting,
            state_dir=outbox.path.parent,
            listen=delivery.listen,
            learner=commissioning.learner,
        )
        stack.callback(supervisor.stop)
        manager = stack.enter_context(Notifier())
        stack.callback(manager.stopping)

        def reread() -> Reading:
            running = [machine.plan for machine in supervisor.machines.values()]
            settings = load_config(config)
            if outbox_path(settings, config) != outbox.path:
                log.warning("service.state_dir has changed: restart the service to use it")
            plans = make_plans(settings, running, outbox.path.parent)
            commissioning.apply(settings)
            return settings, plans

        def announce(reading: Reading) -> None:
            settings, plans = reading
            in_force[0] = settings
            set_up_logging(settings.service.log_level, log_format or settings.service.log_format)
            for warning in filter(None, (plan.persistence_warning for plan in plans)):
                log.warning(warning)
            machines = [plan.settings.id for plan in plans]
            muting.monitored(machines)
            delivery.announce(partial(_info, plans, started_s), machines)

        delivery.start()
        commissioning.apply(settings)
        supervisor.apply(plans)
        announce((settings, plans))
        log.info("ready", extra={"version": __version__, "machines": len(plans)})
        _open_control_socket(
            Daemon(
                supervisor,
                muting,
                str(config.absolute()),
                started_s,
                delivery.summary,
                commissioning.learner,
            ),
            socket_path(outbox.path.parent),
            stack,
        )
        manager.ready()
        _give_back_memory()
        Service(
            supervisor,
            delivery,
            manager,
            reread,
            announce,
            turn_mutes=muting.turn,
            turn_learning=partial(_turn_learning, commissioning, supervisor, in_force, announce),
        ).run(signals, until_ended=until_ended)
        log.info("stopping")


def _turn_learning(
    commissioning: Commissioning,
    supervisor: Supervisor,
    in_force: list[Settings],
    announce: Callable[[Reading], None],
) -> None:
    """Do what is due for machines that are learned, and use the bundles that they got."""
    changed = commissioning.turn()
    if not changed:
        return
    settings = in_force[0]
    running = {name: machine.plan for name, machine in supervisor.machines.items()}
    plans = replanned(settings, running, changed, commissioning.state_dir)
    supervisor.apply(plans)
    announce((settings, plans))
    for name in changed:
        supervisor.machines[name].publish_state()


def _open_control_socket(daemon: Daemon, path: Path, stack: ExitStack) -> None:
    """Answer operators until ``stack`` ends. Without the socket, everything else works."""
    dispatcher = Dispatcher(Path(daemon.config))
    OperatorCommands(daemon).register(dispatcher)
    server = ControlServer(path, dispatcher)
    try:
        server.start()
    except ServiceUnavailableError as error:
        log.warning("no control socket, so auscult status, mute and others do not work: %s", error)
    else:
        stack.callback(server.stop)


def _give_back_memory() -> None:
    """Return the memory that only the start needed; glibc would keep it allocated."""
    with suppress(AttributeError, OSError):  # another C library has no such function
        ctypes.CDLL(None).malloc_trim(0)


def _info(plans: list[MachinePlan], started_s: float) -> dict[str, Any]:
    started_at = rfc3339(SYSTEM_CLOCK.unix_at(started_s))
    machines = [
        {
            "id": plan.settings.id,
            "source": plan.settings.source.kind,
            "provisional": plan.is_provisional,
            **_judged_by(plan),
        }
        for plan in plans
    ]
    return info_payload(version=__version__, started_at=started_at, machines=machines)


def _judged_by(plan: MachinePlan) -> dict[str, Any]:
    """The bundle and the thresholds; there are none while the machine is learned."""
    bundle, thresholds = plan.bundle, plan.thresholds
    if bundle is None or thresholds is None:
        return {"bundle_sha256": None}
    return {
        "bundle_sha256": bundle.sha256,
        "threshold": thresholds.alarm,
        "warning_threshold": thresholds.warning,
        "false_alarms_per_week": thresholds.alarm_per_week,
        "span_s": bundle.span_s,
    }
