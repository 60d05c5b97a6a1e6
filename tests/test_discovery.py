"""Home Assistant shows the machines, and no longer shows removed ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import SourceStatus
from monitor.errors import ServiceUnavailableError
from monitor.mqtt.discovery_removal import remove_discovery
from monitor.mqtt.home_assistant import Discovery
from monitor.mqtt.home_assistant_names import object_id
from monitor.mqtt.payloads import schema
from monitor.mqtt.publisher import MqttPublisher
from monitor.mqtt.settings import MqttSettings
from monitor.outbox.queue import Outbox
from monitor.service.muting import MUTED
from tests.home_assistant import Recorder, devices
from tests.mosquitto import Mosquitto, Subscriber, retained
from tests.waiting import wait_for

BIRTH = "homeassistant/status"


def settings(**fields: Any) -> MqttSettings:
    return MqttSettings.model_validate({"base_topic": "auscult/test", "discovery": True} | fields)


def shown(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The components that Home Assistant shows: it removes those with a platform only."""
    components: dict[str, dict[str, Any]] = document["components"]
    return {key: one for key, one in components.items() if set(one) != {"platform"}}


def test_devices_have_the_keys_that_home_assistant_needs() -> None:
    """A key is missing, and Home Assistant shows no device."""
    recorder = Recorder()
    Discovery(settings(score_interval_s=20), recorder, "1.2.3").announce(["pump-7", "fan.2"])
    found = devices(recorder)
    assert set(found) == {"pump-7", "fan.2", "Auscult auscult/test"}
    unique = [component["unique_id"] for one in found.values() for component in shown(one).values()]
    assert len(set(unique)) == len(unique) == 32
    for topic, document in zip(recorder.kept, map(json.loads, recorder.kept.values()), strict=True):
        assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)
        assert document["device"]["identifiers"] == [topic.split("/")[2]]
        assert document["origin"]["name"] == "Auscult"
        for component in shown(document).values():
            assert {"platform", "name", "state_topic", "unique_id"} <= set(component)
    pump = found["pump-7"]["components"]
    assert pump["problem"]["device_class"] == "problem"
    assert pump["score"]["expire_after"] == 100
    assert {pump[name]["entity_category"] for name in ("microphone", "level", "state")} == {
        "diagnostic"
    }
    (daemon,) = found["Auscult auscult/test"]["device"]["identifiers"]
    assert found["pump-7"]["device"]["via_device"] == daemon


def test_the_picture_of_an_alert_is_an_image_if_it_is_published() -> None:
    """Home Assistant would show an empty image, or none."""
    recorder = Recorder()
    Discovery(settings(), recorder, "1").announce(["pump-7"])
    assert "picture" not in shown(devices(recorder)["pump-7"])
    Discovery(settings(publish_picture=True), recorder, "1").announce(["pump-7"])
    picture = devices(recorder)["pump-7"]["components"]["picture"]
    assert picture["platform"] == "image"
    assert picture["image_topic"] == "auscult/test/pump-7/picture"
    assert picture["content_type"] == "image/png"
    assert "value_template" not in picture  # the payload is the picture itself


def test_the_image_is_removed_when_no_picture_is_published_any_more() -> None:
    """Home Assistant would show an entity for ever that never gets a picture."""
    recorder = Recorder()
    for publishes in (True, False):
        Discovery(settings(publish_picture=publishes), recorder, "1").announce(["pump-7"])
    assert devices(recorder)["pump-7"]["components"]["picture"] == {"platform": "image"}


def _rendered(component: dict[str, Any], payload: dict[str, Any]) -> str:
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment()
    template = environment.from_string(component["value_template"])
    return str(template.render(value_json=payload, value=json.dumps(payload)))


@pytest.mark.parametrize("status", [*map(str, SourceStatus), MUTED])
def test_templates_understand_the_states(status: str) -> None:
    """A dashboard shows a machine with a dead microphone as healthy."""
    pytest.importorskip("jinja2.sandbox")
    recorder = Recorder()
    Discovery(settings(), recorder, "1").announce(["pump-7"])
    components = devices(recorder)["pump-7"]["components"]
    state = {"state": status}
    assert _rendered(components["problem"], state) == ("ON" if status == "anomaly" else "OFF")
    blind = status in {"no_signal", "degraded", "unavailable"}
    assert _rendered(components["microphone"], state) == ("ON" if blind else "OFF")
    judged = components["problem"]["availability"][1]
    expected = "online" if status in {"ok", "warning", "anomaly", "off", MUTED} else "offline"
    assert _rendered(judged, state) == expected
    assert status in components["state"]["options"]


def test_templates_understand_the_other_payloads() -> None:
    """Entities on the dashboard have the value "unknown"."""
    pytest.importorskip("jinja2.sandbox")
    recorder = Recorder()
    Discovery(settings(), recorder, "1").announce(["pump-7"])
    found = devices(recorder)
    pump, daemon = found["pump-7"]["components"], found["Auscult auscult/test"]["components"]
    assert _rendered(pump["score"], {"score": 41.2}) == "41.2"
    assert _rendered(pump["ratio"], {"ratio": 2.5}) == "250.0"
    both = {"threshold": 17.5, "warning_threshold": None}
    assert _rendered(pump["threshold"], both) == "17.5"
    assert _rendered(pump["warning_threshold"], both) == "None"
    assert _rendered(pump["level"], {"level_dbfs": None}) == "None"
    event = json.loads(_rendered(pump["alert"], {"kind": "raised", "score": 41.2}))
    assert event == {"kind": "raised", "score": 41.2, "event_type": "raised"}
    assert pump["alert"]["event_types"] == schema("alert")["properties"]["kind"]["enum"]
    health = {"state": "ok", "outbox": {"depth": 3, "dropped": {"updated": 2, "raised": 1}}}
    assert _rendered(daemon["outbox"], health) == "3"
    assert _rendered(daemon["dropped"], health) == "3"
    assert _rendered(daemon["delivery"], health) == "OFF"


def test_removed_machine_is_removed_from_home_assistant() -> None:
    """A removed machine stays in Home Assistant."""
    recorder = Recorder()
    discovery = Discovery(settings(), recorder, "1")
    discovery.announce(["pump-7", "fan-2"])
    discovery.announce(["pump-7"])
    assert set(devices(recorder)) == {"pump-7", "Auscult auscult/test"}
    assert list(recorder.kept.values()).count(b"") == 1


@given(st.binary(max_size=200))
def test_birth_topic_accepts_any_payload(payload: bytes) -> None:
    """A message on the birth topic stops the publisher."""
    recorder = Recorder()
    Discovery(settings(), recorder, "1")
    recorder.handlers[BIRTH](BIRTH, payload)
    assert recorder.republished == (["homeassistant/device/"] if payload == b"online" else [])


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("running", "ON"), ("idle", "ON"), ("off", "OFF"), ("transition", "OFF")],
)
def test_home_assistant_shows_what_the_machine_does(operation: str, expected: str) -> None:
    """A machine that is off is shown as running, or hours are shown in seconds."""
    pytest.importorskip("jinja2.sandbox")
    recorder = Recorder()
    Discovery(settings(), recorder, "1").announce(["pump-7"])
    pump = devices(recorder)["pump-7"]["components"]
    payload = {"operation": operation, "running_s": 5400.0, "starts": 3}
    assert _rendered(pump["running"], payload) == expected
    assert pump["running"]["device_class"] == "running"
    assert _rendered(pump["running_hours"], payload) == "1.5"
    assert pump["running_hours"]["unit_of_measurement"] == "h"
    assert _rendered(pump["starts"], payload) == "3"
    for name in ("running_hours", "starts"):
        assert pump[name]["state_class"] == "total_increasing"


def test_home_assistant_shows_warnings_beside_the_state() -> None:
    """A warning makes the machine look broken, or nobody sees it."""
    pytest.importorskip("jinja2.sandbox")
    recorder = Recorder()
    Discovery(settings(), recorder, "1").announce(["pump-7"])
    pump = devices(recorder)["pump-7"]["components"]
    details = {"level_shift": "5 dB quieter than any healthy recording"}
    warned = {"state": "ok", "warnings": ["level_shift"], "warning_details": details}
    assert _rendered(pump["warnings"], warned) == "ON"
    assert _rendered(pump["warnings"], {"state": "ok", "warnings": []}) == "OFF"
    template = {"value_template": pump["warnings"]["json_attributes_template"]}
    assert json.loads(_rendered(template, warned)) == details
    assert json.loads(_rendered(template, {"state": "ok"})) == {}
    assert _rendered(pump["problem"], warned) == "OFF"
    assert _rendered(pump["microphone"], warned) == "OFF"


def test_births_in_a_row_count_as_one() -> None:
    """Many small messages cause many large answers."""
    recorder = Recorder()
    Discovery(settings(), recorder, "1")
    for _ in range(100):
        recorder.handlers[BIRTH](BIRTH, b"online")
    assert len(recorder.republished) == 1


@given(st.text(min_size=1, max_size=64), st.text(min_size=1, max_size=64))
def test_object_ids_are_safe_and_differ(one: str, other: str) -> None:
    """Two machines have the same id and overwrite each other's device."""
    ids = {object_id(base, name) for base in ("a", "b") for name in {one, other}}
    assert len(ids) == 2 * len({one, other})
    assert all(re.fullmatch(r"[a-z0-9_]{1,64}", each) for each in ids)


def test_devices_are_announced_again_on_birth_and_removed(tmp_path: Path) -> None:
    """After a restart of Home Assistant the devices are missing, or they cannot be removed."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker, "homeassistant/#") as assistant,
        Outbox(tmp_path / "outbox.sqlite3") as outbox,
    ):
        mine = broker.settings(discovery=True)
        publisher = MqttPublisher(mine, outbox)
        discovery = Discovery(mine, publisher, "1")
        discovery.announce(["pump-7"])
        publisher.start()
        wait_for(lambda: len(assistant.messages("config")) == 2)
        for garbage in (b"", b"\xff\xfe", b"{" * 10_000, b"online" * 1000):
            assistant.publish(BIRTH, garbage)
        assistant.publish(BIRTH, b"online")
        wait_for(lambda: len(assistant.messages("config")) == 4)
        publisher.stop()
        with retained(broker) as before:
            assert len([topic for topic in before if topic.startswith("homeassistant")]) == 2
        assert len(remove_discovery(mine)) == 2
        with retained(broker) as after:
            assert [topic for topic in after if topic.startswith("homeassistant")] == []
        assert remove_discovery(mine) == []
    with pytest.raises(ServiceUnavailableError, match="refused"):
        remove_discovery(mine)


def test_removal_works_without_read_access(tmp_path: Path) -> None:
    """Without the right to read, the command removes nothing and reports success."""
    acl = "user node\ntopic write #\nuser operator\ntopic readwrite #\n"
    users = {"node": "n", "operator": "o"}
    with Mosquitto(tmp_path / "broker", acl=acl, users=users) as broker:
        mine = broker.settings(discovery=True, username="node", password="n")  # noqa: S106  # here only
        with (
            Outbox(tmp_path / "outbox.sqlite3") as outbox,
            Subscriber(broker, username="operator", password="o") as assistant,  # noqa: S106  # as above
        ):
            publisher = MqttPublisher(mine, outbox)
            Discovery(mine, publisher, "1").announce(["pump-7"])
            publisher.start()
            wait_for(lambda: len(assistant.messages("config")) == 2)
            publisher.stop()
            assert len(remove_discovery(mine, ["pump-7"])) == 2
            wait_for(lambda: len(assistant.messages("config")) == 4)
            assert assistant.payloads("config")[2:] == [b"", b""]


def test_removal_removes_only_its_own_devices(tmp_path: Path) -> None:
    """Removing one daemon's devices also removes those of others."""
    with Mosquitto(tmp_path / "broker") as broker:
        kept: list[str] = []
        for base_topic in ("auscult/one", "auscult/two"):
            recorder = Recorder()
            mine = broker.settings(base_topic=base_topic, discovery=True)
            Discovery(mine, recorder, "1").announce(["pump-7"])
            with (
                Outbox(tmp_path / f"{base_topic[-3:]}.sqlite3") as outbox,
                Subscriber(broker, client_id=base_topic) as subscriber,
            ):
                publisher = MqttPublisher(mine, outbox)
                for topic, payload in recorder.kept.items():
                    publisher.publish_retained(topic, payload)
                publisher.publish_retained("homeassistant/device/lamp/config", b'{"origin":1}')
                publisher.start()
                wait_for(lambda: subscriber.messages("lamp/config"))
                wait_for(lambda: len(subscriber.messages("config")) >= 3)
                publisher.stop()
            kept = sorted(recorder.kept)
        assert len(remove_discovery(broker.settings(base_topic="auscult/one"))) == 2
        with retained(broker) as after:
            left = sorted(topic for topic in after if topic.endswith("/config"))
        assert left == sorted([*kept, "homeassistant/device/lamp/config"])
