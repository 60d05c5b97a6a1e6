"""The web page beside the real daemon."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import pytest

from monitor.model.bundle import Bundle
from monitor.web.routes import routes
from monitor.web.users import Role, set_password
from tests.bundles import machine_sound, make_bundle
from tests.daemons import Daemon, daemon, healthy_then_faulty
from tests.waiting import wait_for
from tests.web_server import WebServer, web_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(Path(tmp_path_factory.mktemp("bundle")))


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Daemon]:
    with TemporaryDirectory(prefix="auscult-") as runtime, daemon(tmp_path / "daemon") as one:
        one.environment["RUNTIME_DIRECTORY"] = runtime
        one.web(listen="127.0.0.1:0")
        yield one


def overview(page: WebServer) -> dict[str, Any]:
    document: dict[str, Any] = httpx.get(page.url + "/api/overview", timeout=20).json()
    return document


def test_the_overview_shows_the_machines_of_the_daemon_the_worst_first(
    watched: Daemon, bundle: Bundle
) -> None:
    """A machine with a fault would be below fifty healthy ones, or not be shown."""
    watched.feed("a-healthy", bundle.path, machine_sound(20), speed=10)
    watched.feed("b-faulty", bundle.path, healthy_then_faulty(), speed=10)
    watched.start()
    with web_server(watched.config, watched.environment) as page:
        wait_for(lambda: [one["state"] for one in overview(page)["machines"]] == ["anomaly", "ok"])
        document = overview(page)
        assert [one["id"] for one in document["machines"]] == ["b-faulty", "a-healthy"]
        worst = document["machines"][0]
        assert worst["ratio"] > 1.0
        assert worst["severity"] == "alarm"
        assert worst["alert_id"]
        (banner,) = document["banners"]
        assert banner["text"].startswith("No connection to the broker")
        assert "b-faulty" in httpx.get(page.url + "/").text


def test_without_a_daemon_the_page_says_so(watched: Daemon, bundle: Bundle) -> None:
    """The page would fail, or show old data as if it were new."""
    watched.machine("m", bundle.path, kind="simulated")
    watched.write()
    with web_server(watched.config, watched.environment) as page:
        document = overview(page)
        assert document["daemon"] is None
        assert document["machines"] == []
        (banner,) = document["banners"]
        assert banner["text"].startswith("Monitoring has stopped: the daemon does not run.")
        shown = httpx.get(page.url + "/")
        assert shown.status_code == 200
        assert "Monitoring has stopped" in shown.text
        assert ".sock" not in shown.text


def test_after_the_daemon_the_page_shows_its_history(watched: Daemon, bundle: Bundle) -> None:
    """Who looks for the reason of a stop would find an empty page."""
    # With less sound after the alert, the evidence would wait for more in real time.
    sound = np.concatenate([healthy_then_faulty(), machine_sound(20, seed=2, fault=0.3)])
    watched.feed("m", bundle.path, sound, speed=10)
    watched.start()
    watched.wait_for_log("evidence kept", 60.0)
    watched.end(signal.SIGKILL)
    with web_server(watched.config, watched.environment) as page:
        (machine,) = overview(page)["machines"]
        assert (machine["id"], machine["state"]) == ("m", "unknown")
        (alert,) = httpx.get(page.url + "/api/alerts", timeout=20).json()["alerts"]
        found = httpx.get(f"{page.url}/api/alert/{alert['alert_id']}", timeout=20).json()
        clip = f"{page.url}/evidence/{found['pieces'][0]['evidence_id']}/clip.flac"
        assert httpx.get(clip, timeout=20).content.startswith(b"fLaC")
        rows = httpx.get(page.url + "/api/machine/m/history", timeout=20).json()
        assert [one["alert_id"] for one in rows["alerts"]] == [alert["alert_id"]]
        for path in ("/", "/machine/m", "/alerts", f"/alert/{alert['alert_id']}", "/health"):
            answer = httpx.get(page.url + path, headers={"Accept": "text/html"}, timeout=20)
            assert answer.status_code == 200, path
        change = {"Origin": page.url, "X-Auscult": "1"}
        refused = httpx.post(page.url + "/api/machine/m/unmute", headers=change, timeout=20)
        assert refused.status_code == 503
        assert refused.json()["error"]["message"].startswith("Monitoring has stopped")
        for path in ("overview", "machine/m", "alerts", f"alert/{alert['alert_id']}", "health"):
            document = httpx.get(f"{page.url}/api/{path}", timeout=20).json()
            assert document["monitoring"] == "stopped", path


def test_killing_the_page_does_not_affect_the_daemon(watched: Daemon, bundle: Bundle) -> None:
    """A fault of the page would stop the monitoring."""
    watched.machine("m", bundle.path, kind="simulated")
    watched.start()
    watched.wait_for_log("ready")
    with web_server(watched.config, watched.environment) as page:
        wait_for(lambda: overview(page)["machines"])
        page.end(signal.SIGKILL)
    before = len(watched.events())
    with web_server(watched.config, watched.environment) as page:
        assert [one["id"] for one in overview(page)["machines"]] == ["m"]
        assert page.end(signal.SIGTERM) == 0
    assert watched.process.poll() is None
    assert not [one for one in watched.events()[before:] if "control" in one["logger"]]


def test_no_secret_is_shown(watched: Daemon, bundle: Bundle) -> None:
    """A viewer could take over the broker or the cameras."""
    secrets = {"broker-secret", "camera-secret", "argon2", "a long password"}
    watched.mqtt(username="hall-2")
    watched.environment |= {"AUSCULT_MQTT__PASSWORD": "broker-secret"}
    script = (
        "import sys; sys.stderr.write('rtsp://me:camera-secret@camera/1: refused'); sys.exit(3)"
    )
    watched.machine(
        "camera",
        bundle.path,
        kind="command",
        command=[sys.executable, "-c", script, "rtsp://me:camera-secret@camera/1"],
        sample_rate_hz=16_000,
    )
    watched.start()
    watched.wait_for_log("state unavailable")
    with web_server(watched.config, watched.environment) as page:
        set_password(
            watched.folder / "state" / "web" / "users.json",
            "anna",
            Role.OPERATOR,
            "a long password",
        )
        with httpx.Client(base_url=page.url, timeout=20) as client:
            form = {"user": "anna", "password": "a long password"}
            assert client.post("/login", data=form, headers={"Origin": page.url}).is_redirect
            shown = [page.log.read_text(encoding="utf-8")]
            for route in routes():
                path = re.sub(r"\{machine\}", "camera", route.path)
                if "{" in path or "GET" not in (route.methods or set()) or "/live/" in path:
                    continue
                answer = client.get(path)
                shown += [answer.text, str(answer.headers)]
        process = Path(f"/proc/{page.pid}/cmdline").read_bytes().decode()
    assert any("camera" in text and "unavailable" in text for text in shown)
    assert not [secret for secret in secrets for text in [*shown, process] if secret in text]
