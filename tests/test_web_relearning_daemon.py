"""Relearning from the label to the new bundle: a browser, the real daemon, and the real trainer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect

from monitor.demo.learned import keep_as_learned
from monitor.history.reader import HistoryReader
from tests.browser import Viewer
from tests.bundles import SPEC, machine_sound, make_bundle
from tests.daemons import Daemon, daemon
from tests.test_daemon_learning import PLAYER, TRAINING
from tests.waiting import wait_for
from tests.web_server import web_server

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Daemon]:
    """A machine with a bundle and the sound that it was learned from, as in the demo."""
    with TemporaryDirectory(prefix="auscult-") as runtime, daemon(tmp_path / "daemon") as one:
        one.environment["RUNTIME_DIRECTORY"] = runtime
        one.web(listen="127.0.0.1:0")
        one.table("training", **TRAINING)
        recordings = tmp_path / "recordings"
        recordings.mkdir()
        for seed in range(12):
            path = recordings / f"{seed:02d}.flac"
            soundfile.write(path, machine_sound(15.0, seed=seed), SPEC.sample_rate_hz, "PCM_24")
        make_bundle(tmp_path / "bundle")
        keep_as_learned(recordings, one.folder, "m")
        for name, seed, fault in (("healthy", 50, 0.0), ("faulty", 51, 0.3)):
            sound = machine_sound(60, seed=seed, fault=fault).astype("<f4").tobytes()
            (one.folder / f"{name}.f32").write_bytes(sound)
        files = [str(one.folder / name) for name in ("healthy.f32", "faulty.f32", "fault")]
        one.machine(
            "m",
            tmp_path / "bundle",
            kind="command",
            command=[sys.executable, "-S", "-c", PLAYER, *files],
            sample_format="f32le",
            sample_rate_hz=SPEC.sample_rate_hz,
            realtime=False,
            learning={"keep": True, "trainer": "child"},
        )
        yield one


@pytest.mark.timeout(400)
def test_an_operator_relearns_a_false_alarm_in_the_browser(
    watched: Daemon, browser: Browser
) -> None:
    """The page would promise what nobody can do with it."""
    watched.start()
    with web_server(watched.config, watched.environment) as served:
        viewer = Viewer(browser, served.url)
        page = viewer.open(f"alert/{raises_an_alert(watched)}")
        page.get_by_role("button", name="False alarm").click()
        page.get_by_role("dialog").get_by_role("button", name="False alarm").click()
        expect(page.locator("#labels")).to_contain_text("Stored: False alarm")
        page = viewer.open("machine/m")
        press(page, "Relearn")
        press(page, "Discard")  # while it is trained
        expect(page.get_by_role("button", name="Relearn")).to_be_visible()
        press(page, "Relearn")
        use = page.get_by_role("button", name="Use the new bundle")
        expect(use).to_be_visible(timeout=200_000)
        cells = page.locator("#relearning tr", has_text="False alarm").locator("td")
        expect(cells.nth(1)).to_contain_text("\u00d7 alert")
        expect(cells.nth(2)).to_contain_text("\u00d7 no alert")
        before = overview(served.url)["threshold"]
        press(page, "Use the new bundle")
        wait_for(lambda: overview(served.url)["threshold"] not in (None, before))
        watched.wait_for_log("is in use: relearned with 1 false alarm")
        hears_the_same_sound_without_an_alert(watched, served.url)
        viewer.close()
        assert viewer.troubles == []


def press(page: Page, name: str) -> None:
    """A button, and the one that confirms it."""
    page.get_by_role("button", name=name).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=name).click()
    expect(dialog).to_have_count(0)


def raises_an_alert(watched: Daemon) -> str:
    """Its ``alert_id``, after its sound is kept."""
    watched.wait_for_log("ready")
    (watched.folder / "fault").touch()
    watched.wait_for_log("evidence kept", 60.0)
    (watched.folder / "fault").unlink()
    reader = HistoryReader(watched.folder / "state" / "history.sqlite3")
    wait_for(lambda: [one for one in reader.alerts() if one.cleared_at])
    (alert,) = reader.alerts()
    return alert.alert_id


def hears_the_same_sound_without_an_alert(watched: Daemon, url: str) -> None:
    wait_for(lambda: overview(url)["state"] == "ok")
    (watched.folder / "fault").touch()
    scores: set[float] = set()

    def has_heard_it() -> bool:
        scores.add(overview(url)["score"])
        return len(scores) > 5

    wait_for(has_heard_it)
    assert overview(url)["state"] == "ok"
    assert overview(url)["alert_id"] is None


def overview(url: str) -> Any:
    """Of the only machine."""
    (machine,) = httpx.get(url + "/api/overview", timeout=20).json()["machines"]
    return machine
