"""Payloads, schemas and documentation agree."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from monitor.alerts import Alert, EvidenceLink
from monitor.domain import SourceStatus
from monitor.mqtt.payloads import (
    SCHEMAS,
    alert_payload,
    encode,
    health_payload,
    info_payload,
    schema,
    short_alert_payloads,
)
from monitor.mqtt.publisher import MqttPublisher
from monitor.mqtt.topics import Topics
from monitor.outbox.queue import Outbox
from monitor.service.muting import MUTED
from monitor.uuid7 import uuid7
from tests.alert_drafts import draft, identified
from tests.mosquitto import Mosquitto, Subscriber
from tests.payload_check import MOST_PICTURE_BYTES, check_message, check_payload
from tests.waiting import wait_for

DOCS = Path(__file__).parent.parent / "docs"
_DOCUMENTED = dict(
    re.findall(r"<!-- schema: (\w+) -->\n```json\n(.*?)```", (DOCS / "mqtt.md").read_text(), re.S)
)

_FINDING = json.loads(_DOCUMENTED["alert"])["findings"][0]

levels = st.floats(min_value=0, max_value=1e12, allow_nan=False)
stamps = st.datetimes().map(lambda t: t.isoformat(timespec="milliseconds") + "Z")
ids = st.builds(lambda: str(uuid7()))
alerts = st.builds(
    Alert,
    event_id=ids,
    alert_id=ids,
    kind=st.sampled_from(["raised", "updated", "cleared"]),
    machine=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True),
    at=stamps,
    started_at=stamps,
    score=levels,
    peak_score=levels,
    threshold=levels.filter(bool),
    loss=levels,
    false_alarms_per_week=levels.filter(bool),
    bands_hz=st.lists(st.tuples(levels, levels), max_size=4).map(tuple),
    bundle_sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    channel=st.sampled_from(["", "distance", "envelope", "lines", "recurring_lines"]),
    findings=st.sampled_from([(), (_FINDING,), (_FINDING | {"rate_hz": None, "fits": []},) * 3]),
    sequence=st.integers(1, 2**53),
    replayed=st.booleans(),
    reason=st.sampled_from(["", "stopped", "off"]),
    provisional=st.booleans(),
    span_s=st.sampled_from([0.0, 2.048]) | st.floats(0, 3600),
    evidence=st.none()
    | st.builds(
        EvidenceLink.to,
        ids,
        st.integers(0, 100),
        st.sampled_from(["", "https://node.example", "http://10.0.0.2:8737/a"]),
    ),
)


@given(alerts)
def test_every_alert_fits_its_schema(alert: Alert) -> None:
    """Subscribers that validate messages discard an alert."""
    payload = json.loads(encode(alert_payload(alert)))
    check_payload("alert", payload)
    optional = {"bands_hz", "reason", "provisional", "span_s", "evidence", "ratio"}
    optional |= {"channel", "findings"}
    expected = [key for key in schema("alert")["properties"] if key not in optional]
    assert [key for key in payload if key not in optional] == expected
    assert ("bands_hz" in payload) == (alert.kind != "cleared")
    assert payload.get("reason", "") == alert.reason
    assert payload.get("provisional", False) == alert.provisional
    assert payload.get("span_s", 0.0) == alert.span_s
    link = asdict(alert.evidence) if alert.evidence is not None else {}
    assert payload.get("evidence", {}) == {key: text for key, text in link.items() if text}
    assert payload["severity"] == "alarm"
    if "ratio" in payload:
        assert payload["ratio"] == pytest.approx(alert.score / alert.threshold)


def test_the_ratio_of_an_alert_is_published() -> None:
    """Subscribers cannot compare machines with different thresholds."""
    assert alert_payload(identified())["ratio"] == pytest.approx(41.2 / 17.5)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 5e-324])
def test_an_alert_without_a_usable_threshold_is_published(threshold: float) -> None:
    """A damaged row of the outbox stops the delivery of all alerts."""
    encode(alert_payload(replace(identified(), threshold=threshold)))


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_valid_and_explain_every_field(name: str) -> None:
    """A field has no description."""
    document = schema(name)
    Draft202012Validator.check_schema(document)
    assert document["description"].startswith("BASE/")
    for key, field in document.get("properties", {}).items():
        assert {"description", "enum", "items"} & set(field), f"{name}.{key} has no description"


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "over"}, {"sequence": 0}, {"event_id": "1"}, {"at": "today"}, {"score": None}],
)
def test_schema_refuses_what_is_not_an_alert(wrong: dict[str, Any]) -> None:
    """A wrong alert passes the check against the schema."""
    good = json.loads(_DOCUMENTED["alert"])
    with pytest.raises(AssertionError):
        check_payload("alert", good | wrong)
    with pytest.raises(AssertionError):
        check_payload("alert", good | {"kind": "cleared"})  # has bands_hz
    for key in good.keys() - {
        "ratio",
        "severity",
        "span_s",
        "channel",
        "evidence",
        "findings",
    }:  # an added field is not required
        with pytest.raises(AssertionError):
            check_payload("alert", {name: value for name, value in good.items() if name != key})


def test_state_schema_has_every_state() -> None:
    """The daemon publishes a state that the schema does not contain."""
    known = [one.value for one in SourceStatus]
    assert set(schema("state")["properties"]["state"]["enum"]) == {*known, MUTED}


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name != "status"])
def test_documented_example_fits_its_schema(name: str) -> None:
    """A documented example is not a valid message."""
    example = json.loads(_DOCUMENTED[name])
    check_payload(name, example)
    optional = {"reason", "provisional"} if name == "alert" else set()
    assert set(example) == set(schema(name)["properties"]) - optional


def test_the_documented_short_alert_is_one_that_is_published() -> None:
    """A subscriber cannot read the short form that a limited broker receives."""
    text = (DOCS / "mqtt.md").read_text().split("<!-- schema: short alert -->")[1]
    short = json.loads(text.split("```")[1].removeprefix("json"))
    check_payload("alert", short)
    for key in short:
        if key not in {"machine", "score"}:
            with pytest.raises(AssertionError):
                check_payload("alert", {name: short[name] for name in short if name != key})
    with pytest.raises(AssertionError):
        check_payload("alert", short | {"short": False})


@given(alerts)
def test_every_short_form_fits_the_schema(alert: Alert) -> None:
    """Subscribers that validate messages discard a short alert."""
    for payload in short_alert_payloads(alert):
        check_payload("alert", json.loads(encode(payload)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_have_are_not_published(value: float) -> None:
    """NaN is published, and subscribers cannot read the message."""
    with pytest.raises(ValueError, match="JSON"):
        encode({"score": value})


def test_asyncapi_names_the_topics_and_schemas_that_exist() -> None:
    """Code generated from the AsyncAPI document uses wrong topics."""
    yaml = pytest.importorskip("yaml")
    document = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
    topics = Topics("{base}")
    expected = {
        "status": topics.status,
        "info": topics.info,
        "health": topics.health,
        "state": topics.state("{machine}"),
        "operation": topics.operation("{machine}"),
        "score": topics.score("{machine}"),
        "alert": topics.alert("{machine}"),
        "picture": topics.picture("{machine}"),
    }
    channels = document["channels"]
    assert {name: channel["address"] for name, channel in channels.items()} == expected
    assert set(channels) == {*SCHEMAS, "picture"}
    table = (DOCS / "mqtt.md").read_text()
    for name, channel in channels.items():
        (message,) = channel["messages"].values()
        if name == "picture":
            assert message["payload"]["maxLength"] == MOST_PICTURE_BYTES
        else:
            assert (DOCS / message["payload"]["$ref"]).resolve().name == f"{name}.json"
            assert (DOCS / message["payload"]["$ref"]).exists()
        binding = document["operations"][f"send{name.capitalize()}"]["bindings"]["mqtt"]
        address = channel["address"].replace("{base}", "BASE").replace("{machine}", "<machine>")
        (row,) = [line for line in table.splitlines() if line.startswith(f"| `{address}` |")]
        assert row.endswith(f"| {binding['qos']} | {'yes' if binding['retain'] else 'no'} |")


def test_published_messages_fit_their_schemas(tmp_path: Path) -> None:
    """The daemon publishes something that its schema does not describe."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker) as subscriber,
        Outbox(tmp_path / "outbox.sqlite3") as outbox,
    ):
        publisher = MqttPublisher(broker.settings(), outbox)
        machines = [{"id": "pump-7", "bundle_sha256": "ab" * 32}]
        publisher.publish_info(
            info_payload(version="1", started_at="2026-11-23T10:15:30.250Z", machines=machines)
        )
        for name in ("state", "operation", "score"):
            publisher.publish_retained(
                f"auscult/test/pump-7/{name}", encode(json.loads(_DOCUMENTED[name]))
            )
        publisher.start()
        for kind in ("raised", "updated", "cleared"):
            outbox.append(draft(kind))
        publisher.wake()
        wait_for(lambda: outbox.depth() == 0)
        publisher.stop()
        wait_for(lambda: len(subscriber.messages("alert")) == 3)
        names = {message.topic.rpartition("/")[2] for message in subscriber.messages()}
        assert names == set(SCHEMAS)
        for message in subscriber.messages():
            check_message(message.topic, message.payload)
            if message.topic.endswith("health"):
                published = json.loads(message.payload)
                for part in ("outbox", "delivery"):
                    known = schema("health")["properties"][part]["properties"]
                    assert set(published[part]) == set(known)


def test_health_is_degraded_by_disk_or_broker() -> None:
    """The health is ok although the disk or the broker refuses alerts."""
    outbox, delivery = {"state": "ok"}, {"refusal": ""}
    assert health_payload(outbox, delivery)["state"] == "ok"
    assert health_payload({"state": "memory"}, delivery)["state"] == "degraded"
    assert health_payload(outbox, {"refusal": "x: Not authorized"})["state"] == "degraded"
