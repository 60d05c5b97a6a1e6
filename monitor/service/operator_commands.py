"""The commands of the control socket: what each of them does in the daemon."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monitor import __version__
from monitor.alerts import alert_to_dict
from monitor.clock import rfc3339
from monitor.control.dispatcher import Dispatcher
from monitor.control.labels import LABELS
from monitor.control.messages import (
    AlertArguments,
    LabelArguments,
    MachineArguments,
    MuteArguments,
    NoArguments,
    WatchArguments,
)
from monitor.control.operator_store import Entry, KnownAlert
from monitor.errors import AuscultError, UsageError
from monitor.learning.learner import Learner
from monitor.service.history_feed import HistoryFeed
from monitor.service.learning_commands import LearningCommands
from monitor.service.muting import Muting
from monitor.service.supervisor import Supervisor, no_learner
from monitor.text.escaping import one_line
from monitor.text.wording import duration

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Daemon:
    """What the commands use. ``delivery``: outbox and broker, in one line.

    ``learner``: of a machine that is learned. ``health``: the parts that are not machines.
    ``watch``: show the sound of a machine for some seconds; gives the path of its ring.
    ``has_sound``: whether sound of an alert is kept.
    """

    supervisor: Supervisor
    muting: Muting
    config: str
    started_s: float
    delivery: Callable[[], str]
    learner: Callable[[str], Learner | None] = no_learner
    history: HistoryFeed | None = None
    health: Callable[[], Mapping[str, Any]] = dict
    watch: Callable[[str, float], Path | None] = lambda _machine, _for_s: None
    has_sound: Callable[[str], bool] = bool


class OperatorCommands:
    """The handlers. They run in the thread of the control socket."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._muting = daemon.muting
        self._operators = daemon.muting.operators

    def register(self, dispatcher: Dispatcher) -> None:
        """Register every command."""
        dispatcher.register("status", NoArguments, self._status)
        dispatcher.register("health", NoArguments, self._health)
        dispatcher.register("watch", WatchArguments, self._watch)
        dispatcher.register("mute", MuteArguments, self._mute)
        dispatcher.register("unmute", MachineArguments, self._unmute)
        dispatcher.register("acknowledge", AlertArguments, self._acknowledge)
        dispatcher.register("label", LabelArguments, self._label)
        LearningCommands(self._daemon.learner, self._daemon.config, self).register(dispatcher)

    def _status(self, _arguments: NoArguments, _by: str) -> Mapping[str, Any]:
        daemon, clock = self._daemon, self._operators.clock
        history = daemon.history.health() if daemon.history is not None else None
        health = daemon.health()
        return {
            "now": rfc3339(clock.unix_s()),
            "daemon": {
                "version": __version__,
                "config": daemon.config,
                "started_at": rfc3339(clock.unix_at(daemon.started_s)),
                "delivery": daemon.delivery(),
                "troubles": health.get("troubles", []),
                "trouble_kinds": health.get("trouble_kinds", []),
                "history": asdict(history) if history is not None else None,
            },
            "machines": [self._machine_status(name) for name in list(daemon.supervisor.machines)],
        }

    def _health(self, _arguments: NoArguments, _by: str) -> Mapping[str, Any]:
        return self._daemon.health()

    def _watch(self, arguments: WatchArguments, _by: str) -> Mapping[str, Any]:
        machine = self.known(arguments.machine)
        ring = self._daemon.watch(machine, arguments.for_s)
        return {"machine": machine, "ring": str(ring.absolute()) if ring is not None else None}

    def _machine_status(self, machine: str) -> dict[str, Any]:
        newest = self._muting.newest(machine)
        state = newest["state"] or {}
        learner = self._daemon.learner(machine)
        running = self._daemon.supervisor.machines.get(machine)
        if state:  # published once a minute only
            if learner is not None and "learning" in state:
                state = {**state, "learning": learner.status()}
            if running is not None:
                state = {**state, "coverage": running.coverage()}
            newest = {**newest, "state": state}
        alert = self._muting.published_alert(machine)
        with self._muting.guard:
            mute = self._operators.mutes.get(machine)
            muted_by = (
                {"by": mute.by, "note": mute.note} if mute and state.get("muted_until") else None
            )
        return {
            "id": machine,
            **newest,
            "alerts_raised": self._muting.n_raised[machine],
            "computed_s": round(running.computed_s, 3) if running is not None else 0.0,
            "alert": alert_to_dict(alert) if alert else None,
            "mute": muted_by,
        }

    def _mute(self, arguments: MuteArguments, by: str) -> Mapping[str, Any]:
        machine = self.known(arguments.machine)
        self._muting.mute(machine, arguments.for_s, arguments.note, by)
        self.note(by, "mute", machine, value=f"{arguments.for_s:g}", note=arguments.note)
        log.warning(
            "muted for %s",
            duration(arguments.for_s),
            extra={"machine": machine, "user": by, "note": one_line(arguments.note)},
        )
        return self.reply(machine)

    def _unmute(self, arguments: MachineArguments, by: str) -> Mapping[str, Any]:
        machine = self.known(arguments.machine)
        suppressed = self._muting.unmute(machine)
        if suppressed is not None:
            self.note(by, "unmute", machine)
        return {"suppressed": suppressed, **self.reply(machine)}

    def _acknowledge(self, arguments: AlertArguments, by: str) -> Mapping[str, Any]:
        with self._muting.guard:
            alert = self._alert(arguments.alert_id)
            alert.acknowledged = True
            self._operators.put_alert(alert)
            self.note(by, "acknowledge", alert.machine, alert.alert_id, note=arguments.note)
        return {"alert_id": alert.alert_id, **self.reply(alert.machine)}

    def _label(self, arguments: LabelArguments, by: str) -> Mapping[str, Any]:
        with self._muting.guard:
            alert = self._alert(arguments.alert_id)
            replaced, alert.label = alert.label, arguments.label
            self._operators.put_alert(alert)
            self.note(
                *(by, "label", alert.machine, alert.alert_id),
                value=arguments.label,
                note=arguments.note,
            )
        if (learner := self._daemon.learner(alert.machine)) is not None:
            learner.labels_changed()
        return {
            "alert_id": alert.alert_id,
            "label": alert.label,
            "replaced": replaced,
            "effect": LABELS[arguments.label].effect,
            "remark": self._remark(alert),
            **self.reply(alert.machine),
        }

    def _remark(self, alert: KnownAlert) -> str:
        """Why the sound of a false alarm cannot be relearned now; empty if it can be."""
        if alert.label != "false-alarm":
            return ""
        if self._daemon.learner(alert.machine) is None:
            return "To relearn this machine, add the table [machine.learning] to it."
        if not self._daemon.has_sound(alert.alert_id):
            return "No sound of this alert is kept so far: without it, nothing can be relearned."
        return ""

    def known(self, machine: str) -> str:
        """The machine itself. Raises ``UsageError`` that names the monitored ones."""
        machines = list(self._daemon.supervisor.machines)
        if machine not in machines:
            raise UsageError(
                f'no machine "{one_line(machine)}" is monitored; monitored: {", ".join(machines)}'
            )
        return machine

    def _alert(self, beginning: str) -> KnownAlert:
        """The alert with this id, or the only one whose id begins with it."""
        for machine in list(self._daemon.supervisor.machines):
            alert = self._muting.published_alert(machine)
            if alert is not None and alert.alert_id not in self._operators.alerts:
                self._operators.put_alert(KnownAlert(alert.alert_id, machine))
        found = [one for name, one in self._operators.alerts.items() if name.startswith(beginning)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(f"{one.alert_id} ({one.machine})" for one in found[-5:])
            raise UsageError(f"{len(found)} alerts begin with {beginning}: {names}")
        if (earlier := self._of_history(beginning)) is not None:
            return earlier
        raise UsageError(
            f"no alert {beginning} is known: see the alert_id in `auscult status` (open alerts) or "
            "in the alert message"
        )

    def _of_history(self, alert_id: str) -> KnownAlert | None:
        """An alert that only the history knows, by its whole id: the page shows it too."""
        if self._daemon.history is None:
            return None
        try:
            record = self._daemon.history.reader().alert(alert_id)
        except AuscultError as error:  # it is switched off, or cannot be read
            log.debug("the history is not asked for an alert: %s", error)
            return None
        if record is None:
            return None
        return KnownAlert(record.alert_id, record.machine, record.acknowledged, record.label)

    def note(
        self,
        by: str,
        action: str,
        machine: str,
        alert_id: str = "",
        *,
        value: str = "",
        note: str = "",
    ) -> None:
        """Write what a user did."""
        with self._muting.guard:
            at = self._operators.clock.now()
            self._operators.add(Entry(at, by, action, machine, alert_id, value, note))
            self._operators.flush()
        if (history := self._daemon.history) is not None:
            history.event(
                action,
                machine,
                unix_s=at.unix_s,
                alert_id=alert_id,
                value=value,
                user=by,
                note=note,
            )

    def reply(self, machine: str) -> dict[str, Any]:
        """Publish the state; returns mute and acknowledgement, with a warning of the disk."""
        running = self._daemon.supervisor.machines.get(machine)
        if running is not None:
            running.publish_state()
        state = self._muting.newest(machine)["state"] or {}
        keys = ("state", "muted_until", "muted_alerts", "acknowledged")
        result = {"machine": machine, **{key: state.get(key) for key in keys}}
        trouble = self._operators.trouble
        if trouble:
            result["warning"] = f"kept only in memory until the disk accepts changes: {trouble}"
        return result
