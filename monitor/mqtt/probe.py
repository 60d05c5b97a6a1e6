"""The broker test of ``auscult selftest``: the connection and the messages of the daemon."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from monitor.errors import ConfigError, ServiceUnavailableError
from monitor.mqtt.alert_sender import fitting_alert
from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.limits import SHORT_PACKET_BYTES
from monitor.mqtt.messages import BrokerError, Message, TopicRefusedError
from monitor.mqtt.one_shot import connected, send_and_wait
from monitor.mqtt.payloads import encode
from monitor.mqtt.probe_messages import largest_alert, retained_messages
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.topics import OFFLINE, Topics
from monitor.text.wording import counted

_MOST_REFUSED = 3
"""More refused topics of scores are not looked for: each can cost a connection."""


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """One check and its result."""

    what: str
    ok: bool
    text: str


def probe(
    settings: MqttSettings, machines: Collection[str] = ("machine",), timeout_s: float = 10.0
) -> list[ProbeLine]:
    """Connect as the daemon does, and publish an alert that the broker must acknowledge.

    The alert has the size of the largest alert of ``machines``. Its topic is
    ``BASE/selftest``, so that no subscriber takes it for a real one. If the broker refuses this
    topic, the topics of the machines may still be allowed: ``BASE/<machine>/selftest`` shows it,
    and the refusal has a line of its own. The sizes of the
    retained messages are compared with the broker's limit without sending them. A message without
    a score is sent to the score topic of each machine: a broker discards scores (QoS 0) that it
    refuses without an answer, so that the daemon cannot find it.
    """
    limit_s = min(settings.connect_timeout_s, timeout_s)
    settings = settings.model_copy(update={"connect_timeout_s": limit_s})
    topics = Topics(settings.base_topic)
    will = Message(topics.status, OFFLINE.encode(), retain=True)
    lines: list[ProbeLine] = []
    largest = max(machines, key=len)
    try:
        text = ""
        refusal: BrokerError | None = None
        with connected(settings, "test", will) as it:
            limits = it.limits.describe()
            how = f"connected with {it.protocol_name}{' over TLS' if settings.tls else ''}"
            how += f"; {limits}" if limits else ""
            lines.append(ProbeLine("broker", True, f"{it.where.removeprefix('broker ')}: {how}"))
            lines += _too_large(it, settings, machines)
        # Without the will: a broker that closes this connection would publish it.
        with connected(settings, "test") as it:
            try:
                text = _publish_alert(it, topics, topics.selftest, largest, it.fits, timeout_s)
            except TopicRefusedError as error:
                refusal = error
            except BrokerError as error:
                if not error.closed:
                    raise
        if not text and refusal is None:
            # A broker may close the connection after a message that is too large for it.
            with connected(settings, "test") as it:
                try:
                    text = _publish_alert(
                        it, topics, topics.selftest, largest, _short(it), timeout_s
                    )
                    text += "; the broker closes the connection after a whole alert"
                except BrokerError as error:
                    if not error.closed:
                        raise
                    refusal = error
        if refusal is not None:
            text = _publish_below_machines(settings, topics, machines, refusal, timeout_s)
            also = f"{topics.status}, {topics.info} and {topics.health}"
            why = str(refusal).partition(";")[0]
            why += f"; the broker may refuse {also} too: allow {topics.base}/#"
            lines.append(ProbeLine("topics", False, why))
        lines.insert(1, ProbeLine("alert", True, text))
        lines.append(_try_scores(settings, topics, machines, timeout_s))
    except (ServiceUnavailableError, ConfigError) as error:
        lines.insert(1, ProbeLine("alert" if lines else "broker", False, str(error)))
    return lines


def _publish_below_machines(
    settings: MqttSettings,
    topics: Topics,
    machines: Collection[str],
    refusal: BrokerError,
    timeout_s: float,
) -> str:
    """Publish below the topics of each machine.

    Raises ``ServiceUnavailableError`` if one of these topics is refused as well. If it is that of
    the first machine, this is ``refusal``.
    """
    text = ""
    for machine in machines:
        topic = topics.machine_selftest(machine)
        # Some brokers close the connection after a message that they refuse.
        with connected(settings, "test") as it:
            try:
                text = _publish_alert(it, topics, topic, machine, it.fits, timeout_s)
            except TopicRefusedError as error:
                raise (error if text else refusal) from None
    return text


def _try_scores(
    settings: MqttSettings, topics: Topics, machines: Collection[str], timeout_s: float
) -> ProbeLine:
    """Whether the broker accepts the score topic of each machine."""
    left, refused = [topics.score(machine) for machine in machines], list[str]()
    while left and len(refused) < _MOST_REFUSED:
        # Some brokers close the connection after a message that they refuse.
        with connected(settings, "test") as it:
            try:
                while left:
                    mark = Message(left.pop(0), encode({"selftest": True}))
                    send_and_wait(it, mark, timeout_s)
            except BrokerError as error:
                if not (error.closed or isinstance(error, TopicRefusedError)):
                    raise
                refused.append(str(error))
    if not refused:
        return ProbeLine("scores", True, f"{counted(len(machines), 'topic')}: acknowledged")
    return ProbeLine("scores", False, "; ".join(refused))


def _publish_alert(  # noqa: PLR0917 - a private function
    connection: MqttConnection,
    topics: Topics,
    topic: str,
    machine: str,
    fits: Callable[[Message], bool],
    timeout_s: float,
) -> str:
    message, is_short = fitting_alert(largest_alert(machine), topics.alert(machine), fits)
    if message is None:
        raise BrokerError(f"{topics.alert(machine)}: the short form of an alert is too large too")
    size_bytes = connection.packet_bytes(message)
    took_s = send_and_wait(connection, _marked(message, topic, connection), timeout_s)
    text = f"{topic}: acknowledged in {took_s * 1000:.0f} ms ({size_bytes} bytes)"
    return text + ("; alerts are sent in the short form" if is_short else "")


def _marked(alert: Message, topic: str, connection: MqttConnection) -> Message:
    """A message of the size of ``alert`` if possible, which nobody takes for an alert."""
    fields = {"selftest": True} | json.loads(alert.payload)
    fields = {key: fields[key] for key in fields if key not in {"replayed", "short", "alert_id"}}
    message = Message(topic, encode(fields))
    missing = connection.packet_bytes(alert) - connection.packet_bytes(message)
    return replace(message, payload=message.payload + b" " * missing)


def _short(connection: MqttConnection) -> Callable[[Message], bool]:
    return lambda message: connection.packet_bytes(message) <= SHORT_PACKET_BYTES


def _too_large(
    connection: MqttConnection, settings: MqttSettings, machines: Collection[str]
) -> Iterator[ProbeLine]:
    retained = retained_messages(settings, machines, connection.limits.describe())
    too_large = [one for one in retained if not connection.fits(one)]
    if too_large:
        largest = max(too_large, key=connection.packet_bytes)
        yield ProbeLine(
            "retained",
            False,
            f"not published, because the broker accepts at most "
            f"{connection.limits.max_packet_bytes} bytes: "
            f"{', '.join(one.topic for one in too_large)} "
            f"(up to {connection.packet_bytes(largest)} bytes)",
        )
