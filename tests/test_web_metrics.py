"""``/metrics``: by the conventions of Prometheus, and all that the dashboard shows."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from monitor.model.bundle import Bundle
from monitor.mqtt.payloads import schema
from monitor.web.figures import STATES
from monitor.web.users import Role, Users
from tests.daemons import daemon, healthy_then_faulty
from tests.waiting import wait_for
from tests.web_app import PASSWORD, Served, served
from tests.web_server import web_server

ROOT = Path(__file__).resolve().parent.parent
DASHBOARD = ROOT / "examples" / "grafana" / "auscult.json"
BASE_UNITS = ("_seconds", "_bytes")
NO_UNIT = re.compile(r"_(?:ms|milliseconds|minutes|hours|kb|mb|percent)(?:_|$)")


@pytest.fixture(scope="module")
def scraped(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The metrics of a real daemon with a machine that has an alert."""
    folder = tmp_path_factory.mktemp("metrics") / "daemon"
    with TemporaryDirectory(prefix="auscult-") as runtime, daemon(folder) as watched:
        watched.environment["RUNTIME_DIRECTORY"] = runtime
        watched.web(listen="127.0.0.1:0")
        watched.feed("pump-7", bundle.path, healthy_then_faulty(), speed=10)
        watched.start()
        watched.wait_for_log("alert raised")
        with web_server(watched.config, watched.environment) as page:
            url = page.url + "/metrics"
            wait_for(lambda: 'auscult_alerts_total{machine="pump-7"} 1.0' in httpx.get(url).text)
            answer = httpx.get(url)
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            yield answer.text


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(found: dict[str, Metric], name: str, **labels: str) -> float:
    for family in found.values():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    raise AssertionError(f"{name} has no sample")


def test_the_values_are_those_of_the_machine(scraped: str) -> None:
    """An alarm by Prometheus would not see a fault."""
    found = families(scraped)
    assert value(found, "auscult_up") == 1.0
    assert value(found, "auscult_ratio", machine="pump-7") > 1.0
    assert value(found, "auscult_alert_open", machine="pump-7") == 1.0
    assert value(found, "auscult_state", machine="pump-7") == STATES.index("anomaly")
    assert value(found, "auscult_outbox_messages") >= 1.0
    assert value(found, "auscult_broker_connected") == 0.0
    assert value(found, "auscult_monitored_seconds_total", machine="pump-7") > 15.0
    assert 0.0 < value(found, "auscult_inference_seconds_total", machine="pump-7") < 30.0
    assert value(found, "auscult_daemon_memory_bytes") > 1e7


def test_messages_of_alerts_are_not_called_alerts(scraped: str) -> None:
    """One alert would be counted as two: when it is raised, and when it is cleared."""
    for name, family in families(scraped).items():
        if re.search("outbox_(dropped_)?messages|(delivered|refused)_messages", name):
            assert "essages of alerts" in family.documentation
    for name, figure in schema("health")["properties"]["delivery"]["properties"].items():
        if name in {"acknowledged", "refused", "short"}:
            assert "essage" in figure["description"], name


def test_names_follow_the_conventions(scraped: str) -> None:
    """Rules and dashboards of others could not be used with these metrics."""
    for name, family in families(scraped).items():
        if name.startswith(("process_", "python_")):
            continue
        assert name.startswith("auscult_")
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert not NO_UNIT.search(name)
        assert family.documentation.endswith(".")
        assert family.type in {"gauge", "counter"}
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter")
            allowed = {"version"} if name == "auscult_build_info" else {"machine"}
            assert set(sample.labels) <= allowed


def test_every_state_has_a_number(scraped: str) -> None:
    """A new state would be shown as unknown."""
    assert set(schema("state")["properties"]["state"]["enum"]) <= set(STATES)
    assert scraped


def expressions(node: Any) -> Iterator[str]:
    """All queries in a dashboard."""
    if isinstance(node, dict):
        for key, item in node.items():
            if key in {"expr", "query"} and isinstance(item, str):
                yield item
            yield from expressions(item)
    elif isinstance(node, list):
        for item in node:
            yield from expressions(item)


def test_the_dashboard_uses_existing_metrics_only(scraped: str) -> None:
    """A panel would stay empty after a metric was renamed."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    existing = set(re.findall(r"^# TYPE (\S+)", scraped, re.MULTILINE))
    used = {
        name
        for expression in expressions(dashboard)
        for name in re.findall(r"\b(?:auscult|process)_[a-z0-9_]+", expression)
    }
    assert len(used) > 15
    assert used - existing == set()


def test_the_dashboard_names_every_state() -> None:
    """The panel of the states would show a wrong word."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    (panel,) = (one for one in dashboard["panels"] if one["title"] == "State")
    options = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    shown = {number: about["text"] for number, about in options.items()}
    numbers = {str(number): state for number, state in enumerate(STATES)}
    assert shown == numbers | {"-1": "another state"}
    assert len({one["id"] for one in dashboard["panels"]}) == len(dashboard["panels"])


def test_without_a_daemon_only_its_absence_is_reported(tmp_path: Path) -> None:
    """Old values would look like new ones."""
    with served(tmp_path) as running:
        running.daemon.machines.clear()
        running.context.daemon._config = tmp_path / "another.toml"
        text = running.get("/metrics").text
    found = families(text)
    assert value(found, "auscult_up") == 0.0
    assert not any(sample.labels for one in found.values() for sample in one.samples)


@pytest.fixture
def protected(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, users={"prometheus": Role.VIEWER}) as running:
        yield running


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_prometheus_may_send_its_password_with_each_request(
    protected: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics could be read without a password, or not at all."""
    asked = protected.get("/metrics")
    assert (asked.status_code, asked.headers["www-authenticate"][:5]) == (401, "Basic")
    right = basic(f"prometheus:{PASSWORD}")
    assert protected.get("/metrics", headers=right).status_code == 200
    # Each scrape would otherwise take 19 MiB and some 20 ms.
    monkeypatch.setattr(Users, "check", lambda *_: None)
    assert protected.get("/metrics", headers=right).status_code == 200
    for wrong in ("prometheus:wrong", "nobody:x", "prometheus"):
        assert protected.get("/metrics", headers=basic(wrong)).status_code == 401
    with protected.client() as client:
        request = client.build_request(
            "GET", "/metrics", headers=[(b"Authorization", b"Basic \xff")]
        )
        assert client.send(request).status_code == 401


def test_a_password_in_a_request_opens_nothing_else(protected: Served) -> None:
    """A page of another site could use a password that a browser has stored for it."""
    right = basic(f"prometheus:{PASSWORD}")
    assert protected.get("/api/overview", headers=right).status_code == 401


def test_tries_by_this_way_are_limited_too(protected: Served) -> None:
    """Passwords could be found by trying at the address of the metrics."""
    codes = [
        protected.get("/metrics", headers=basic(f"prometheus:guess {n}")).status_code
        for n in range(12)
    ]
    assert codes[:10] == [401] * 10
    assert codes[10:] == [429] * 2
