"""The thread that connects to the broker, sends what waits, and receives acknowledgements."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time

from monitor.errors import ConfigError, ServiceUnavailableError
from monitor.mqtt.connection import MQTT_311, MqttConnection
from monitor.mqtt.in_flight import InFlight
from monitor.mqtt.limits import SHORT_PACKET_BYTES
from monitor.mqtt.messages import BrokerError, Message
from monitor.mqtt.outgoing import Outgoing
from monitor.mqtt.protocol_choice import connect
from monitor.mqtt.retries import Reconnection, Repetition
from monitor.mqtt.session import Session, UnansweredError
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.topics import OFFLINE

_log = logging.getLogger(__name__)

_POLL_S = 1.0
_LONGEST_TURN_S = 30.0
_SAME_CLIENT_HINT = (
    "another client may use the same mqtt.client_id, or another daemon the same mqtt.base_topic"
)


class DeliveryThread:
    """Sends what is in ``outgoing``. Other threads use the functions without an underscore.

    ``error``: why there is no connection, in one line; None if there is one. ``limits``: what
    the broker of the newest connection restricts, in one line; empty without any.
    """

    def __init__(self, settings: MqttSettings, outgoing: Outgoing) -> None:
        self.error: str | None = "not connected yet"
        self.limits = ""
        self._settings = settings
        self._outgoing = outgoing
        self._stopping = threading.Event()
        self._stop_by_s = 0.0
        self._turn_began_s: float | None = None
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._reconnection = Reconnection(settings.reconnect_min_s, settings.reconnect_max_s)
        self._only_311 = False

    def start(self) -> None:
        """Connect, again and again until ``stop``."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """See ``MqttPublisher.stop``."""
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

    def stalled(self) -> bool:
        """See ``MqttPublisher.stalled``."""
        if self._thread.ident is None or self._stopping.is_set():
            return False
        turn_began_s = self._turn_began_s
        hangs = turn_began_s is not None and time.monotonic() - turn_began_s > _LONGEST_TURN_S
        return hangs or not self._thread.is_alive()

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
        self.error = "stopped"

    def _open(self) -> MqttConnection:
        will = Message(self._outgoing.topics.status, OFFLINE.encode(), retain=True)
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
            self._outgoing.doubts.ended()
            self._outgoing.refusals.ended()
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
        if sent is None or not (careful or sent.is_score or out.refusals.has(sent.topic)):
            unexplained = careful and sent is None and not out.refusals.summary
            return f", repeatedly; {_SAME_CLIENT_HINT}" if unexplained else ""
        if sent.event_id and sent.size_bytes > SHORT_PACKET_BYTES:
            out.learned.suspect(sent.topic, sent.size_bytes)  # its short form is tried next
        else:
            out.learned.forget_suspicion(sent.topic)
            reason = (
                f"the broker closes the connection when these {sent.size_bytes} bytes are published"
            )
            if sent.event_id:
                out.refusals.refused(sent.topic, reason, Repetition.URGENT)
            else:
                repetition = Repetition.OPEN if sent.is_score else Repetition.SURE
                out.refusals.closed(sent.topic, reason, repetition)
        self._reconnection.reason_found()
        return f" while publishing {sent.size_bytes} bytes on {sent.topic}"

    def _lost(self, error: str) -> None:
        if error != self.error and not self._stopping.is_set():
            _log.warning("%s", error, extra={"alerts_waiting": self._outgoing.outbox.depth()})
        self.error = error
        self._outgoing.scores.clear()

    def _serve(self, session: Session, connection: MqttConnection) -> bool:
        """Work until stopped; returns whether ``stopped`` was published."""
        session.begin()
        self.error = None
        _log.info("connected to %s (%s)", connection.where, connection.protocol_name)
        self.limits = connection.limits.describe()
        if self.limits:
            _log.warning("%s: %s", connection.where, self.limits)
        while not self._stopping.is_set():
            self._turn_began_s = time.monotonic()
            session.run_once(_POLL_S)
        return session.finish(self._stop_by_s)
