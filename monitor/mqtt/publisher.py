"""What the daemon publishes: alerts of the outbox, retained topics and scores."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from monitor.mqtt.alert_sender import AlertSender, DeliveryCounts
from monitor.mqtt.delivery_thread import DeliveryThread
from monitor.mqtt.incoming import MessageHandler, SignalHandler
from monitor.mqtt.latest import NewestScores, RetainedTopics
from monitor.mqtt.outgoing import Outgoing
from monitor.mqtt.payloads import encode
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.topics import Topics
from monitor.outbox.queue import Outbox

_log = logging.getLogger(__name__)

_SCORES_EVERY_S = 0.02


class MqttPublisher:
    """Sends the alerts of the outbox, and keeps the retained topics up to date.

    Every method may be called from any thread, and only ``stop`` waits for the network.
    Retained messages are kept and published again on each connection. Scores are sent
    if there is a connection and discarded otherwise.
    """

    def __init__(self, settings: MqttSettings, outbox: Outbox) -> None:
        self._settings = settings
        self._topics = Topics(settings.base_topic)
        self._outgoing = Outgoing(
            outbox,
            self._topics,
            AlertSender(outbox, self._topics),
            RetainedTopics(first=self._topics.status),
            NewestScores(_SCORES_EVERY_S),
        )
        self._thread = DeliveryThread(settings, self._outgoing)

    def start(self) -> None:
        """Connect in the background; a broker that cannot be reached is tried again without end."""
        settings = self._settings
        if settings.username is not None and not settings.tls and not settings.is_local:
            _log.warning(
                "the password is sent to broker %s without encryption: set mqtt.tls = true",
                settings.host,
            )
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Send what waits, publish ``stopped`` and disconnect, all within ``timeout_s``.

        Returns whether the thread has ended. It may not end while the system's name
        resolver does not answer.
        """
        return self._thread.stop(timeout_s)

    def wake(self) -> None:
        """Look into the outbox now."""
        self._thread.wake()

    def publish_state(self, machine: str, payload: Mapping[str, Any]) -> None:
        """Publish the retained state of a machine."""
        self.publish_retained(self._topics.state(machine), encode(payload))

    def publish_operation(self, machine: str, payload: Mapping[str, Any]) -> None:
        """Publish whether a machine runs, retained."""
        self.publish_retained(self._topics.operation(machine), encode(payload))

    def publish_info(self, payload: Mapping[str, Any]) -> None:
        """Publish the retained description of the daemon."""
        self.publish_retained(self._topics.info, encode(payload))

    def publish_score(self, machine: str, payload: Mapping[str, Any]) -> None:
        """Send a score if there is a connection."""
        if self._thread.error is None and self._outgoing.scores.put(machine, encode(payload)):
            self.wake()

    def publish_picture(self, machine: str, png: bytes) -> None:
        """Send the picture of an alert; it replaces one that was not sent yet."""
        self._outgoing.pictures.put(self._topics.picture(machine), png)
        self.wake()

    def publish_retained(self, topic: str, payload: bytes) -> None:
        """Keep ``payload`` retained on ``topic``, now and after each reconnection.

        An empty ``payload`` removes the retained message.
        """
        if self._outgoing.retained.put(topic, payload):
            self.wake()

    def republish(self, prefix: str) -> None:
        """Send the retained messages again whose topics begin with ``prefix``."""
        self._outgoing.retained.mark_unsent(prefix)
        self.wake()

    def forget_machine(self, machine: str) -> None:
        """Remove what is retained of a machine that is no longer monitored."""
        for topic in (self._topics.state(machine), self._topics.operation(machine)):
            self.publish_retained(topic, b"")

    def subscribe(self, topic: str, handler: MessageHandler) -> None:
        """Call ``handler(topic, payload)`` for each message on ``topic``. Only before ``start``.

        It is called in the publisher's thread. An exception that it raises is logged.
        """
        self._outgoing.handlers[topic] = handler

    def listen(self, handlers: Mapping[str, SignalHandler]) -> None:
        """Call ``handlers[topic]`` for each message on these topics, and on no others before.

        At any time. The handlers are called in the publisher's thread.
        """
        signals = self._outgoing.signals
        signals.update(handlers)
        for topic in signals.keys() - handlers.keys():
            del signals[topic]
        self.wake()

    def connection_error(self) -> str | None:
        """The reason why there is no connection, in one line; ``None`` if there is one."""
        return self._thread.error

    def stalled(self) -> bool:
        """Whether the thread has ended by itself, or hangs on an open connection.

        Connecting may take long, because of the name resolver, and is not a stall.
        """
        return self._thread.stalled()

    def refusal(self) -> str:
        """The topics that the broker refuses and its reasons, in one line; empty without any."""
        return self._outgoing.refusals.summary

    def limits(self) -> str:
        """What the broker of the newest connection restricts, in one line; empty without any."""
        return self._thread.limits

    def delivery_counts(self) -> DeliveryCounts:
        """What happened to the alerts so far."""
        return self._outgoing.alerts.counts
