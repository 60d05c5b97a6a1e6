"""Machines of other nodes on the page, from what they publish."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.config.web import WebSettings
from monitor.model.bundle import Bundle
from monitor.mqtt.settings import MqttSettings
from monitor.text.escaping import json_text
from monitor.web.follower import Follower
from monitor.web.others import Others
from tests.bundles import machine_sound
from tests.clocks import FakeClock
from tests.daemons import Daemon, daemon, healthy_then_faulty
from tests.mosquitto import Mosquitto
from tests.old_broker import OldBroker
from tests.waiting import wait_for
from tests.web_app import served
from tests.web_server import web_server

STATE = {"state": "ok", "reason": "", "detail": "", "warnings": [], "since": "2026-11-23T09:02:11Z"}


@pytest.fixture
def others() -> Others:
    found = Others("auscult/own")
    found.receive("auscult/hall-2/status", b"online")
    return found


def publish(others: Others, kind: str, document: Any, machine: str = "pump-7") -> None:
    others.receive(f"auscult/hall-2/{machine}/{kind}", json.dumps(document).encode())


def test_a_machine_of_another_node_is_shown_with_its_score(others: Others) -> None:
    """A hall with ten nodes would need ten pages."""
    publish(others, "state", STATE)
    publish(others, "score", {"score": 8.4, "ratio": 0.48, "threshold": 17.5, "level_dbfs": -31.4})
    publish(others, "operation", {"operation": "running"})
    (shown,) = others.machines()
    assert (shown["id"], shown["node"], shown["state"]) == ("pump-7", "hall-2", "ok")
    assert (shown["ratio"], shown["operation"]) == (0.48, "running")
    assert shown["read_only"] is True


def test_own_machines_are_not_shown_twice(others: Others) -> None:
    """Each machine of this node would appear again, without its buttons."""
    others.receive("auscult/own/pump-7/state", json.dumps(STATE).encode())
    assert others.machines() == []


@pytest.mark.parametrize("status", ["offline", "stopped"])
def test_a_node_that_is_gone_shows_no_healthy_machines(others: Others, status: str) -> None:
    """A retained state of yesterday would look like a machine that is monitored."""
    publish(others, "state", STATE)
    others.receive("auscult/hall-2/status", status.encode())
    (shown,) = others.machines()
    assert (shown["state"], shown["ratio"]) == ("unknown", None)
    assert shown["reason"] == f"node_{status}"
    assert shown["last_seen"]


def test_a_retained_state_without_a_status_is_not_believed() -> None:
    """The broker keeps states of nodes that were thrown away."""
    others = Others()
    publish(others, "state", STATE)
    (shown,) = others.machines()
    assert shown["state"] == "unknown"


def test_what_is_not_repeated_becomes_stale() -> None:
    """A node that hangs would look healthy for ever."""
    clock = FakeClock()
    others = Others(clock=clock)
    others.receive("auscult/hall-2/status", b"online")
    publish(others, "state", STATE)
    publish(others, "score", {"ratio": 0.4})
    clock.now_s += Others.OLD_SCORE_S + 1
    (shown,) = others.machines()
    assert (shown["state"], shown["ratio"]) == ("ok", None)
    clock.now_s += Others.STALE_S
    (shown,) = others.machines()
    assert shown["state"] == "unknown"


def test_a_machine_that_is_removed_disappears(others: Others) -> None:
    """Machines of an old configuration would stay on the page."""
    publish(others, "state", STATE)
    others.receive("auscult/hall-2/pump-7/state", b"")
    assert others.machines() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)
KEYS = st.sampled_from(
    [*STATE, "warning_details", "muted_until", "muted_alerts", "score", "ratio", "operation"]
)


@given(
    st.sampled_from(["state", "score", "operation", "status", "alert", "picture"]),
    st.dictionaries(KEYS, JSON) | JSON,
)
def test_any_payload_gives_a_document_that_a_browser_can_show(kind: str, payload: Any) -> None:
    """One node with another version, or an attacker on the broker, would stop the page."""
    others = Others()
    others.receive("auscult/hall-2/status", b"online")
    others.receive(f"auscult/hall-2/pump-7/{kind}", json.dumps(payload).encode())
    for shown in others.machines():
        json_text(shown)
        texts = [shown["state"], shown["detail"], *(one["name"] for one in shown["warnings"])]
        assert all(text.isprintable() and len(text) <= 300 for text in texts)


@given(st.text(max_size=30), st.binary(max_size=200))
def test_any_topic_is_accepted(topic: str, payload: bytes) -> None:
    """Other devices publish on the same broker."""
    others = Others()
    others.receive(topic, payload)
    others.receive(f"a/{topic}/state", payload)
    others.machines()


def test_the_number_of_machines_is_limited(others: Others, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attacker on the broker could fill the memory."""
    monkeypatch.setattr(Others, "MOST_MACHINES", 3)
    for number in range(10):
        publish(others, "state", STATE, f"m{number}")
    assert len(others.machines()) == 3
    assert others.banners() == ["Only 3 machines of other nodes are shown."]


def test_the_number_of_nodes_is_limited_and_reported_once(
    others: Others, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Healthy machines are shown as silent, without a reason."""
    monkeypatch.setattr(Others, "MOST_NODES", 3)
    for number in range(10):
        others.receive(f"auscult/n{number}/status", b"online")
        others.receive(f"auscult/n{number}/pump/state", json.dumps(STATE).encode())
    assert [one["state"] for one in others.machines()].count("ok") == 2
    (banner,) = others.banners()
    assert "only 3 nodes" in banner
    assert caplog.text.count(banner) == 1
    others.receive("auscult/n0/status", b"offline")  # one that is known is still read
    assert [one["reason"] for one in others.machines()].count("node_offline") == 1


@pytest.mark.parametrize("value", ["", "a/#/b", "a#", "+b/c", "$SYS/#", "a\n", "x" * 300])
def test_a_wrong_filter_is_refused(value: str) -> None:
    """The page would follow nothing, without a word."""
    with pytest.raises(ValidationError, match="MQTT topic filter"):
        WebSettings(follow=(value,))
    WebSettings(follow=("auscult/#", "+/hall/+/state"))


def test_machines_of_all_nodes_are_in_one_order(tmp_path: Path) -> None:
    """The faulty machine of another node would be below fifty healthy ones."""
    with served(tmp_path) as running:
        others = running.context.others
        others.receive("auscult/hall-2/status", b"online")
        publish(others, "state", STATE | {"state": "anomaly", "alert_id": "x"}, "fan-2")
        machines = running.get("/api/overview").json()["machines"]
        assert [(one["node"], one["id"]) for one in machines] == [
            ("hall-2", "fan-2"),
            ("", "pump-7"),
        ]
        page = running.get("/", headers={"Accept": "text/html"})
        assert "fan-2" in page.text


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as one:
        yield one


def test_a_refused_subscription_is_a_trouble() -> None:
    """The page would show no other nodes, without a word."""
    others = Others()
    with OldBroker(refuses_subscriptions=True) as old:
        settings = MqttSettings(host="127.0.0.1", port=old.port, reconnect_min_s=0.05)
        follower = Follower(settings, ["auscult/#"], others)
        follower.start()
        wait_for(lambda: "does not allow to read auscult/#" in others.trouble, 10)
        follower.close()


@pytest.mark.slow
def test_the_page_of_one_node_follows_another_one(
    broker: Mosquitto, bundle: Bundle, tmp_path: Path
) -> None:
    """The page would not receive what a real node publishes, or disconnect its daemon."""

    def node(name: str, sound: Any) -> Daemon:
        one = stack.enter_context(daemon(tmp_path / name, broker))
        runtime = tmp_path / f"run-{name}"
        runtime.mkdir()
        one.environment["RUNTIME_DIRECTORY"] = str(runtime)
        one.mqtt(base_topic=f"auscult/{name}")
        one.web(listen="127.0.0.1:0", follow=["auscult/#"])
        one.feed("pump-7", bundle.path, sound, speed=10)
        one.start()
        return one

    with ExitStack() as stack:
        here = node("hall-1", machine_sound(20))
        there = node("hall-2", healthy_then_faulty())
        page = stack.enter_context(web_server(here.config, here.environment))

        def states() -> dict[str, str]:
            machines = httpx.get(page.url + "/api/overview", timeout=20).json()["machines"]
            return {one["node"]: one["state"] for one in machines}

        wait_for(lambda: states() == {"": "ok", "hall-2": "anomaly"}, 40, "both nodes")
        there.end()
        wait_for(lambda: states() == {"": "ok", "hall-2": "unknown"}, 20, "the other node gone")
        assert not here.has_logged("another client")
