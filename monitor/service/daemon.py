"""The daemon: makes its parts, starts them, and stops them in order."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal

from monitor import __version__
from monitor.clock import SYSTEM_CLOCK
from monitor.config.settings import Settings, load_config
from monitor.config.state_folder import history_path, outbox_path, state_dir, state_dir_fault
from monitor.control.address import socket_path
from monitor.control.dispatcher import Dispatcher
from monitor.control.operator_log import OperatorLog
from monitor.control.server import ControlServer
from monitor.errors import ServiceUnavailableError
from monitor.live.feeds import LiveFeeds, live_folder
from monitor.process.logs import set_up_logging, trace_crashes
from monitor.process.memory import give_back_memory, share_one_heap, unmap_start_code
from monitor.process.secret_files import warn_of_broker_secrets
from monitor.process.signals import SignalQueue
from monitor.process.systemd import Notifier
from monitor.service.alert_labels import AlertLabels
from monitor.service.commissioning import Commissioning
from monitor.service.daemon_health import daemon_health
from monitor.service.delivery import Delivery
from monitor.service.diagnosing import open_diagnosing
from monitor.service.evidence import Evidence, open_evidence
from monitor.service.history_feed import HistoryFeed
from monitor.service.info import daemon_info
from monitor.service.machine_plan import MachinePlan, make_plans, replanned
from monitor.service.main_loop import MainLoop, Reading
from monitor.service.muting import Muting
from monitor.service.operator_commands import Daemon, OperatorCommands
from monitor.service.recorded_outbox import RecordedOutbox
from monitor.service.supervisor import Supervisor

log = logging.getLogger(__name__)

_MOST_WAITING = 2000
"""Alerts of earlier processes whose evidence must be there: so many that are not delivered, and as
many that the history does not have."""


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
    share_one_heap()
    trace_crashes()
    with ExitStack() as stack:
        signals = stack.enter_context(SignalQueue())
        settings = load_config(config)
        in_force = [settings]
        set_up_logging(settings.service.log_level, log_format or settings.service.log_format)
        plans = _first_plans(settings, config)
        history, outbox = _open_outbox(settings, config, stack)
        delivery, evidence, muting = _open_delivery(in_force, history, outbox, stack)
        alert_labels, commissioning = _open_learning(config, outbox, evidence, muting, stack)
        live = LiveFeeds(live_folder(outbox.path.parent))
        supervisor = Supervisor(
            muting,
            state_dir=outbox.path.parent,
            listen=delivery.listen,
            learner=commissioning.learner,
            history=history.machine,
            evidence=evidence.recorder,
            live=live.feed,
        )
        stack.callback(supervisor.stop)
        manager = stack.enter_context(Notifier())
        stack.callback(manager.stopping)

        def reread() -> Reading:
            running = [machine.plan for machine in supervisor.machines.values()]
            settings = load_config(config)
            if outbox_path(state_dir(settings, config)) != outbox.path:
                log.warning("service.state_dir has changed: restart the service to use it")
            plans = make_plans(settings, running, outbox.path.parent)
            commissioning.apply(settings)
            return settings, plans

        def announce(reading: Reading) -> None:
            settings, plans = reading
            in_force[0] = settings
            set_up_logging(settings.service.log_level, log_format or settings.service.log_format)
            warn_of_broker_secrets(settings.mqtt.used_password_file, settings.mqtt.client_key)
            for warning in filter(None, (plan.persistence_warning for plan in plans)):
                log.warning(warning)
            machines = [plan.settings.id for plan in plans]
            history.apply(settings.history)
            history.monitored(machines)
            evidence.apply(settings.evidence, settings.web.url or "")
            muting.monitored(machines)
            delivery.announce(partial(daemon_info, plans, started_s), machines)

        delivery.start()
        commissioning.apply(settings)
        waiting = [*outbox.unrecorded(_MOST_WAITING), *outbox.pending(_MOST_WAITING)]
        evidence.start(plans, waiting, history.reader())
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
                history,
                partial(daemon_health, delivery, history, evidence),
                live.watch,
                alert_labels.has_sound,
            ),
            socket_path(outbox.path.parent),
            stack,
        )
        manager.ready()
        give_back_memory()  # that only the start needed
        MainLoop(
            supervisor,
            delivery,
            manager,
            reread,
            announce,
            turn_mutes=muting.turn,
            turn_history=partial(_turn_history, history, outbox),
            turn_evidence=evidence.turn,
            turn_learning=partial(
                _turn_learning, commissioning, supervisor, in_force, announce, history
            ),
        ).run(signals, until_ended=until_ended)
        log.info("stopping")


def _first_plans(settings: Settings, config: Path) -> list[MachinePlan]:
    """The plans of the start, before threads. Raises what ``make_plans`` raises."""
    unmap_start_code()  # of the imports, before the bundles need more: the peak is lower
    plans = make_plans(settings, state_dir=state_dir(settings, config), at_start=True)
    unmap_start_code()
    return plans


def _open_outbox(
    settings: Settings, config: Path, stack: ExitStack
) -> tuple[HistoryFeed, RecordedOutbox]:
    """The history and the outbox that adds alerts to it, until ``stack`` ends."""
    folder = state_dir(settings, config)
    if fault := state_dir_fault(folder):
        log.error(fault)
    history = HistoryFeed(history_path(folder), settings.history)
    stack.callback(history.close)
    outbox = RecordedOutbox(
        outbox_path(folder),
        history,
        max_alerts=settings.mqtt.outbox_max_alerts,
        max_age_days=settings.mqtt.outbox_max_age_days,
    )
    return history, stack.enter_context(outbox)


def _open_learning(
    config: Path, outbox: RecordedOutbox, evidence: Evidence, muting: Muting, stack: ExitStack
) -> tuple[AlertLabels, Commissioning]:
    """The labelled alerts with their sound, and the learning that uses them."""
    alert_labels = AlertLabels(muting, outbox.path.parent)
    commissioning = Commissioning(outbox.path.parent, config.absolute(), labelled=alert_labels.of)
    stack.callback(commissioning.stop)
    evidence.false_alarm_kept = commissioning.false_alarm_kept
    return alert_labels, commissioning


def _open_delivery(
    in_force: list[Settings], history: HistoryFeed, outbox: RecordedOutbox, stack: ExitStack
) -> tuple[Delivery, Evidence, Muting]:
    """What an alert passes on its way out, in reverse order, until ``stack`` ends.

    ``in_force``: the settings now.
    """
    settings = in_force[0]
    delivery = Delivery(settings.mqtt, outbox)
    stack.callback(delivery.stop)
    state_dir = outbox.path.parent
    operators = OperatorLog(state_dir / "operators.sqlite3")
    stack.callback(operators.close)
    evidence = open_evidence(
        settings, delivery, state_dir, history, operators, settle=outbox.settle
    )
    stack.callback(evidence.stop)
    muting = Muting(evidence, operators, expired=partial(history.event, "unmute"))
    evidence.is_muted = muting.is_muted
    stack.callback(open_diagnosing(in_force, delivery, evidence, muting).stop)
    return delivery, evidence, muting


def _turn_learning(
    commissioning: Commissioning,
    supervisor: Supervisor,
    in_force: list[Settings],
    announce: Callable[[Reading], None],
    history: HistoryFeed,
) -> None:
    """Do what is due for machines that are learned, and use their new bundles."""
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
        if (learner := commissioning.learner(name)) is not None:
            history.event("learn", name, value=learner.stage)


def _turn_history(history: HistoryFeed, outbox: RecordedOutbox) -> None:
    """Count the time in which nothing arrives, and add the alerts that the history lacks."""
    history.turn()
    outbox.turn()


def _open_control_socket(daemon: Daemon, path: Path, stack: ExitStack) -> None:
    """Answer operators until ``stack`` ends. Without the socket, everything else works."""
    dispatcher = Dispatcher(Path(daemon.config))
    OperatorCommands(daemon).register(dispatcher)
    server = ControlServer(path, dispatcher)
    try:
        server.start()
    except ServiceUnavailableError as error:
        log.warning("auscult status, mute and others do not work without the socket: %s", error)
    else:
        stack.callback(server.stop)
