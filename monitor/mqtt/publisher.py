"""From the outbox to the broker: a thread that connects, sends and receives acknowledgements."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

from monitor.errors import ConfigError, ServiceUnavailableError
from monitor.mqtt.alert_sender import AlertSender, DeliveryCounts
from monitor.mqtt.connection import MQTT_311, MqttConnection
from monitor.mqtt.in_flight import InFlight
from monitor.mqtt.latest import NewestScores, RetainedTopics
from monitor.mqtt.limits import SHORT_PACKET_BYTES
from monitor.mqtt.messages import BrokerError, Message
from monitor.mqtt.payloads import encode
from monitor.mqtt.protocol_choice import connect
from monitor.mqtt.retries import Reconnection
from monitor.mqtt.session import (
    MessageHandler,
    Outgoing,
    Session,
    SignalHandler,
    UnansweredError,
)
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.topics import OFFLINE, Topics
from monitor.outbox.queue import Outbox

_log = logging.getLogger(__name__)

_POLL_S = 1.0
_SCORES_EVERY_S = 0.02
_LONGEST_TURN_S = 30.0
_SAME_CLIENT_HINT = (
    "another client may use the same mqtt.client_id, or another daemon the same mqtt.base_topic"
)


class MqttPublisher:
    """Sends the alerts of the outbox, and keeps the retained topics up to date.

    Every method may be called from any thread, and only ``stop`` waits for the network.
    Retained messages are kept and published again on each connection. Scores are sent
    if there is a connection and discarded otherwise.
    """

    def __init__(self, settings: MqttSettings, outbox: Outbox) -> None:
        self._settings = settings
        self._outbox = outbox
        self._topics = Topics(settings.base_topic)
        self._outgoing = Outgoing(
            outbox,
            self._topics,
            AlertSender(outbox, self._topics),
            RetainedTopics(first=self._topics.status),
            NewestScores(_SCORES_EVERY_S),
        )
        self._error: str | None = "not connected yet"
        self._limits = ""
        self._stopping = threading.Event()
        self._stop_by_s = 0.0
        self._turn_began_s: float | None = None
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        # Used by the thread only.
        self._reconnection = Reconnection(settings.reconnect_min_s, settings.reconnect_max_s)
        self._only_311 = False

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
        self._stop_by_s = time.monotonic() + timeout_s * 0.8
        self._stopping.set()
        self.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        self._wake_in.close()
        self._wake_out.close()
        return True

    def wake(self) -> None:
        """Look into the outbox now."""
        with contextlib.suppress(OSError):  # full: it wakes anyway; closed: it has stopped
            self._wake_in.send(b"\0")

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
        """Send the newest score if there is a connection; it replaces one that was not sent yet."""
        if self._error is None and self._outgoing.scores.put(machine, encode(payload)):
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
        return self._error

    def stalled(self) -> bool:
        """Whether the thread has ended by itself, or hangs on an open connection.

        Connecting may take long, because of the name resolver, and is not a stall.
        """
        if self._thread.ident is None or self._stopping.is_set():
            return False
        turn_began_s = self._turn_began_s
        hangs = turn_began_s is not None and time.monotonic() - turn_began_s > _LONGEST_TURN_S
        return hangs or not self._thread.is_alive()

    def refusal(self) -> str:
        """The topics that the broker refuses and its reasons, in one line; empty without any."""
        return self._outgoing.refusals.summary

    def limits(self) -> str:
        """What the broker of the newest connection restricts, in one line; empty without any."""
        return self._limits

    def delivery_counts(self) -> DeliveryCounts:
        """What happened to the alerts so far."""
        return self._outgoing.alerts.counts

    # The thread.

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._use(self._open())
            except (BrokerError, ConfigError) as error:
                # A password or certificate file that cannot be read may be corrected later.
                self._reconnection.failed(refused=getattr(error, "refused", True))
                self._lost(str(error))
            except Exception as error:  # noqa: BLE001  # a bug here must not stop the delivery
                _log.exception("publisher: internal error")
                self._reconnection.failed(refused=True)
                self._lost(repr(error))
            self._stopping.wait(self._reconnection.pause_s())
        self._error = "stopped"

    def _open(self) -> MqttConnection:
        will = Message(self._topics.status, OFFLINE.encode(), retain=True)
        # MQTT 5 is tried again only after an attempt to connect has failed.
        only_311, self._only_311 = self._only_311, False
        connection = connect(self._settings, will, only_311=only_311, give_up=self._stopping.is_set)
        self._only_311 = connection.protocol == MQTT_311
        return connection

    def _use(self, connection: MqttConnection) -> None:
        """Use the connection until it is lost or ``stop`` is called."""
        self._reconnection.began()
        session = Session(
            connection,
            self._outgoing,
            ack_timeout_s=self._settings.ack_timeout_s,
            one_at_a_time=lambda: self._reconnection.careful,
            wake=self._wake_out,
        )
        orderly = False
        try:
            orderly = self._serve(session, connection)
        except UnansweredError as error:
            self._reconnection.ended()
            self._lost(str(error))
        except BrokerError as error:
            careful = self._reconnection.careful
            self._reconnection.ended()
            self._lost(str(error) + self._suspicion(session.in_flight, careful=careful))
        except ServiceUnavailableError as error:  # the outbox was closed
            self._lost(str(error))
            self._stopping.set()
        finally:
            self._turn_began_s = None
            # If ``stopped`` was not published, the last will has to be.
            connection.close(orderly=orderly)

    def _suspicion(self, in_flight: InFlight, *, careful: bool) -> str:
        """Why connections end so soon: the one message in flight, or another client.

        Some brokers close the connection instead of refusing a message, for its topic or
        its size.
        """
        out = self._outgoing
        sent = in_flight.only()
        if sent is None or not (careful or out.refusals.has(sent.topic)):
            unexplained = careful and sent is None and not self.refusal()
            return f", repeatedly; {_SAME_CLIENT_HINT}" if unexplained else ""
        if sent.event_id and sent.size_bytes > SHORT_PACKET_BYTES:
            out.learned.suspect(sent.topic, sent.size_bytes)  # its short form is tried next
        else:
            out.learned.forget_suspicion(sent.topic)
            out.refusals.refused(
                sent.topic,
                f"the broker closes the connection when these {sent.size_bytes} bytes "
                "are published",
                closes=not sent.event_id,
            )
        self._reconnection.reason_found()
        return f" while publishing {sent.size_bytes} bytes on {sent.topic}"

    def _lost(self, error: str) -> None:
        if error != self._error and not self._stopping.is_set():
            _log.warning("%s", error, extra={"alerts_waiting": self._outbox.depth()})
        self._error = error
        self._outgoing.scores.clear()

    def _serve(self, session: Session, connection: MqttConnection) -> bool:
        """Work until stopped; returns whether ``stopped`` was published."""
        session.begin()
        self._error = None
        _log.info("connected to %s (%s)", connection.where, connection.protocol_name)
        self._limits = connection.limits.describe()
        if self._limits:
            _log.warning("%s: %s", connection.where, self._limits)
        while not self._stopping.is_set():
            self._turn_began_s = time.monotonic()
            session.run_once(_POLL_S)
        return session.finish(self._stop_by_s)
