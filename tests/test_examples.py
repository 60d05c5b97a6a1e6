"""The examples for subscribers, Node-RED, Telegraf and Home Assistant."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.alerts import AlertKind
from monitor.mqtt.home_assistant import Discovery
from monitor.mqtt.payloads import alert_payload, encode, schema, short_alert_payloads
from monitor.mqtt.publisher import MqttPublisher
from monitor.mqtt.settings import MqttSettings
from monitor.outbox.queue import Outbox
from monitor.outbox.series import AlertSeries
from tests.alert_drafts import draft, identified
from tests.home_assistant import Recorder, devices
from tests.mosquitto import Mosquitto, Subscriber, free_port
from tests.waiting import wait_for

EXAMPLES = Path(__file__).parent.parent / "examples"
TELEGRAF = EXAMPLES / "telegraf" / "telegraf.conf"


def test_python_subscriber_prints_each_alert_once(tmp_path: Path) -> None:
    """A user who copies it would get every alert twice, or not at all."""
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Outbox(tmp_path / "outbox.sqlite3") as outbox,
        Subscriber(broker) as bystander,
    ):
        command = [sys.executable, str(EXAMPLES / "python" / "subscriber.py")]
        command += ["--host", "127.0.0.1", "--port", str(broker.port), "--base", "auscult/test"]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            wait_for(lambda: "auscult-example-subscriber" in broker.log.read_text())
            publisher = MqttPublisher(broker.settings(), outbox)
            publisher.start()
            raised = outbox.append(draft("raised"))
            publisher.wake()
            wait_for(lambda: outbox.depth() == 0)
            short = list(short_alert_payloads(identified()))
            for number, payload in enumerate(short):
                message = encode(payload | {"event_id": f"short-{number}"})
                bystander.publish("auscult/test/pump-7/alert", message)
            bystander.publish("auscult/test/pump-7/alert", encode(alert_payload(raised)))
            outbox.append(draft("cleared"))
            publisher.wake()
            wait_for(lambda: outbox.depth() == 0)
            assert program.stdout is not None
            lines = [program.stdout.readline() for _ in range(len(short) + 2)]
            publisher.stop()
        finally:
            program.send_signal(signal.SIGKILL)
            program.communicate()
        assert all("pump-7 raised" in line for line in lines[:-1])
        assert "pump-7 cleared" in lines[-1]
        assert lines[-2].endswith("pump-7 raised\n")  # the shortest form
        assert "1800-2100 Hz, 3950-4300 Hz" in lines[0]


def _function_node() -> str:
    flow = json.loads((EXAMPLES / "node-red" / "flow.json").read_text())
    (node,) = [node for node in flow if node["type"] == "function"]
    return str(node["func"])


def test_node_red_flow_is_wired() -> None:
    """The flow could not be imported, or a wire would have no end."""
    flow = json.loads((EXAMPLES / "node-red" / "flow.json").read_text())
    ids = {node["id"] for node in flow}
    wired = {target for node in flow for wires in node.get("wires", []) for target in wires}
    assert len(ids) == len(flow)
    assert wired <= ids
    assert _function_node() == (EXAMPLES / "node-red" / "once_per_event.js").read_text()
    (source,) = [node for node in flow if node["type"] == "mqtt in"]
    assert (source["topic"], source["qos"]) == ("auscult/+/+/alert", "1")
    (switch,) = [node for node in flow if node["type"] == "switch"]
    kinds = schema("alert")["properties"]["kind"]["enum"]
    assert [rule["v"] for rule in switch["rules"]] == kinds


def test_node_red_function_passes_each_event_once() -> None:
    """The function of the flow would pass an alert twice, or remember without limit."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    alert = alert_payload(identified(event_id="e1"))
    other = alert_payload(identified("cleared", "e2"))
    *_, short = short_alert_payloads(identified(event_id="e3"))
    program = f"""
        const store = {{}};
        const context = {{ get: (k) => store[k], set: (k, v) => {{ store[k] = v; }} }};
        const once = new Function("msg", "context", {json.dumps(_function_node())});
        const alerts = {json.dumps([alert, alert, other, short])};
        const topic = "auscult/test/pump-7/alert";
        const given = alerts.map((payload) => once({{ payload, topic }}, context));
        for (let i = 0; i < 3000; i++) {{
            once({{ payload: {{ ...alerts[0], event_id: "x" + i }} }}, context);
        }}
        console.log(JSON.stringify([given, store.seen.length]));
    """
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    (first, again, second, third), kept = json.loads(done.stdout)
    assert first["text"] == "pump-7: raised, score 41.2 of 17.5, 1800-2100 Hz, 3950-4300 Hz"
    assert again is None
    assert second["payload"]["kind"] == "cleared"
    assert third["text"] == "pump-7: raised"
    assert kept == 1000


def test_node_red_runs_the_flow(tmp_path: Path) -> None:
    """Node-RED would not run the flow."""
    node_red = shutil.which("node-red")
    if node_red is None:
        pytest.skip("node-red is not installed")
    with Mosquitto(tmp_path / "broker") as broker, Subscriber(broker) as bystander:
        flow = (EXAMPLES / "node-red" / "flow.json").read_text()
        flow = flow.replace('"port": "1883"', f'"port": "{broker.port}"')
        folder = tmp_path / "user"
        folder.mkdir()
        (folder / "flow.json").write_text(flow)
        output = tmp_path / "output"
        with output.open("wb") as file:
            program = subprocess.Popen(
                [node_red, "-u", folder, "-p", str(free_port()), "flow.json"],
                stdout=file,
                stderr=file,
            )
        try:
            wait_for(lambda: "Connected to broker" in output.read_text(), 60)
            sent: list[tuple[AlertKind, str]]
            sent = [("raised", "e1"), ("raised", "e1"), ("cleared", "e2")]
            for kind, event_id in sent:
                alert = identified(kind, event_id)
                bystander.publish("auscult/test/pump-7/alert", encode(alert_payload(alert)))
            wait_for(lambda: "[debug:cleared] pump-7: cleared" in output.read_text())
        finally:
            program.terminate()
            program.wait(10)
        assert output.read_text().count("[debug:raised] pump-7: raised") == 1


def _field_paths(consumer: dict[str, Any]) -> list[str]:
    (parser,) = consumer["json_v2"]
    paths = [field["path"] for field in parser["field"] + parser.get("tag", [])]
    return [*paths, *([parser["timestamp_path"]] if "timestamp_path" in parser else [])]


def test_telegraf_reads_fields_that_exist() -> None:
    """Telegraf would discard messages, because a path in its configuration does not exist."""
    consumers = tomllib.loads(TELEGRAF.read_text())["inputs"]["mqtt_consumer"]
    names = set()
    for consumer in consumers:
        name = consumer["topics"][0].rpartition("/")[2]
        names.add(name)
        document = schema(name)
        for path in _field_paths(consumer):
            fields = document["properties"]
            *parents, leaf = path.split(".")
            for parent in parents:
                fields = fields[parent]["properties"]
            assert leaf in fields, f"{name} has no {path}"
        assert consumer["topic_parsing"][0]["topic"] == consumer["topics"][0]
        if name == "alert":
            *_, shortest = short_alert_payloads(identified())
            (parser,) = consumer["json_v2"]
            required = {field["path"] for field in parser["field"] if not field.get("optional")}
            assert required <= set(shortest)
    assert names == {"score", "alert", "state", "health"}


def test_telegraf_receives_alerts_and_scores(tmp_path: Path) -> None:
    """Telegraf would not accept the configuration."""
    telegraf = shutil.which("telegraf")
    if telegraf is None:
        pytest.skip("telegraf is not installed")
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Outbox(tmp_path / "outbox.sqlite3") as outbox,
    ):
        environment = os.environ | {"MQTT_SERVER": f"tcp://127.0.0.1:{broker.port}"}
        output = tmp_path / "lines"
        with output.open("wb") as file:
            program = subprocess.Popen(
                [telegraf, "--config", TELEGRAF], stdout=file, stderr=file, env=environment
            )
        try:
            wait_for(lambda: "telegraf-auscult-alerts" in broker.log.read_text(), 30)
            publisher = MqttPublisher(broker.settings(), outbox)
            publisher.start()
            wait_for(lambda: publisher.connection_error() is None)
            outbox.append(draft())
            publisher.wake()
            at = "2026-11-23T10:15:30.250Z"
            numbers = {"score": 1.5, "threshold": 17.5, "loss": 0.5, "level_dbfs": None}
            publisher.publish_score("pump-7", {"at": at, **numbers})
            wait_for(lambda: b"auscult_alert,host=test,kind=raised" in output.read_bytes(), 30)
            wait_for(lambda: b"auscult_score,host=test,machine=pump-7" in output.read_bytes(), 30)
            wait_for(lambda: b"auscult_health,host=test" in output.read_bytes(), 30)
            publisher.stop()
        finally:
            program.terminate()
            program.wait(10)


_SCORE = "Score 41.2 (threshold 17.5),"


@pytest.mark.parametrize(
    ("kind", "reason", "expected"),
    [
        ("raised", "", f"{_SCORE} mostly at 1800-2100, 3950-4300 Hz,"),
        ("cleared", "", _SCORE),
        ("cleared", "stopped", f"{_SCORE} because the machine was switched off,"),
        ("raised", "off", "The machine is off"),
        ("cleared", "off", "The machine runs again. It was off"),
    ],
)
def test_home_assistant_message_is_right_for_every_kind(
    kind: AlertKind, reason: str, expected: str
) -> None:
    """An automation would send no message, because a field is missing."""
    yaml = pytest.importorskip("yaml")
    sandbox = pytest.importorskip("jinja2.sandbox")
    environment = sandbox.ImmutableSandboxedEnvironment()
    environment.globals["as_timestamp"] = str
    environment.filters["timestamp_custom"] = lambda at, _format: at[11:19]
    sound, *_ = yaml.safe_load((EXAMPLES / "home-assistant" / "automation.yaml").read_text())
    alert = replace(identified(kind), reason=reason)
    attributes = alert_payload(alert) | {"event_type": kind}
    if kind == "raised":
        attributes["bands_hz"] = [[1800, 2100], [3950, 4300]]
    template = environment.from_string(sound["actions"][0]["data"]["message"])
    message = template.render(trigger={"to_state": {"attributes": attributes}})
    assert message == f"{expected} since 10:15:24."


@pytest.mark.parametrize(
    ("kind", "had_findings", "has_findings", "is_sent"),
    [
        ("raised", False, False, True),
        ("updated", False, False, False),
        ("updated", False, True, True),
        ("updated", True, True, False),
        ("cleared", True, True, True),
    ],
)
def test_home_assistant_sends_what_was_found_once(
    kind: AlertKind, had_findings: bool, has_findings: bool, is_sent: bool
) -> None:
    """A phone would never say what is wrong, or say it every five minutes."""
    yaml = pytest.importorskip("yaml")
    environment = pytest.importorskip("jinja2.sandbox").ImmutableSandboxedEnvironment()
    environment.globals["as_timestamp"] = str
    environment.filters["timestamp_custom"] = lambda at, _format: at[11:19]
    sound, *_ = yaml.safe_load((EXAMPLES / "home-assistant" / "automation.yaml").read_text())
    found = ({"text": "86.0 impacts per second"},)
    before, after = (
        alert_payload(replace(identified(kind), findings=found if has else ()))
        for has in (had_findings, has_findings)
    )
    trigger = {
        "from_state": {"attributes": before} if kind != "raised" else None,
        "to_state": {"attributes": after | {"event_type": kind}},
    }
    condition = environment.from_string(sound["conditions"][0]["value_template"])
    assert (condition.render(trigger=trigger) == "True") is is_sent
    message = environment.from_string(sound["actions"][0]["data"]["message"])
    ending = " Found: 86.0 impacts per second."
    assert message.render(trigger=trigger).endswith(ending) is has_findings


@pytest.mark.parametrize("kind", ["raised", "cleared"])
def test_home_assistant_sends_a_message_for_every_short_form(kind: AlertKind) -> None:
    """A broker with a small limit would silence the phone."""
    yaml = pytest.importorskip("yaml")
    sandbox = pytest.importorskip("jinja2.sandbox")
    environment = sandbox.ImmutableSandboxedEnvironment()
    environment.globals["as_timestamp"] = str
    environment.filters["timestamp_custom"] = lambda at, _format: at[11:19]
    sound, picture, _ = yaml.safe_load((EXAMPLES / "home-assistant/automation.yaml").read_text())
    for alert in short_alert_payloads(identified(kind)):
        attributes = alert | {"event_type": kind}
        trigger = {"to_state": {"attributes": attributes, "name": "pump-7 Alert"}}
        environment.globals["state_attr"] = lambda _entity, name, found=attributes: found.get(name)
        for automation in (sound, picture):
            data = automation["actions"][0]["data"]
            texts = [data["title"], data["message"], data["data"]["url"]]
            title, message, url = (
                environment.from_string(text).render(trigger=trigger) for text in texts
            )
            assert title.startswith("pump-7")
            assert title.endswith(f": {kind}")
            assert message.endswith(".")
            assert "mostly at  Hz" not in message
            assert url == "/lovelace"
    ended = "The machine sounds wrong." if kind == "raised" else "The alert has ended."
    template = environment.from_string(sound["actions"][0]["data"]["message"])
    assert template.render(trigger=trigger) == ended
    attributes["bands_hz"] = []
    attributes["evidence"] = {"url": None}
    assert template.render(trigger=trigger) == ended
    url = environment.from_string(sound["actions"][0]["data"]["data"]["url"])
    assert url.render(trigger=trigger) == "/lovelace"


@pytest.mark.parametrize("web_url", ["", "https://node.example"])
def test_messages_of_one_alert_replace_each_other_on_a_phone(web_url: str) -> None:
    """A phone would show three messages for one alert, or the picture would miss its alert."""
    yaml = pytest.importorskip("yaml")
    sandbox = pytest.importorskip("jinja2.sandbox")
    environment = sandbox.ImmutableSandboxedEnvironment()
    number = replace(draft(), evidence_number=0, web_url=web_url)
    attributes = alert_payload(AlertSeries(0).identify(number)) | {"event_type": "raised"}
    environment.globals["state_attr"] = lambda _entity, name: attributes.get(name)
    alert, picture, _ = yaml.safe_load((EXAMPLES / "home-assistant/automation.yaml").read_text())
    (condition,) = picture["conditions"]
    shown = environment.from_string(condition["value_template"])
    assert shown.render() == "True"
    for automation in (alert, picture):
        data = automation["actions"][0]["data"]["data"]
        rendered = {
            key: environment.from_string(text).render(
                trigger={"to_state": {"attributes": attributes}}
            )
            for key, text in data.items()
            if isinstance(text, str)
        }
        assert rendered["tag"] == attributes["alert_id"]
        page = f"{web_url}/alert/{attributes['alert_id']}" if web_url else "/lovelace"
        assert rendered["url"] == rendered["clickAction"] == page
    assert data["image"] == "/api/image_proxy/image.pump_7_alert_picture"
    attributes["event_type"] = "cleared"  # before the picture came
    assert shown.render() == "True"
    title = environment.from_string(picture["actions"][0]["data"]["title"])
    assert title.render() == "pump-7: cleared"


@pytest.mark.parametrize("name", ["automation.yaml", "dashboard.yaml"])
def test_home_assistant_examples_name_entities_that_are_announced(name: str) -> None:
    """An automation for an entity that does not exist would never run."""
    yaml = pytest.importorskip("yaml")
    text = (EXAMPLES / "home-assistant" / name).read_text()
    assert yaml.safe_load(text)
    recorder = Recorder()
    settings = MqttSettings(base_topic="auscult/test", discovery=True, publish_picture=True)
    Discovery(settings, recorder, "1").announce(["pump-7"])
    announced = set()
    for component in devices(recorder)["pump-7"]["components"].values():
        slug = re.sub(r"[^a-z0-9]+", "_", component["name"].lower())
        announced.add(f"{component['platform']}.pump_7_{slug}")
    used = set(re.findall(r"\b(?:binary_sensor|sensor|event|image)\.pump_7_\w+", text))
    assert used
    assert used <= announced
    attributes = set(re.findall(r"(?:attributes|\ba)\.(\w+)", text))
    attributes |= set(re.findall(r"state_attr\('event.pump_7_alert', '(\w+)'\)", text))
    assert attributes <= set(schema("alert")["properties"]) | {"event_type"}
