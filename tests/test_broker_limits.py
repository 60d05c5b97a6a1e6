"""Brokers that restrict retained messages, QoS, packet sizes or messages in flight."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor import __version__
from monitor.alerts import Alert
from monitor.mqtt.alert_sender import fitting_alert
from monitor.mqtt.home_assistant import Discovery
from monitor.mqtt.home_assistant_names import config_topic
from monitor.mqtt.limits import BrokerLimits, LearnedPacketLimit, publish_bytes
from monitor.mqtt.messages import Message
from monitor.mqtt.one_shot import publish_alerts
from monitor.mqtt.payloads import alert_payload, encode, short_alert_payloads
from monitor.mqtt.probe import probe
from monitor.mqtt.probe_messages import largest_alert
from monitor.mqtt.publisher import MqttPublisher
from monitor.mqtt.retries import Refusals, Repetition
from monitor.mqtt.settings import MqttSettings
from monitor.outbox.queue import Outbox
from tests.alert_drafts import draft
from tests.mosquitto import Certificates, Mosquitto, Subscriber, denying
from tests.old_broker import OldBroker
from tests.payload_check import check_payload
from tests.publishing import connected, publishing, sequences
from tests.waiting import wait_for

PROTOCOLS = ("auto", "3.1.1")
STATUS = "auscult/test/status"


def limited(tmp_path: Path, *lines: str) -> Mosquitto:
    return Mosquitto(tmp_path / "broker", extra="\n".join(lines))


def raise_and_clear(outbox: Outbox, publisher: MqttPublisher) -> None:
    for kind in ("raised", "updated", "cleared"):
        outbox.append(draft(kind))
    publisher.wake()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_broker_without_retained_messages(tmp_path: Path, outbox: Outbox, protocol: str) -> None:
    """The daemon never connects, because the broker refuses its retained last will."""
    with (
        limited(tmp_path, "retain_available false") as broker,
        Subscriber(broker) as subscriber,
        publishing(broker.settings(protocol=protocol), outbox) as publisher,
    ):
        publisher.publish_state("pump-7", {"state": "ok"})
        raise_and_clear(outbox, publisher)
        wait_for(lambda: sequences(subscriber.payloads("pump-7/alert")) == [1, 2, 3])
        wait_for(lambda: outbox.depth() == 0)
        wait_for(lambda: subscriber.payloads("status") == [b"online"])
        wait_for(lambda: subscriber.payloads("pump-7/state"))
        publisher.forget_machine("pump-7")
        assert "no retained messages" in publisher.limits()
        health = json.loads(subscriber.payloads("health")[-1])
        assert "no retained messages" in health["delivery"]["limits"]
        assert health["state"] == "ok"
        assert publisher.delivery_counts().connections == 1
    assert b"" not in subscriber.payloads("pump-7/state")  # it would be a state without content


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_broker_with_qos_0_only(
    tmp_path: Path, outbox: Outbox, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The daemon never connects, or an alert leaves the outbox before the broker has it."""
    with (
        limited(tmp_path, "max_qos 0") as broker,
        Subscriber(broker) as subscriber,
        publishing(broker.settings(protocol=protocol, ack_timeout_s=0.5), outbox) as publisher,
    ):
        raise_and_clear(outbox, publisher)
        wait_for(lambda: sequences(subscriber.payloads("pump-7/alert")) == [1, 2, 3])
        wait_for(lambda: outbox.depth() == 0)
        wait_for(lambda: publisher.delivery_counts().acknowledged == 3)
        assert publisher.delivery_counts().qos == 0
        assert "only QoS 0" in caplog.text
        broker.pause()
        outbox.append(draft())
        publisher.wake()
        wait_for(lambda: "no acknowledgement" in (publisher.connection_error() or ""))
        assert outbox.depth() == 1
        broker.resume()
        wait_for(lambda: outbox.depth() == 0)
        with Subscriber(broker, STATUS, client_id="late") as late:
            wait_for(lambda: [one.payload for one in late.messages() if one.retain] == [b"online"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_last_will_is_as_good_as_the_broker_allows(
    tmp_path: Path, outbox: Outbox, protocol: str
) -> None:
    """With both limits there is no will, and the status of a daemon that failed stays online."""
    with (
        limited(tmp_path, "retain_available false", "max_qos 0") as broker,
        Subscriber(broker) as subscriber,
        publishing(broker.settings(protocol=protocol), outbox) as publisher,
    ):
        wait_for(lambda: subscriber.payloads("status") == [b"online"])
        raise_and_clear(outbox, publisher)
        wait_for(lambda: outbox.depth() == 0)
        # Another client with the same id ends the connection without a DISCONNECT.
        with Subscriber(broker, client_id=broker.settings().effective_client_id):
            wait_for(lambda: b"offline" in subscriber.payloads("status"))


def test_the_first_reason_is_kept(
    tmp_path: Path, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason of MQTT 5 is overwritten by 'connection lost' of the attempt with 3.1.1."""
    with (
        limited(tmp_path, "retain_available false") as broker,
        publishing(broker.settings(), outbox) as publisher,
    ):
        wait_for(lambda: connected(publisher))
        wait_for(lambda: "Retain not supported" in caplog.text)
        assert "Retain not supported" in publisher.limits()
        assert publisher.delivery_counts().protocol == "MQTT 5"
    with socket.create_server(("127.0.0.1", 0)) as server:
        answers = iter((b"\x20\x03\x00\x84\x00", b""))

        def answer() -> None:  # MQTT 5 is refused with a reason, 3.1.1 without one
            for reply in answers:
                peer, _ = server.accept()
                with peer:
                    peer.recv(1024)
                    peer.sendall(reply)

        threading.Thread(target=answer, daemon=True).start()
        settings = broker.settings(port=server.getsockname()[1], reconnect_max_s=60.0)
        settings = settings.model_copy(update={"reconnect_min_s": 60.0, "connect_timeout_s": 0.3})
        with publishing(settings, outbox) as publisher:
            wait_for(lambda: "with MQTT 3.1.1" in (publisher.connection_error() or ""))
            assert "nsupported protocol version" in (publisher.connection_error() or "")


def test_a_broker_that_was_only_starting_gets_the_full_will(tmp_path: Path, outbox: Outbox) -> None:
    """A broker that closes early connections while it starts is used without retain and QoS 1."""
    with Mosquitto(tmp_path / "broker") as broker, socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:  # closes two connections, then passes everything to the broker
            for _ in range(2):
                door.accept()[0].close()
            while True:
                try:
                    peer, _ = door.accept()
                except OSError:
                    return
                onward = socket.create_connection(("127.0.0.1", broker.port))
                for one, other in ((peer, onward), (onward, peer)):
                    threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()

        threading.Thread(target=answer, daemon=True).start()
        settings = broker.settings(port=door.getsockname()[1], protocol="3.1.1")
        with publishing(settings, outbox) as publisher:
            wait_for(lambda: connected(publisher))
            assert publisher.limits() == ""
            assert publisher.delivery_counts().qos == 1


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(4096):
            target.sendall(data)
    except OSError:
        pass
    for one in (source, target):
        one.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_small_packet_limit_gives_short_alerts(
    tmp_path: Path, outbox: Outbox, protocol: str
) -> None:
    """No alert is ever delivered to a broker that accepts 300 bytes."""
    with (
        limited(tmp_path, "max_packet_size 300") as broker,
        Subscriber(broker) as subscriber,
        publishing(broker.settings(protocol=protocol), outbox) as publisher,
    ):
        alert = outbox.append(draft())
        publisher.wake()
        wait_for(lambda: outbox.depth() == 0, 20)
        wait_for(lambda: subscriber.payloads("pump-7/alert"))
        short = json.loads(subscriber.payloads("pump-7/alert")[0])
        check_payload("alert", short)
        assert short["short"] is True
        full = alert_payload(alert)
        assert short.items() <= (full | {"short": True}).items()
        assert {"event_id", "alert_id", "kind", "machine", "at", "sequence", "score"} <= set(short)
        assert publisher.delivery_counts().short >= 1
        outbox.append(draft("cleared"))
        publisher.wake()
        wait_for(lambda: outbox.depth() == 0)


def test_discovery_that_does_not_fit_is_reported_once(
    tmp_path: Path, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The daemon connects and is disconnected without end, because of one large message."""
    with limited(tmp_path, "max_packet_size 2048") as broker, Subscriber(broker) as subscriber:
        settings = broker.settings(discovery=True)
        publisher = MqttPublisher(settings, outbox)
        Discovery(settings, publisher, __version__).announce(["pump-7"])
        publisher.start()
        outbox.append(draft())
        publisher.wake()
        wait_for(lambda: outbox.depth() == 0)
        wait_for(lambda: subscriber.payloads("health"))
        wait_for(lambda: config_topic(settings, "pump-7") in publisher.refusal())
        assert "short" not in json.loads(subscriber.payloads("pump-7/alert")[0])
        publisher.republish("")
        publisher.publish_state("pump-7", {"state": "ok"})
        wait_for(lambda: subscriber.payloads("pump-7/state"))
        assert publisher.delivery_counts().connections == 1
        publisher.stop()
    assert caplog.text.count("larger than 2048 bytes") == 1


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_picture_that_is_too_large_costs_no_alert(
    tmp_path: Path, outbox: Outbox, protocol: str
) -> None:
    """A picture would make a broker close the connection on which alerts are sent, without end."""
    with limited(tmp_path, "max_packet_size 20000") as broker, Subscriber(broker) as subscriber:
        publisher = MqttPublisher(broker.settings(protocol=protocol), outbox)
        publisher.start()
        publisher.publish_picture("pump-7", bytes(60_000))
        wait_for(lambda: "pump-7/picture" in publisher.refusal(), 20)
        outbox.append(draft())
        publisher.publish_state("pump-7", {"state": "ok"})
        wait_for(lambda: outbox.depth() == 0)
        wait_for(lambda: subscriber.payloads("pump-7/state"))
        assert subscriber.payloads("pump-7/picture") == []
        assert connected(publisher)
        publisher.stop()


def test_discovery_that_closes_the_connection_is_found(tmp_path: Path, outbox: Outbox) -> None:
    """With MQTT 3.1.1, which announces no limit, the daemon is disconnected without end."""
    with limited(tmp_path, "max_packet_size 2048") as broker, Subscriber(broker) as subscriber:
        settings = broker.settings(discovery=True, protocol="3.1.1")
        publisher = MqttPublisher(settings, outbox)
        Discovery(settings, publisher, __version__).announce(["pump-7"])
        publisher.start()
        wait_for(lambda: config_topic(settings, "pump-7") in publisher.refusal(), 20)
        outbox.append(draft())
        publisher.publish_state("pump-7", {"state": "ok"})
        wait_for(lambda: outbox.depth() == 0)
        wait_for(lambda: subscriber.payloads("pump-7/state"))
        assert connected(publisher)
        publisher.stop()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_unannounced_size_limit_gives_short_alerts(
    tmp_path: Path, outbox: Outbox, protocol: str
) -> None:
    """A broker that limits the payload, but does not announce it, receives no alert.

    With MQTT 3.1.1 it acknowledges the alert, discards it and closes the connection.
    """
    with (
        limited(tmp_path, "message_size_limit 290") as broker,
        Subscriber(broker) as subscriber,
        publishing(broker.settings(protocol=protocol), outbox) as publisher,
    ):
        outbox.append(draft())
        publisher.wake()
        wait_for(lambda: subscriber.payloads("pump-7/alert"), 20)
        assert json.loads(subscriber.payloads("pump-7/alert")[0])["short"] is True
        wait_for(lambda: outbox.depth() == 0)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_alert_that_is_acknowledged_and_discarded_is_kept(
    tmp_path: Path, outbox: Outbox, protocol: str
) -> None:
    """The alert leaves the outbox, and another topic is reported as the reason."""
    with denying(tmp_path / "broker", "auscult/test/pump-7/alert") as broker:
        settings = broker.settings(username="auscult", password="right", protocol=protocol)  # noqa: S106  # of a broker that lives for a second
        with publishing(settings, outbox) as publisher:
            outbox.append(draft())
            publisher.publish_state("pump-7", {"state": "ok"})
            publisher.wake()
            wait_for(publisher.refusal)
            wait_for(lambda: connected(publisher))
            assert publisher.refusal().startswith("auscult/test/pump-7/alert: ")
            assert ";" not in publisher.refusal()
            assert outbox.depth() == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scores_that_the_access_list_forbids_do_not_end_every_connection(
    tmp_path: Path, outbox: Outbox, protocol: str
) -> None:
    """The daemon is offline every few seconds, and the log names another client as the reason."""
    with (
        denying(tmp_path / "broker", "auscult/test/fan/score") as broker,
        Subscriber(broker, username="auscult", password="right") as subscriber,  # noqa: S106  # of a broker that lives for a second
    ):
        settings = broker.settings(username="auscult", password="right", protocol=protocol)  # noqa: S106  # as above
        with publishing(settings, outbox) as publisher:

            def publish_scores() -> None:
                for machine in ("fan", "pump-7"):
                    publisher.publish_score(machine, {"score": 1.0})

            def is_refused() -> str:
                publish_scores()
                return publisher.refusal()

            assert str(wait_for(is_refused, 20)).startswith("auscult/test/fan/score: ")
            wait_for(lambda: connected(publisher))
            ends = len(subscriber.messages("test/status"))

            def has_scores() -> bool:
                publish_scores()
                return len(subscriber.messages("pump-7/score")) >= 20

            wait_for(has_scores)
            assert len(subscriber.messages("test/status")) <= ends + 1  # that of this connection
            assert not publisher._outgoing.refusals.tried_again()


@pytest.mark.parametrize("is_urgent", [False, True])
def test_a_refused_topic_that_also_ends_the_connection_is_tried_seldom(is_urgent: bool) -> None:
    """The daemon is offline every five minutes for each forbidden topic; or an alert waits for an
    hour after the access list was corrected."""
    refusals = Refusals()
    refusals.refused("p", "no right", Repetition.URGENT if is_urgent else Repetition.SURE)
    refusals.ended()
    longest_s = max(refusals._refusals["p"].backoff.next_s() for _ in range(20))
    assert longest_s <= 300.0 if is_urgent else longest_s > 2000.0


def test_a_refused_picture_does_not_slow_the_delivery() -> None:
    """Without another picture, every later message is sent alone for ever."""
    refusals = Refusals()
    refusals.refused("p/picture", "no right", Repetition.OPEN)
    refusals.refused("p/state", "no right", Repetition.SURE)
    for one in refusals._refusals.values():
        one.until_s = 0.0
    assert refusals.tried_again()
    refusals.accepted("p/state")
    assert not refusals.tried_again()


def test_one_message_in_flight_is_enough(tmp_path: Path, outbox: Outbox) -> None:
    """A broker that allows one message in flight disconnects a daemon that sends two."""
    with (
        limited(tmp_path, "max_inflight_messages 1") as broker,
        Subscriber(broker) as subscriber,
        publishing(broker.settings(), outbox) as publisher,
    ):
        for machine in range(20):
            outbox.append(draft(machine=f"m{machine}"))
            publisher.publish_state(f"m{machine}", {"state": "anomaly"})
        wait_for(lambda: outbox.depth() == 0)
        wait_for(lambda: len(subscriber.messages("/alert")) == 20)
        wait_for(lambda: len(subscriber.messages("/state")) == 20)
        assert publisher.delivery_counts().connections == 1


def test_replayed_alerts_reach_a_limited_broker(tmp_path: Path) -> None:
    """``replay --publish`` waits for an acknowledgement that cannot come, or is disconnected."""
    with (
        limited(tmp_path, "max_qos 0", "max_packet_size 300") as broker,
        Subscriber(broker) as subscriber,
    ):
        publish_alerts(broker.settings(), [replace(largest_alert("pump-7"), replayed=True)])
        wait_for(lambda: subscriber.payloads("pump-7/alert"))
        assert json.loads(subscriber.payloads("pump-7/alert")[0])["replayed"] is True


def test_a_broker_that_limits_the_keep_alive(outbox: Outbox) -> None:
    """A broker with MQTT 3.1.1 refuses the client id when the keep-alive is too long for it."""
    with OldBroker(max_keepalive_s=10) as old:
        settings = MqttSettings(host="127.0.0.1", port=old.port, reconnect_max_s=1)
        with publishing(settings, outbox) as publisher:
            raise_and_clear(outbox, publisher)
            wait_for(lambda: outbox.depth() == 0)


def test_a_broker_that_forbids_the_subscription(outbox: Outbox) -> None:
    """A broker that closes the connection of a client that may not read delivers nothing."""
    with OldBroker(forbids_subscriptions=True) as old:
        settings = MqttSettings(
            host="127.0.0.1", port=old.port, reconnect_min_s=0.05, reconnect_max_s=0.1
        )
        with publishing(settings, outbox) as publisher:
            raise_and_clear(outbox, publisher)
            wait_for(lambda: publisher.delivery_counts().connections == 3)
            wait_for(lambda: outbox.depth() == 0)
            wait_for(lambda: connected(publisher))
            assert publisher.refusal() == ""


def test_a_broker_that_forbids_the_topic_of_a_power_meter(outbox: Outbox) -> None:
    """A topic that may not be read stops the delivery of alerts."""
    with OldBroker(forbids_subscriptions=True) as old:
        settings = MqttSettings(
            host="127.0.0.1", port=old.port, reconnect_min_s=0.05, reconnect_max_s=0.1
        )
        with publishing(settings, outbox) as publisher:
            publisher.listen({"meters/pump": lambda _message: None})
            raise_and_clear(outbox, publisher)
            wait_for(lambda: outbox.depth() == 0)
            wait_for(lambda: connected(publisher))
            publisher.listen({"meters/fan": lambda _message: None})
            outbox.append(draft("raised"))
            publisher.wake()
            wait_for(lambda: outbox.depth() == 0)


def test_limits_that_change_with_a_restart_of_the_broker(tmp_path: Path, outbox: Outbox) -> None:
    """After one restart with another configuration, old limits stay or alerts are lost."""
    first = limited(tmp_path)
    extras = ("max_qos 0", "retain_available false", "max_packet_size 300", "")
    with first, publishing(first.settings(), outbox) as publisher:
        for number, extra in enumerate(extras):
            first.stop()
            wait_for(lambda: not connected(publisher))
            changed = Mosquitto(tmp_path / str(number), extra=extra, port=first.port)
            with changed, Subscriber(changed) as subscriber:
                # A status that is not retained may have been published before the subscription.
                wait_for(lambda: connected(publisher))
                outbox.append(draft("updated"))
                publisher.wake()
                wait_for(lambda: outbox.depth() == 0)
                wait_for(lambda: subscriber.payloads("/alert"))
                alert = json.loads(subscriber.payloads("/alert")[0])
                assert alert["sequence"] == number + 1
                assert ("short" in alert) == ("packet" in extra)
        assert publisher.delivery_counts().qos == 1


@pytest.mark.parametrize("base", ["a", "auscult/test"])
@pytest.mark.parametrize("machine", ["m", "pump-7", "m" * 64])
def test_the_short_form_fits_300_bytes(base: str, machine: str) -> None:
    """A broker with a small limit receives no alert of a machine with a long id."""
    alert = largest_alert(machine)
    message, is_short = fitting_alert(alert, f"{base}/{machine}/alert", _fits_300)
    assert message is not None
    assert is_short
    payload = json.loads(message.payload)
    check_payload("alert", payload)
    needed = {"schema_version", "event_id", "alert_id", "kind", "at", "sequence", "short"}
    assert needed <= set(payload)
    assert ("machine" in payload) == (len(machine) < 64)  # the topic has it in any case


def _fits_300(message: Message) -> bool:
    return publish_bytes(message.topic, message.payload, qos=1, properties_bytes=0) <= 300


def test_replayed_alerts_are_marked_in_every_form() -> None:
    """A short alert from a recording cannot be distinguished from an alert of live sound."""
    alert: Alert = replace(largest_alert("pump-7"), replayed=True)
    assert all(payload["replayed"] for payload in short_alert_payloads(alert))


def test_an_alert_that_fits_in_no_form_is_kept_and_reported(
    tmp_path: Path, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """An alert is lost, or delays other machines, when even its short form is too large."""
    long = "m" * 64
    with (
        limited(tmp_path, "max_packet_size 260") as broker,
        Subscriber(broker) as subscriber,
        publishing(broker.settings(), outbox) as publisher,
    ):
        outbox.append(draft(machine=long))
        outbox.append(draft(machine="p"))
        publisher.wake()
        wait_for(lambda: subscriber.payloads("test/p/alert"))
        wait_for(lambda: outbox.depth() == 1)
        wait_for(
            lambda: f"{long}/alert: the short form of an alert is too large" in publisher.refusal()
        )
        assert connected(publisher)
    assert caplog.text.count("the short form of an alert is too large") == 1


@pytest.mark.parametrize(
    ("line", "ok", "expected"),
    [
        ("retain_available false", True, "no retained messages"),
        ("max_qos 0", True, "only QoS 0"),
        ("max_packet_size 300", False, "short form"),
        ("max_packet_size 2048", False, "homeassistant/device"),
        ("max_packet_size 300", False, "auscult/test/health"),
        ("max_packet_size 200", False, "the short form of an alert is too large too"),
        ("message_size_limit 290", True, "closes the connection after a whole alert"),
    ],
)
def test_the_selftest_uses_the_will_and_the_sizes_of_the_daemon(
    tmp_path: Path, line: str, ok: bool, expected: str
) -> None:
    """The selftest reports success although the daemon cannot connect or deliver."""
    with limited(tmp_path, line) as broker, Subscriber(broker) as subscriber:
        lines = probe(broker.settings(discovery=True), ["pump-7"], 3.0)
        assert all(one.ok for one in lines) == ok
        assert expected in " ".join(one.text for one in lines)
        subscriber.publish(
            "last", b"", qos=0
        )  # arrives after the last will, if the broker published it
        wait_for(lambda: subscriber.messages("last"))
        assert not subscriber.messages("status")  # no false report about a running daemon
        assert not subscriber.messages("/alert")


def test_a_second_daemon_that_stops_leaves_the_first_one_online(
    tmp_path: Path, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The status stays stopped while a daemon runs."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Outbox(tmp_path / "second.sqlite3") as other,
        publishing(broker.settings(client_id="first"), outbox) as first,
    ):
        first.publish_info({"version": "first"})
        wait_for(lambda: connected(first))
        with publishing(broker.settings(client_id="second"), other) as second:
            second.publish_info({"version": "second"})
            wait_for(lambda: connected(second))
        wait_for(lambda: "another daemon may use the same mqtt.base_topic" in caplog.text)
        with Subscriber(broker) as subscriber:
            wait_for(lambda: subscriber.payloads("status")[-1:] == [b"online"])
            wait_for(lambda: subscriber.payloads("info")[-1:] == [b'{"version":"first"}'])


def test_retained_messages_are_published_again_without_the_right_to_read(
    tmp_path: Path, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a right to read its status, a daemon never corrects what another one changed."""
    monkeypatch.setattr("monitor.mqtt.session._REPUBLISH_INTERVAL_S", 0.2)
    users = {"auscult": "right", "reader": "right"}
    acl = "user auscult\ntopic write #\nuser reader\ntopic readwrite #\n"
    with Mosquitto(tmp_path / "broker", users=users, acl=acl) as broker:
        settings = broker.settings(username="auscult", password="right")  # noqa: S106  # of a broker that lives for a second
        with (
            Subscriber(broker, username="reader", password="right") as subscriber,  # noqa: S106  # as above
            publishing(settings, outbox),
        ):
            wait_for(lambda: subscriber.payloads("status") == [b"online"])
            subscriber.publish(STATUS, b"stopped")
            wait_for(lambda: subscriber.payloads("status")[-2:] == [b"stopped", b"online"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tls_on_the_wrong_port_is_named(tmp_path: Path, outbox: Outbox, protocol: str) -> None:
    """A port with or without TLS is reported as 'connection lost'."""
    certificates = Certificates.make(tmp_path / "certificates")
    with (
        Mosquitto(tmp_path / "secure", certificates=certificates) as broker,
        publishing(broker.settings(protocol=protocol), outbox) as publisher,
    ):
        wait_for(lambda: "mqtt.tls = true" in (publisher.connection_error() or ""))
    with (
        Mosquitto(tmp_path / "plain") as broker,
        publishing(broker.settings(protocol=protocol, tls=True), outbox) as publisher,
    ):
        wait_for(lambda: "mqtt.tls = false" in (publisher.connection_error() or ""))


def test_a_limit_is_learned_only_from_a_smaller_message_that_arrives() -> None:
    """After the broker was killed twice, all alerts are sent in the short form."""
    learned = LearnedPacketLimit()
    learned.suspect("a", 700)
    assert learned.allows("a", 700)  # the broker may have been stopped
    learned.suspect("a", 700)
    assert not learned.allows("a", 700)
    assert learned.allows("b", 700)
    learned.accepted("a", 290)
    assert not learned.allows("b", 700)
    assert learned.allows("b", 699)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, ""),
        ({"max_packet_bytes": 268_435_455}, ""),
        ({"max_packet_bytes": 300}, "the broker accepts no message above 300 bytes"),
        ({"will_refusal": "Quota exceeded"}, "it refused the last will: Quota exceeded"),
    ],
)
def test_only_limits_that_matter_are_described(limits: dict[str, Any], expected: str) -> None:
    """The status line of every daemon shows the limits of an ordinary broker."""
    assert BrokerLimits(**limits).describe() == expected


def test_packet_sizes_are_those_of_the_standard() -> None:
    """A message is sent that is one byte too large."""
    assert publish_bytes("a/b", b"hello", qos=0, properties_bytes=None) == 2 + 2 + 3 + 5
    assert publish_bytes("a/b", b"hello", qos=1, properties_bytes=21) == 2 + 2 + 3 + 2 + 1 + 21 + 5
    assert publish_bytes("a", b"x" * 124, qos=0, properties_bytes=None) == 2 + 127
    assert publish_bytes("a", b"x" * 125, qos=0, properties_bytes=None) == 3 + 128
    assert len(encode({"a": 1})) == 7


def test_a_message_that_does_not_fit_is_logged_once(
    tmp_path: Path, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that does not fit is logged again on every connection."""
    with (
        limited(tmp_path, "max_packet_size 300") as broker,
        publishing(broker.settings(), outbox) as publisher,
    ):
        publisher.publish_state("pump-7", {"state": "ok", "detail": "x" * 300})
        wait_for(lambda: "pump-7/state" in publisher.refusal())
        broker.stop()
        wait_for(lambda: not connected(publisher))
        broker.start()
        wait_for(lambda: connected(publisher))
        publisher.publish_state("fan-2", {"state": "ok"})
        with Subscriber(broker) as subscriber:
            wait_for(lambda: subscriber.payloads("fan-2/state"))
    assert caplog.text.count("pump-7/state: the message is larger") == 1
