"""Outbox and publisher together, also after a reload with other settings."""

from __future__ import annotations

from pathlib import Path

from monitor.mqtt.settings import MqttSettings
from monitor.outbox.queue import Outbox
from monitor.service.delivery import Delivery
from tests.alert_drafts import draft
from tests.mosquitto import Mosquitto, Subscriber, denying
from tests.waiting import wait_for


def test_other_limits_take_effect_without_a_new_connection(tmp_path: Path) -> None:
    """A reload with lower limits changes nothing, or ends a good connection."""
    settings = MqttSettings(host="127.0.0.1", port=1)
    with Outbox(tmp_path / "outbox.sqlite3") as outbox:
        delivery = Delivery(settings, outbox)
        for _ in range(30):
            delivery.alert(draft("updated"))
        assert not delivery.switch(settings.model_copy(update={"outbox_max_alerts": 10}))
        assert outbox.depth() == 10
        assert delivery.switch(settings.model_copy(update={"port": 2}))
        delivery.stop()


def test_waiting_alerts_go_to_the_new_broker(tmp_path: Path) -> None:
    """After a change of the broker, alerts wait for the old one."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker) as subscriber,
        Outbox(tmp_path / "outbox.sqlite3") as outbox,
    ):
        delivery = Delivery(broker.settings(port=1), outbox)
        delivery.start()
        for kind in ("raised", "cleared"):
            delivery.alert(draft(kind))
        wait_for(lambda: "refused" in delivery.summary())
        delivery.switch(broker.settings())
        wait_for(lambda: len(subscriber.payloads("pump-7/alert")) == 2)
        wait_for(lambda: delivery.summary() == "outbox 0, broker connected")
        delivery.stop()


def test_the_status_line_names_what_the_broker_refuses(tmp_path: Path) -> None:
    """It would say "broker connected", while no alert of the machine arrives."""
    with (
        denying(tmp_path / "broker", "auscult/test/pump-7/alert") as broker,
        Outbox(tmp_path / "outbox.sqlite3") as outbox,
    ):
        settings = broker.settings(username="auscult", password="right")  # noqa: S106  # of a broker that lives for a second
        delivery = Delivery(settings, outbox)
        delivery.start()
        delivery.alert(draft())
        refused = "outbox 1, broker connected, but it refuses auscult/test/pump-7/alert: "
        wait_for(lambda: delivery.summary().startswith(refused))
        delivery.stop()
