"""The daemon: assembled from the other rooms, and taken down in reverse."""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import time
from contextlib import ExitStack, suppress
from io import UnsupportedOperation
from pathlib import Path
from typing import Any, Literal

from monitor import __version__
from monitor.config import load_config, outbox_path
from monitor.delivery import Delivery
from monitor.logs import set_up_logging
from monitor.machine_plan import MachinePlan, make_plans
from monitor.outbox import Outbox
from monitor.payloads import info_payload
from monitor.service import Reading, Service
from monitor.signals import SignalQueue
from monitor.stream_clock import rfc3339
from monitor.supervisor import Supervisor
from monitor.systemd import Notifier

log = logging.getLogger(__name__)


def run_daemon(
    config: Path,
    *,
    log_format: Literal["text", "json"] | None = None,
    until_ended: bool = False,
) -> None:
    """Watch the configured machines until SIGTERM or SIGINT; SIGHUP reloads.

    ``log_format`` goes over the configuration's. ``until_ended``: stop when every
    source was finite and has come to its end.

    Raises what reading the configuration and the bundles raises, and
    ``ServiceUnavailableError`` when another daemon holds the state folder.
    """
    started_at = rfc3339(time.time())
    with suppress(UnsupportedOperation):  # a caller may have put in a stream without a descriptor
        faulthandler.enable()  # the watchdog's SIGABRT shall leave in the journal where it hung
    with ExitStack() as stack:
        signals = stack.enter_context(SignalQueue())
        settings = load_config(config)
        set_up_logging(settings.service.log_level, log_format or settings.service.log_format)
        plans = make_plans(settings)
        outbox = stack.enter_context(
            Outbox(
                outbox_path(settings, config),
                max_alerts=settings.mqtt.outbox_max_alerts,
                max_age_days=settings.mqtt.outbox_max_age_days,
            )
        )
        delivery = Delivery(settings.mqtt, outbox)
        stack.callback(delivery.stop)
        supervisor = Supervisor(delivery)
        stack.callback(supervisor.stop)
        manager = stack.enter_context(Notifier())
        stack.callback(manager.stopping)

        def reread() -> Reading:
            running = [machine.plan for machine in supervisor.machines.values()]
            settings = load_config(config)
            if outbox_path(settings, config) != outbox.path:
                log.warning("service.state_dir has changed: that takes effect on restart")
            return settings, make_plans(settings, running)

        def announce(reading: Reading) -> None:
            settings, plans = reading
            set_up_logging(settings.service.log_level, log_format or settings.service.log_format)
            for complaint in filter(None, (plan.complaint for plan in plans)):
                log.warning(complaint)
            delivery.announce(_info(plans, started_at), [plan.settings.id for plan in plans])

        delivery.start()
        supervisor.apply(plans)
        announce((settings, plans))
        log.info("ready", extra={"version": __version__, "machines": len(plans)})
        manager.ready()
        _give_back_memory()
        Service(supervisor, delivery, manager, reread, announce).run(
            signals, until_ended=until_ended
        )
        log.info("stopping")


def _give_back_memory() -> None:
    """Return what only starting up has needed; glibc would keep it for the life of the process."""
    with suppress(AttributeError, OSError):  # another C library has no such function
        ctypes.CDLL(None).malloc_trim(0)


def _info(plans: list[MachinePlan], started_at: str) -> dict[str, Any]:
    machines = [
        {
            "id": plan.settings.id,
            "source": plan.settings.source.kind,
            "bundle_sha256": plan.bundle.sha256,
            "threshold": plan.bundle.calibration.threshold,
            "false_alarms_per_week": plan.bundle.calibration.false_alarms_per_week,
            "span_s": plan.bundle.span_s,
        }
        for plan in plans
    ]
    return info_payload(version=__version__, started_at=started_at, machines=machines)
