"""Connections to brokers: versions, passwords, TLS, silence and wrong answers."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from monitor.mqtt.probe import probe
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.tls import tls_context
from monitor.outbox.queue import Outbox
from tests.alert_drafts import draft
from tests.mosquitto import Certificates, Mosquitto, Subscriber, denying
from tests.old_broker import OldBroker
from tests.publishing import connected, publishing, sequences
from tests.waiting import wait_for


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
    """The connection to a broker that answers pings but acknowledges nothing is never closed."""
    with OldBroker(acknowledges=False) as mute:
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


def test_falls_back_to_311_where_mqtt_5_is_not_supported(outbox: Outbox) -> None:
    """Brokers that are older than MQTT 5 receive nothing."""
    with OldBroker() as old:
        settings = MqttSettings(host="127.0.0.1", port=old.port, reconnect_max_s=1)
        with publishing(settings, outbox) as publisher:
            outbox.append(draft())
            publisher.wake()
            wait_for(lambda: outbox.depth() == 0)
            assert publisher.delivery_counts().protocol == "MQTT 3.1.1"
        strict = settings.model_copy(update={"protocol": "5"})
        with publishing(strict, outbox) as publisher:
            wait_for(lambda: "nsupported protocol" in (publisher.connection_error() or ""))


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
            reason = "certificate required; check mqtt.client_cert"
            wait_for(lambda: reason in (publisher.connection_error() or ""))


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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_certificates_with_a_byte_order_mark(
    encoding: str, tmp_path: Path, outbox: Outbox, certificates: Certificates
) -> None:
    """The first certificate of a file that a Windows editor saved is ignored."""

    def marked(path: Path) -> Path:
        copy = tmp_path / f"marked-{path.name}"
        copy.write_text(path.read_text(), encoding=encoding)
        return copy

    with Mosquitto(
        tmp_path / "broker", certificates=certificates, client_certificates=True
    ) as broker:
        settings = broker.settings(
            tls=True,
            ca_file=marked(certificates.ca),
            client_cert=marked(certificates.client_cert),
            client_key=marked(certificates.client_key),
        )
        with publishing(settings, outbox) as publisher:
            wait_for(lambda: connected(publisher))


@pytest.mark.parametrize("name", ["localhost", "localhost.", "localhost%eth0"])
def test_what_is_only_for_the_resolver_is_not_in_a_certificate(
    name: str, tmp_path: Path, certificates: Certificates
) -> None:
    """A broker whose name ends with a dot is refused, although its certificate is right."""
    with Mosquitto(tmp_path / "broker", certificates=certificates) as broker:
        settings = broker.settings(tls=True, ca_file=certificates.ca)
        context = tls_context(settings)
        assert context is not None
        with (
            socket.create_connection(("127.0.0.1", settings.port), 5) as plain,
            context.wrap_socket(plain, server_hostname=name) as encrypted,
        ):
            assert encrypted.version() in {"TLSv1.2", "TLSv1.3"}


def test_an_answer_that_is_not_mqtt_only_ends_the_connection(outbox: Outbox) -> None:
    """One answer of another program on the port ends the delivery until a restart."""
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
    """Two daemons disconnect each other, and the log does not give the reason."""
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
        lines = probe(settings, timeout_s=3.0)
        assert [line.ok for line in lines] == [True, True, True]
        assert "MQTT 5" in lines[0].text
        assert "auscult/test/selftest: acknowledged" in lines[1].text
        lines = probe(settings.model_copy(update={"base_topic": "other"}), timeout_s=3.0)
        assert [line.ok for line in lines] == [True, False]
        assert "Not authorized" in lines[1].text
        lines = probe(broker.settings(username="auscult", password="wrong"), timeout_s=3.0)  # noqa: S106  # as above
        assert [line.ok for line in lines] == [False]
        broker.pause()
        assert "does not answer" in probe(settings, timeout_s=0.3)[-1].text
        broker.resume()
    assert "refused" in probe(settings, timeout_s=3.0)[0].text


@pytest.mark.parametrize("denied", ["", "fan"])
def test_probe_reports_which_topics_an_access_list_allows(tmp_path: Path, denied: str) -> None:
    """The selftest reports that no alert is delivered, or that the alerts of all machines are."""
    acl = "user auscult\ntopic write auscult/test/pump/#\n"
    acl += "" if denied else "topic write auscult/test/fan/#\n"
    with (
        Mosquitto(tmp_path / "broker", users={"auscult": "right"}, acl=acl) as broker,
    ):
        settings = broker.settings(username="auscult", password="right")  # noqa: S106  # as above
        lines = {one.what: one for one in probe(settings, ["pump", "fan"], 3.0)}
    if denied:
        assert not lines["alert"].ok
        assert "auscult/test/fan/selftest: refused" in lines["alert"].text
        return
    assert lines["alert"].ok
    assert "/selftest: acknowledged" in lines["alert"].text
    assert not lines["topics"].ok
    assert "auscult/test/selftest: refused by the broker: Not authorized" in lines["topics"].text
    assert "may refuse auscult/test/status" in lines["topics"].text


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("denied", ["auscult/test/fan/score", "auscult/test/selftest"])
def test_probe_names_the_one_topic_that_an_access_list_denies(
    tmp_path: Path, denied: str, protocol: str
) -> None:
    """Dashboards stay empty although the selftest reports success: a score has no answer.

    With MQTT 3.1.1 the broker acknowledges the message, discards it and closes the connection.
    """
    with (
        denying(tmp_path / "broker", denied) as broker,
        Subscriber(broker, username="auscult", password="right") as subscriber,  # noqa: S106  # of a broker that lives for a second
    ):
        settings = broker.settings(username="auscult", password="right", protocol=protocol)  # noqa: S106  # as above
        lines = probe(settings, ["fan", "pump-7"], 3.0)
        wait_for(lambda: subscriber.payloads("pump-7/score"))
        found = [(one.topic, one.payload) for one in subscriber.messages("/score")]
    marks = [(f"auscult/test/{name}/score", b'{"selftest":true}') for name in ("fan", "pump-7")]
    assert found == [mark for mark in marks if mark[0] != denied]
    (failed,) = (line for line in lines if not line.ok)
    assert failed.what == ("scores" if denied.endswith("score") else "topics")
    assert failed.text.startswith(f"{denied}: ")
