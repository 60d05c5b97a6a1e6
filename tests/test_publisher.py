"""Delivery to a real mosquitto, also while the broker or the network fails."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.one_shot import probe
from monitor.mqtt.publisher import MqttPublisher
from monitor.mqtt.settings import MqttSettings
from monitor.outbox.queue import Outbox
from tests.alert_drafts import draft
from tests.mosquitto import Certificates, Mosquitto, Subscriber, retained, wait_for

STATUS = "auscult/test/status"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.sqlite3") as opened:
        yield opened


@contextlib.contextmanager
def publishing(settings: MqttSettings, outbox: Outbox) -> Iterator[MqttPublisher]:
    publisher = MqttPublisher(settings, outbox)
    publisher.start()
    try:
        yield publisher
    finally:
        publisher.stop()


def connected(publisher: MqttPublisher) -> bool:
    return publisher.connection_error() is None


def sequences(payloads: list[bytes]) -> list[int]:
    """The sequence numbers in order of arrival, each ``event_id`` once."""
    alerts = {alert["event_id"]: alert["sequence"] for alert in map(json.loads, payloads)}
    return list(alerts.values())


def arrived(subscriber: Subscriber, ending: str, wanted: list[int]) -> bool:
    return sequences(subscriber.payloads(ending)) == wanted


def test_alert_arrives_and_leaves_the_outbox(broker: Mosquitto, outbox: Outbox) -> None:
    """No alert reaches a subscriber."""
    with Subscriber(broker) as subscriber, publishing(broker.settings(), outbox) as publisher:
        alert = outbox.append(draft())
        publisher.wake()
        wait_for(lambda: outbox.depth() == 0)
        wait_for(lambda: subscriber.messages("pump-7/alert"))
        (received,) = subscriber.messages("pump-7/alert")
        assert json.loads(received.payload)["event_id"] == alert.event_id
        assert (received.qos, received.retain) == (1, False)
        counts = publisher.delivery_counts()
        assert (counts.acknowledged, counts.no_subscriber, counts.protocol) == (1, 0, "MQTT 5")


def test_machines_take_turns(broker: Mosquitto, outbox: Outbox) -> None:
    """One alert of one machine waits until thousands of other machines' alerts are sent."""
    for _ in range(5):
        for number in range(50):
            outbox.append(draft(machine=f"m{number}"))
    outbox.append(draft(machine="pump-7"))
    with Subscriber(broker) as subscriber, publishing(broker.settings(), outbox):
        wait_for(lambda: outbox.depth() == 0)
        wait_for(lambda: len(subscriber.messages("/alert")) == 251)
        order = [message.topic for message in subscriber.messages("/alert")]
        assert order.index("auscult/test/pump-7/alert") < 100


def test_status_is_online_stopped_and_offline(broker: Mosquitto, outbox: Outbox) -> None:
    """A dashboard shows a dead daemon as running."""
    with Subscriber(broker) as subscriber:
        publisher = MqttPublisher(broker.settings(), outbox)
        publisher.start()
        wait_for(lambda: subscriber.payloads("status") == [b"online"])
        publisher.publish_state("pump-7", {"state": "ok"})
        begun_s = time.monotonic()
        assert publisher.stop(2.0)
        assert time.monotonic() - begun_s < 1.0
        wait_for(lambda: subscriber.payloads("status") == [b"online", b"stopped"])
        assert subscriber.payloads("pump-7/state") == [b'{"state":"ok"}']
    with retained(broker) as kept:
        assert kept[STATUS] == b"stopped"
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(broker.port)], cwd=_ROOT)
    with Subscriber(broker, STATUS, client_id="second") as subscriber:
        wait_for(lambda: subscriber.payloads("status")[-1:] == [b"online"])
        child.send_signal(signal.SIGKILL)
        child.wait()
        wait_for(lambda: subscriber.payloads("status")[-1] == b"offline")


_ROOT = Path(__file__).parent.parent
_CHILD = """
import sys, tempfile, threading
from pathlib import Path
from monitor.mqtt.settings import MqttSettings
from monitor.outbox.queue import Outbox
from monitor.mqtt.publisher import MqttPublisher

folder = tempfile.TemporaryDirectory()
settings = MqttSettings(host="127.0.0.1", port=int(sys.argv[1]), base_topic="auscult/test")
MqttPublisher(settings, Outbox(Path(folder.name) / "o.sqlite3")).start()
threading.Event().wait()
"""


def test_nothing_is_lost_while_the_broker_is_away(broker: Mosquitto, outbox: Outbox) -> None:
    """Alerts that are raised while the broker restarts are lost."""
    with Subscriber(broker, "#") as subscriber, publishing(broker.settings(), outbox) as publisher:
        publisher.publish_state("pump-7", {"state": "ok"})
        wait_for(lambda: connected(publisher))
        for round_number in range(3):
            broker.kill()
            for kind in ("raised", "updated", "cleared"):
                outbox.append(draft(kind, "pump-7"))
                outbox.append(draft(kind, "fan-2"))
                publisher.wake()
            wait_for(lambda: not connected(publisher))
            assert outbox.depth() == 6
            broker.start()
            wait_for(lambda: outbox.depth() == 0)
            wanted = list(range(1, 3 * round_number + 4))
            for ending in ("pump-7/alert", "fan-2/alert"):
                wait_for(partial(arrived, subscriber, ending, wanted))
        with retained(broker) as kept:
            assert kept[STATUS] == b"online"
            assert kept["auscult/test/pump-7/state"] == b'{"state":"ok"}'


def test_paused_broker_is_detected_and_alerts_arrive_in_order(
    broker: Mosquitto, outbox: Outbox
) -> None:
    """After a network failure without a closed connection, alerts wait for minutes."""
    settings = broker.settings(ack_timeout_s=0.5, connect_timeout_s=0.5)
    with Subscriber(broker) as subscriber, publishing(settings, outbox) as publisher:
        wait_for(lambda: connected(publisher))
        broker.pause()
        for kind in ("raised", "updated", "cleared"):
            outbox.append(draft(kind))
        publisher.wake()
        wait_for(lambda: "no acknowledgement" in (publisher.connection_error() or ""))
        wait_for(lambda: "does not answer" in (publisher.connection_error() or ""))
        broker.resume()
        wait_for(lambda: outbox.depth() == 0)
        wait_for(lambda: sequences(subscriber.payloads("pump-7/alert")) == [1, 2, 3])
        wait_for(lambda: subscriber.payloads("status")[-1] == b"online")
        assert publisher.delivery_counts().acknowledged == 3


def test_a_new_connection_is_made_to_a_broker_that_never_acknowledges(outbox: Outbox) -> None:
    """A broker that answers pings but keeps no messages is used for ever."""
    with _OldBroker(acknowledges=False) as mute:
        settings = MqttSettings(
            host="127.0.0.1",
            port=mute.port,
            protocol="3.1.1",
            ack_timeout_s=0.3,
            reconnect_min_s=0.05,
            reconnect_max_s=0.1,
        )
        with publishing(settings, outbox) as publisher:
            outbox.append(draft())
            publisher.wake()
            wait_for(lambda: "no acknowledgement for 0.3 s" in (publisher.connection_error() or ""))
            wait_for(lambda: publisher.delivery_counts().connections >= 3)
            assert (outbox.depth(), publisher.delivery_counts().acknowledged) == (1, 0)
            mute.acknowledges = True
            wait_for(lambda: outbox.depth() == 0)


@pytest.mark.slow
def test_a_silent_connection_is_detected_without_waiting_messages(
    broker: Mosquitto, outbox: Outbox
) -> None:
    """The daemon reports a connection for hours after a cable was unplugged."""
    settings = broker.settings(keepalive_s=5, ack_timeout_s=60, connect_timeout_s=0.5)
    with Subscriber(broker) as subscriber, publishing(settings, outbox) as publisher:
        wait_for(lambda: subscriber.payloads("health"))
        broker.pause()
        wait_for(lambda: not connected(publisher), 20)
        broker.resume()
        wait_for(lambda: connected(publisher))


def test_an_internal_error_does_not_end_the_delivery(
    broker: Mosquitto, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one internal error, all later alerts stay in the outbox."""
    close = MqttConnection.close

    def close_and_fail(connection: MqttConnection, *, orderly: bool) -> None:
        close(connection, orderly=orderly)
        monkeypatch.undo()
        raise RuntimeError("a bug")

    monkeypatch.setattr(MqttConnection, "close", close_and_fail)
    with publishing(broker.settings(), outbox) as publisher:
        wait_for(lambda: connected(publisher))
        broker.kill()
        wait_for(lambda: "a bug" in (publisher.connection_error() or ""))
        broker.start()
        outbox.append(draft())
        wait_for(lambda: outbox.depth() == 0)
        assert not publisher.stalled()


def test_falls_back_to_311_where_mqtt_5_is_not_supported(outbox: Outbox) -> None:
    """Brokers that are older than MQTT 5 receive nothing."""
    with _OldBroker() as old:
        settings = MqttSettings(host="127.0.0.1", port=old.port, reconnect_max_s=1)
        with publishing(settings, outbox) as publisher:
            outbox.append(draft())
            publisher.wake()
            wait_for(lambda: outbox.depth() == 0)
            assert publisher.delivery_counts().protocol == "MQTT 3.1.1"
        strict = settings.model_copy(update={"protocol": "5"})
        with publishing(strict, outbox) as publisher:
            wait_for(lambda: "nsupported protocol" in (publisher.connection_error() or ""))


def test_only_alerts_that_the_broker_took_leave_the_outbox(tmp_path: Path, outbox: Outbox) -> None:
    """An alert that the broker refuses is lost, or blocks the alerts of other machines."""
    acl = "topic readwrite auscult/test/status\ntopic readwrite auscult/test/fan-2/#\n"
    with (
        Mosquitto(tmp_path / "broker", acl=acl) as broker,
        publishing(broker.settings(), outbox) as publisher,
    ):
        for machine in ("pump-7", "fan-2"):
            outbox.append(draft(machine=machine))
            publisher.publish_state(machine, {"state": "anomaly"})
        wait_for(lambda: outbox.depth() == 1)
        wait_for(lambda: "pump-7/alert: Not authorized" in publisher.refusal())
        assert [alert.machine for alert in outbox.pending()] == ["pump-7"]
        (tmp_path / "broker" / "acl").write_text("topic readwrite #\n")
        broker.stop()
        broker.start()
        wait_for(lambda: outbox.depth() == 0)
        wait_for(lambda: publisher.refusal() == "")


def test_alert_without_a_subscriber_is_counted(broker: Mosquitto, outbox: Outbox) -> None:
    """A typing mistake in a subscription is not noticed until the machine breaks."""
    with publishing(broker.settings(), outbox) as publisher:
        outbox.append(draft())
        publisher.wake()
        wait_for(lambda: publisher.delivery_counts().no_subscriber == 1)
        assert outbox.depth() == 0
        assert publisher.delivery_counts().acknowledged == 1


def test_wrong_password_is_reported_and_retried_slowly(
    tmp_path: Path, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong password stops the daemon or locks the account."""
    users = {"auscult": "right"}
    with Mosquitto(tmp_path / "broker", users=users) as broker:
        wrong = {"username": "auscult", "password": "geheim-7781"}
        settings = broker.settings(**wrong, reconnect_max_s=0.8)
        with caplog.at_level(logging.DEBUG), publishing(settings, outbox) as publisher:
            outbox.append(draft())
            wait_for(lambda: "refuses the connection" in (publisher.connection_error() or ""))
            assert "mqtt.username" in (publisher.connection_error() or "")
            begun_s = time.monotonic()
            seen = broker.log.read_text().count("not authorised")
            wait_for(lambda: broker.log.read_text().count("not authorised") >= seen + 2)
            assert time.monotonic() - begun_s >= 0.5  # one whole pause of at least 0.6 s
        assert outbox.depth() == 1
        assert "geheim" not in caplog.text + repr(settings) + repr(vars(publisher))


def test_password_file_is_read_anew(
    tmp_path: Path, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of the password, every daemon must be restarted."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    secret = tmp_path / "secret"
    with Mosquitto(tmp_path / "broker", users={"auscult": "right"}) as broker:
        settings = broker.settings(username="auscult", password_file=secret)
        with publishing(settings, outbox) as publisher:
            wait_for(lambda: f"{secret}" in (publisher.connection_error() or ""))
            secret.write_text("right\n")
            wait_for(lambda: connected(publisher))
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
        (tmp_path / "mqtt_password").write_text("right")
        secret.write_text("wrong")
        with publishing(settings, outbox) as publisher:
            wait_for(lambda: connected(publisher))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


def test_tls_with_password_and_client_certificate(
    tmp_path: Path, outbox: Outbox, certificates: Certificates
) -> None:
    """Alerts cannot be sent to a broker that demands a client certificate."""
    with Mosquitto(
        tmp_path / "broker",
        certificates=certificates,
        client_certificates=True,
        users={"auscult": "right"},
    ) as broker:
        settings = broker.settings(
            tls=True,
            ca_file=certificates.ca,
            client_cert=certificates.client_cert,
            client_key=certificates.client_key,
            username="auscult",
            password="right",  # noqa: S106  # of a broker that lives for a second
        )
        with publishing(settings, outbox) as publisher:
            for kind in ("raised", "updated", "cleared"):
                outbox.append(draft(kind))
            publisher.wake()
            wait_for(lambda: outbox.depth() == 0)
        anonymous = settings.model_copy(update={"client_cert": None, "client_key": None})
        with publishing(anonymous, outbox) as publisher:
            wait_for(lambda: publisher.connection_error() != "not connected yet")
            assert not connected(publisher)


def test_untrusted_broker_receives_nothing(
    tmp_path: Path, outbox: Outbox, certificates: Certificates
) -> None:
    """Another server at the broker's address receives the password."""
    with Mosquitto(tmp_path / "broker", certificates=certificates) as broker:
        settings = broker.settings(tls=True)
        with publishing(settings, outbox) as publisher:
            wait_for(lambda: "not trusted" in (publisher.connection_error() or ""))
        elsewhere = settings.model_copy(update={"ca_file": certificates.ca, "host": "127.0.0.1"})
        with publishing(elsewhere, outbox) as publisher:
            wait_for(lambda: "not trusted" in (publisher.connection_error() or ""))
        missing = settings.model_copy(update={"ca_file": tmp_path / "no.pem"})
        with publishing(missing, outbox) as publisher:
            wait_for(lambda: "mqtt.ca_file" in (publisher.connection_error() or ""))


def test_machine_threads_never_wait_for_the_network(outbox: Outbox) -> None:
    """A broker that does not answer stops the monitoring."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = MqttSettings(host="127.0.0.1", port=silent.getsockname()[1])
        publisher = MqttPublisher(settings, outbox)
        publisher.start()
        begun_s = time.monotonic()
        for number in range(1000):
            publisher.publish_score("pump-7", {"score": number})
            publisher.publish_state("pump-7", {"state": "ok", "number": number})
            publisher.wake()
        assert time.monotonic() - begun_s < 1.0
        begun_s = time.monotonic()
        publisher.stop(2.0)
        assert time.monotonic() - begun_s < 2.2


def test_scores_are_never_queued(broker: Mosquitto, outbox: Outbox) -> None:
    """Scores from an hour without a broker delay the alerts and appear late in charts."""
    settings = broker.settings(reconnect_min_s=1.0, reconnect_max_s=1.0)
    with publishing(settings, outbox) as publisher:
        with Subscriber(broker) as subscriber:
            wait_for(lambda: connected(publisher))
            publisher.publish_score("pump-7", {"score": 1})
            wait_for(lambda: subscriber.payloads("score") == [b'{"score":1}'])
            assert not subscriber.messages("score")[0].retain
        broker.kill()
        wait_for(lambda: not connected(publisher))
        for number in range(100):
            publisher.publish_score("pump-7", {"score": number})
        broker.start()
        with Subscriber(broker, client_id="before the publisher") as subscriber:
            wait_for(lambda: connected(publisher))
            publisher.publish_score("fan-2", {"score": 2})
            wait_for(lambda: subscriber.payloads("fan-2/score"))
            assert subscriber.payloads("pump-7/score") == []


def test_the_newest_score_of_every_machine_arrives(
    broker: Mosquitto, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores that are sent together are incomplete, or the last ones are late."""
    monkeypatch.setattr("monitor.mqtt.publisher._POLL_S", 60.0)  # only a wake-up sends
    with Subscriber(broker) as subscriber, publishing(broker.settings(), outbox) as publisher:
        wait_for(lambda: connected(publisher))
        for number in range(3):
            for machine in range(30):
                publisher.publish_score(f"m{machine}", {"score": number})
        for machine in range(30):
            ending = f"/m{machine}/score"
            wait_for(lambda ending=ending: subscriber.payloads(ending)[-1:] == [b'{"score":2}'])  # type: ignore[misc]  # bound now


def test_the_last_scores_are_sent_before_the_end(
    broker: Mosquitto, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last score before a stop is missing in charts."""
    monkeypatch.setattr("monitor.mqtt.publisher._SCORES_EVERY_S", 60.0)
    with Subscriber(broker) as subscriber:
        with publishing(broker.settings(), outbox) as publisher:
            wait_for(lambda: connected(publisher))
            publisher.publish_score("pump-7", {"score": 1})
            wait_for(lambda: subscriber.payloads("score") == [b'{"score":1}'])
            publisher.publish_score("pump-7", {"score": 2})
        wait_for(lambda: subscriber.payloads("score")[-1:] == [b'{"score":2}'])


def test_health_reports_outbox_and_delivery(broker: Mosquitto, tmp_path: Path) -> None:
    """Nobody notices that alerts are dropped."""
    with Outbox(tmp_path / "small.sqlite3", max_alerts=10) as outbox:
        for _ in range(15):
            outbox.append(draft("updated"))
        with Subscriber(broker) as subscriber, publishing(broker.settings(), outbox):
            wait_for(lambda: subscriber.payloads("test/health"))
            health = json.loads(subscriber.payloads("test/health")[0])
            assert health["outbox"]["dropped"] == {"updated": 5}


def test_forgotten_machine_has_no_retained_state(broker: Mosquitto, outbox: Outbox) -> None:
    """A machine that was removed stays on the dashboards."""
    with Subscriber(broker) as subscriber, publishing(broker.settings(), outbox) as publisher:
        publisher.publish_state("pump-7", {"state": "ok"})
        publisher.publish_state("fan-2", {"state": "ok"})
        wait_for(lambda: subscriber.payloads("pump-7/state"))
        publisher.forget_machine("pump-7")
        wait_for(lambda: subscriber.payloads("pump-7/state")[-1] == b"")
        with retained(broker) as kept:
            assert "auscult/test/fan-2/state" in kept
            assert "auscult/test/pump-7/state" not in kept


def test_stop_delivers_what_was_just_raised(broker: Mosquitto, outbox: Outbox) -> None:
    """An alert raised just before a stop is sent only after the next start."""
    with Subscriber(broker) as subscriber:
        publisher = MqttPublisher(broker.settings(), outbox)
        publisher.start()
        wait_for(lambda: connected(publisher))
        for machine in range(20):
            outbox.append(draft(machine=f"m{machine}"))
            publisher.publish_state(f"m{machine}", {"state": "anomaly"})
        assert publisher.stop(2.0)
        assert outbox.depth() == 0
        wait_for(lambda: len(subscriber.messages("/alert")) == 20)
        wait_for(lambda: len(subscriber.messages("/state")) == 20)
        wait_for(lambda: subscriber.messages()[-1].payload == b"stopped")


def test_an_answer_that_is_not_mqtt_only_ends_the_connection(outbox: Outbox) -> None:
    """One answer of another program on the port ends the delivery for good."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        replies = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x02\x00\x00\xff" * 9, os.urandom(64)]
        seen: list[int] = []

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    with peer:
                        peer.recv(1024)
                        peer.sendall(replies[len(seen) % 3])
                        seen.append(1)

        threading.Thread(target=answer, daemon=True).start()
        settings = MqttSettings(
            host="127.0.0.1",
            port=server.getsockname()[1],
            reconnect_min_s=0.01,
            reconnect_max_s=0.02,
        )
        with publishing(settings, outbox) as publisher:
            wait_for(lambda: len(seen) > 12)
            assert not connected(publisher)


def test_two_daemons_with_one_base_topic_are_reported(
    broker: Mosquitto, outbox: Outbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two daemons disconnect each other, and the log does not say why."""
    with (
        Outbox(tmp_path / "second.sqlite3") as other,
        publishing(broker.settings(reconnect_min_s=0.3), outbox) as first,
    ):
        wait_for(lambda: connected(first))
        with publishing(broker.settings(reconnect_min_s=0.3), other):
            wait_for(lambda: "mqtt.base_topic" in caplog.text)


def test_probe_reports_what_works(tmp_path: Path) -> None:
    """``auscult selftest`` reports a working connection although alerts are refused."""
    acl = "user auscult\ntopic readwrite auscult/test/#\n"
    folder = tmp_path / "broker"
    with Mosquitto(folder, users={"auscult": "right"}, acl=acl) as broker:
        settings = broker.settings(username="auscult", password="right")  # noqa: S106  # as above
        lines = probe(settings, 3.0)
        assert [line.ok for line in lines] == [True, True]
        assert "MQTT 5" in lines[0].text
        assert "auscult/test/selftest: acknowledged" in lines[1].text
        lines = probe(settings.model_copy(update={"base_topic": "other"}), 3.0)
        assert [line.ok for line in lines] == [True, False]
        assert "Not authorized" in lines[1].text
        lines = probe(broker.settings(username="auscult", password="wrong"), 3.0)  # noqa: S106  # as above
        assert [line.ok for line in lines] == [False]
        broker.pause()
        assert "does not answer" in probe(settings, 0.3)[-1].text
        broker.resume()
    assert "refused" in probe(settings, 3.0)[0].text


class _OldBroker:
    """A minimal MQTT 3.1.1 broker: it refuses MQTT 5 and takes all messages.

    ``acknowledges``: whether it acknowledges them.
    """

    def __init__(self, *, acknowledges: bool = True) -> None:
        self.acknowledges = acknowledges

    def __enter__(self) -> _OldBroker:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._server.accept()
                threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer, peer.makefile("rb") as stream:
            while header := stream.read(1):
                length, shift = 0, 0
                while True:
                    byte = stream.read(1)[0]
                    length |= (byte & 127) << shift
                    shift += 7
                    if not byte & 128:
                        break
                body = stream.read(length)
                if header[0] >> 4 == 1:  # CONNECT
                    old_enough = body[6] == 4
                    peer.sendall(b"\x20\x02\x00" + (b"\x00" if old_enough else b"\x01"))
                    if not old_enough:
                        return
                elif header[0] >> 4 == 3 and header[0] & 6 and self.acknowledges:  # PUBLISH, QoS 1
                    topic_bytes = int.from_bytes(body[:2], "big")
                    peer.sendall(b"\x40\x02" + body[2 + topic_bytes : 4 + topic_bytes])
                elif header[0] >> 4 == 12:
                    peer.sendall(b"\xd0\x00")
