"""Delivery of results: alerts through the outbox, everything else directly to the publisher."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from monitor import __version__
from monitor.alerts import Alert, AlertDraft
from monitor.clock import SYSTEM_CLOCK
from monitor.mqtt.home_assistant import Discovery
from monitor.mqtt.messages import Message
from monitor.mqtt.publisher import MqttPublisher
from monitor.mqtt.settings import MqttSettings
from monitor.outbox.queue import Outbox
from monitor.service.running_signal import RunningSignal

log = logging.getLogger(__name__)


class Delivery:
    """An outbox and its publisher, which can be replaced by one with other settings.

    Every method may be called from any thread, but ``start``, ``switch`` and ``stop``
    only from one.
    """

    def __init__(self, settings: MqttSettings, outbox: Outbox) -> None:
        self._outbox = outbox
        self._info: Callable[[], Mapping[str, Any]] = dict
        self._signals: dict[str, Callable[[Message], None]] = {}
        self._listening: list[RunningSignal] = []
        self._connect(settings)

    def start(self) -> None:
        """Start to connect to the broker."""
        self._publisher.start()

    def switch(self, settings: MqttSettings) -> bool:
        """Use other settings; returns whether that needed a new connection.

        After a new connection, states and info must be published again.
        """
        self._outbox.set_limits(
            max_alerts=settings.outbox_max_alerts, max_age_days=settings.outbox_max_age_days
        )
        if _connection(settings) == _connection(self._settings):
            return False
        self._publisher.stop()
        self._connect(settings)
        self._publisher.start()
        return True

    def stop(self, timeout_s: float = 1.0) -> None:
        """Send what waits, as far as there is time, and publish ``stopped``."""
        if not self._publisher.stop(timeout_s):
            log.warning("the connection to the broker did not end within %g s", timeout_s)

    def announce(self, info: Callable[[], Mapping[str, Any]], machines: Collection[str]) -> None:
        """Publish the description of the daemon, and with discovery also to Home Assistant.

        ``info`` gives the description. A machine that was monitored before a restart and is not
        in ``machines`` is forgotten.
        """
        self._info = info
        for machine in self._outbox.watch(machines):
            self.forget(machine)
        self.publish_info()
        if self._discovery is not None:
            self._discovery.announce(machines)

    def publish_info(self) -> None:
        """Publish the description again, because it contains a time."""
        self._publisher.publish_info(self._info())

    def listen(self, signals: Sequence[RunningSignal]) -> None:
        """Receive the topics of exactly these signals, now and from later brokers."""
        known, self._listening = self._listening, list(signals)
        by_topic: dict[str, list[RunningSignal]] = {}
        for signal in signals:
            by_topic.setdefault(signal.topic, []).append(signal)
            before = [one for one in known if one.topic == signal.topic]
            if before and signal not in before:
                signal.take_over(before[0])
        self._signals = {
            topic: partial(_received, tuple(group)) for topic, group in by_topic.items()
        }
        self._publisher.listen(self._signals)

    def stalled(self) -> bool:
        """Whether the publisher has stopped working without an error."""
        return self._publisher.stalled()

    def summary(self) -> str:
        """For the status line: ``outbox 0, broker connected``."""
        error = self._publisher.connection_error()
        health = self._outbox.health()
        disk = "" if health.state == "ok" else f" in memory ({health.detail})"
        limits = self._publisher.limits()
        connected = f"broker connected ({limits})" if limits else "broker connected"
        if refusal := self._publisher.refusal():
            first, *others = refusal.split("; ")
            more = f" and {len(others)} more" if others else ""
            connected += f", but it refuses {first}{more}"
        return f"outbox {health.depth}{disk}, {error or connected}"

    def report(self) -> dict[str, Any]:
        """``outbox`` and ``broker``, for people who look at the health of the daemon."""
        error = self._publisher.connection_error()
        address = f"{self._settings.host}:{self._settings.port}"
        return {
            "outbox": asdict(self._outbox.health()),
            "broker": {
                "address": address,
                "connected": error is None,
                "error": error or "",
                "cause": (error or "").removeprefix(f"broker {address}: "),
                "limits": self._publisher.limits(),
                "refusal": self._publisher.refusal(),
                **asdict(self._publisher.delivery_counts()),
            },
        }

    # monitor.service.outlet.Outlet

    def open_alert(self, machine: str) -> Alert | None:
        """The open alert of the machine, also from before a restart."""
        return self._outbox.open_alert(machine)

    def alert(self, draft: AlertDraft) -> Alert:
        """Make an alert durable and send it."""
        alert = self._outbox.append(draft)
        self._publisher.wake()
        return alert

    def diagnosed(
        self,
        machine: str,
        alert_id: str,
        findings: Sequence[Mapping[str, Any]],
        *,
        is_muted: bool = False,
    ) -> Alert | None:
        """Make what a diagnosis found durable and send it, if the alert is still open.

        ``is_muted``: it is not sent now, and the next message about this alert has it.
        """
        alert = self._outbox.diagnosed(machine, alert_id, findings, is_muted=is_muted)
        if alert is not None:
            self._publisher.wake()
        return alert

    def state(self, machine: str, payload: Mapping[str, Any]) -> None:
        """Publish the machine's state."""
        self._publisher.publish_state(machine, payload)

    def operation(self, machine: str, payload: Mapping[str, Any]) -> None:
        """Publish whether the machine runs."""
        self._publisher.publish_operation(machine, payload)

    def picture(self, machine: str, png: bytes) -> None:
        """Publish the picture of an alert, if that is configured."""
        if self._settings.publish_picture:
            self._publisher.publish_picture(machine, png)

    def score(self, machine: str, payload: Mapping[str, Any]) -> None:
        """Publish the newest score."""
        self._publisher.publish_score(machine, payload)

    def forget(self, machine: str) -> None:
        """The machine is no longer monitored: clear its alert and remove its retained state."""
        if open_alert := self._outbox.open_alert(machine):
            self.alert(open_alert.cleared_now(SYSTEM_CLOCK))
        self._publisher.forget_machine(machine)
        if self._discovery is not None:
            self._discovery.withdraw(machine)

    def _connect(self, settings: MqttSettings) -> None:
        """Make a publisher with these settings, without starting it."""
        self._settings = settings
        self._publisher = MqttPublisher(settings, self._outbox)
        self._publisher.listen(self._signals)
        self._discovery = (
            Discovery(settings, self._publisher, __version__) if settings.discovery else None
        )


def _received(signals: Iterable[RunningSignal], message: Message) -> None:
    for signal in signals:
        signal.receive(message.payload, retained=message.retain)


def _connection(settings: MqttSettings) -> dict[str, Any]:
    """The settings of the connection, without those of the outbox."""
    return settings.model_dump(exclude={"outbox_max_alerts", "outbox_max_age_days"})
