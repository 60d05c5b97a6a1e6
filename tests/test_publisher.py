"""Delivery to a real mosquitto: alerts, retained topics and scores."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.latest import NewestPictures
from monitor.mqtt.publisher import MqttPublisher
from monitor.mqtt.settings import MqttSettings
from monitor.outbox.queue import Outbox
from tests.alert_drafts import draft
from tests.mosquitto import Mosquitto, Subscriber, retained
from tests.publishing import connected, publishing, sequences
from tests.waiting import wait_for

STATUS = "auscult/test/status"


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
        # Each refused topic is tried again after a pause that grows with each refusal.
        wait_for(lambda: outbox.depth() == 0, 40.0)
        wait_for(lambda: publisher.refusal() == "", 40.0)


def test_alert_without_a_subscriber_is_counted(broker: Mosquitto, outbox: Outbox) -> None:
    """A typing mistake in a subscription is not noticed until the machine breaks."""
    with publishing(broker.settings(), outbox) as publisher:
        outbox.append(draft())
        publisher.wake()
        wait_for(lambda: publisher.delivery_counts().no_subscriber == 1)
        assert outbox.depth() == 0
        assert publisher.delivery_counts().acknowledged == 1


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


def test_every_score_of_every_machine_arrives_in_order(
    broker: Mosquitto, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores that come together after a delay are missing, or the last ones are late."""
    monkeypatch.setattr("monitor.mqtt.delivery_thread._POLL_S", 60.0)  # only a wake-up sends
    with Subscriber(broker) as subscriber, publishing(broker.settings(), outbox) as publisher:
        wait_for(lambda: connected(publisher))
        for number in range(3):
            for machine in range(30):
                publisher.publish_score(f"m{machine}", {"score": number})
        for machine in range(30):
            ending = f"/m{machine}/score"
            wait_for(lambda ending=ending: len(subscriber.payloads(ending)) == 3)  # type: ignore[misc]  # bound now
            assert subscriber.payloads(ending) == [b'{"score":%d}' % one for one in range(3)]


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


def test_a_removed_machine_has_no_retained_state(broker: Mosquitto, outbox: Outbox) -> None:
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


PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 230


def test_a_picture_arrives_as_it_is_and_is_not_retained(broker: Mosquitto, outbox: Outbox) -> None:
    """Home Assistant would show no picture, or the broker would keep it for ever."""
    with Subscriber(broker) as subscriber, publishing(broker.settings(), outbox) as publisher:
        publisher.publish_picture("pump-7", PICTURE)
        (received,) = wait_for(lambda: subscriber.messages("pump-7/picture"))
        assert received.payload == PICTURE
        assert (received.qos, received.retain) == (1, False)
    with retained(broker) as kept:
        assert "auscult/test/pump-7/picture" not in kept


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_newest_picture_waits_for_the_broker(
    broker: Mosquitto, outbox: Outbox, protocol: str
) -> None:
    """A picture would be lost while the broker is restarted, or pictures would fill the memory."""
    with publishing(broker.settings(protocol=protocol), outbox) as publisher:
        wait_for(lambda: connected(publisher))
        broker.kill()
        wait_for(lambda: not connected(publisher))
        for number in range(3):
            publisher.publish_picture("pump-7", PICTURE + bytes([number]))
        publisher.publish_picture("fan", PICTURE)
        broker.start()
        with Subscriber(broker) as subscriber:
            wait_for(lambda: subscriber.payloads("fan/picture"))
            wait_for(lambda: subscriber.payloads("pump-7/picture"))
            assert set(subscriber.payloads("pump-7/picture")) == {PICTURE + b"\2"}


def test_a_picture_without_an_answer_is_sent_again_some_times() -> None:
    """A broker that closes the connection after a large message would be connected without end."""
    pictures = NewestPictures()
    pictures.put("a", PICTURE)
    for _ in range(NewestPictures.MOST_TRIES):
        assert pictures.take(1, {"b"}) == [("a", PICTURE)]
        assert pictures.take(1, set()) == []
        pictures.connected()
    assert pictures.take(1, set()) == []
    pictures.put("a", b"next")
    assert pictures.take(1, {"a"}) == []
    assert pictures.take(1, set()) == [("a", b"next")]
    pictures.answered("a")
    pictures.connected()
    assert pictures.take(1, set()) == []
