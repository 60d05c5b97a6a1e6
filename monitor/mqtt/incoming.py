"""The messages that a connection receives: the topics, who takes them, and the own status."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping

from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.messages import Message
from monitor.mqtt.topics import ONLINE, STOPPED

_log = logging.getLogger(__name__)

_FOREIGN_STATUS_PAUSE_S = 5.0

MessageHandler = Callable[[str, bytes], None]
SignalHandler = Callable[[Message], None]


class Incoming:
    """Subscribes on one connection, and gives messages to their handlers. Used by one thread.

    ``status``: the topic of the daemon's own status. ``handlers``: by topic, complete before the
    connection. ``signals``: by topic; other threads add and remove them.
    """

    def __init__(
        self,
        connection: MqttConnection,
        status: str,
        handlers: Mapping[str, MessageHandler],
        signals: dict[str, SignalHandler],
    ) -> None:
        self._connection = connection
        self._status = status
        self._handlers = handlers
        self._signals = signals
        self._subscribed: set[str] | None = None
        """The topics of ``signals`` that are subscribed to; None if nothing may be."""
        self._foreign_status_s = -math.inf
        self._ignores_status = False

    def begin(self, *, ends_soon: bool) -> None:
        """Subscribe. ``ends_soon``: earlier connections ended soon after they began.

        The own status shows when another client changes it. Some brokers close the
        connection of a client that may not read it, so it is left out after such an end.
        """
        for topic in self._handlers:
            self._connection.subscribe(topic)
        if not ends_soon:
            self._connection.subscribe(self._status)
            self._subscribed = set()
        elif self._signals:
            _log.warning(
                "connections end soon: this one is tested without the topics of "
                "[machine.operation], so the sound decides which machines run"
            )

    def subscribe_to_signals(self) -> None:
        """Subscribe to new topics of ``signals``, and unsubscribe from those that are gone."""
        if self._subscribed is None:
            return
        wanted = set(self._signals.copy())
        for topic in wanted - self._subscribed:
            self._connection.subscribe(topic)
        for topic in self._subscribed - wanted - {*self._handlers, self._status}:
            self._connection.unsubscribe(topic)
        self._subscribed = wanted

    def ignore_status(self) -> None:
        """The daemon ends, and changes its own status from now on."""
        self._ignores_status = True

    def receive(self) -> bool:
        """Give the messages to their handlers. Whether the own status must be corrected."""
        must_correct = False
        for topic, reason in self._connection.take_refused_filters():
            if topic in self._signals:
                _log.warning("%s; the sound decides whether the machine runs", reason)
        for message in self._connection.take_incoming():
            if message.topic == self._status:
                must_correct |= self._is_foreign(message)
            self._handle(message)
        return must_correct

    def _handle(self, message: Message) -> None:
        if (handler := self._handlers.get(message.topic)) is not None:
            try:
                handler(message.topic, message.payload)
            except Exception:  # noqa: BLE001  # the message came from outside
                _log.exception("a message on %s cannot be processed", message.topic)
        if (signal := self._signals.get(message.topic)) is not None:
            try:
                signal(message)
            except Exception:  # noqa: BLE001  # as above
                _log.exception("a signal on %s cannot be processed", message.topic)

    def _is_foreign(self, status: Message) -> bool:
        """Whether another client, such as a second daemon, has published a status."""
        ours = status.retain or self._ignores_status or status.payload == ONLINE.encode()
        if ours or time.monotonic() - self._foreign_status_s < _FOREIGN_STATUS_PAUSE_S:
            return False
        self._foreign_status_s = time.monotonic()
        if status.payload == STOPPED.encode():
            _log.warning(
                "%s was set to stopped by another client: another daemon may use the same "
                "mqtt.base_topic",
                status.topic,
            )
        return True
