"""Relearning from the label to the new bundle: an operator with a browser, the real daemon and the
real trainer, through a kill."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect

from monitor.demo.learned import keep_as_learned
from tests.browser import Viewer
from tests.bundles import SPEC, machine_sound, make_bundle
from tests.command_line import auscult
from tests.daemons import Daemon, daemon, documents
from tests.mosquitto import Mosquitto, Subscriber
from tests.payload_check import check_message
from tests.test_daemon_learning import PLAYER, TRAINED_S, TRAINING, newest
from tests.waiting import wait_for
from tests.web_server import web_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]

N_PIECES, PIECE_S = 10, 8.0


@pytest.fixture
def watched(tmp_path: Path, broker: Mosquitto) -> Iterator[Daemon]:
    """A machine with a bundle and the sound that it was learned from, as in the demo."""
    with TemporaryDirectory(prefix="auscult-") as runtime, daemon(tmp_path / "daemon", broker) as w:
        w.environment["RUNTIME_DIRECTORY"] = runtime
        w.web(listen="127.0.0.1:0")
        w.table("training", **TRAINING)
        recordings = tmp_path / "recordings"
        recordings.mkdir()
        for seed in range(N_PIECES):
            path = recordings / f"{seed:02d}.flac"
            soundfile.write(path, machine_sound(PIECE_S, seed=seed), SPEC.sample_rate_hz, "PCM_24")
        make_bundle(tmp_path / "bundle")
        keep_as_learned(recordings, w.folder, "m")
        for name, seed, fault in (("healthy", 50, 0.0), ("faulty", 51, 0.3)):
            sound = machine_sound(60, seed=seed, fault=fault).astype("<f4").tobytes()
            (w.folder / f"{name}.f32").write_bytes(sound)
        files = [str(w.folder / name) for name in ("healthy.f32", "faulty.f32", "fault")]
        w.machine(
            "m",
            tmp_path / "bundle",
            kind="command",
            command=[sys.executable, "-S", "-c", PLAYER, *files],
            sample_format="f32le",
            sample_rate_hz=SPEC.sample_rate_hz,
            realtime=False,
            learning={"keep": True, "trainer": "child"},
        )
        yield w


def test_an_operator_relearns_a_false_alarm_through_a_kill_and_it_is_not_raised_again(
    watched: Daemon, broker: Mosquitto, browser: Browser
) -> None:
    """A label would change nothing, the page would promise what nobody can do with it, or the
    machine would be monitored by nothing."""
    socket = Path(watched.environment["RUNTIME_DIRECTORY"]) / "control.sock"
    watched.start()
    with (
        Subscriber(broker) as subscriber,
        web_server(watched.config, watched.environment) as served,
    ):
        alert_id = raises_a_false_alarm(watched, subscriber, socket)
        viewer = Viewer(browser, served.url)
        page = viewer.open("machine/m")
        press(page, "Relearn")
        wait_for(lambda: n_trainings(watched) == 1)
        press(page, "Discard")  # while it is trained
        expect(page.get_by_role("button", name="Relearn")).to_be_visible()
        begun = auscult("relearn", "m", "--socket", socket)
        assert "nothing changes until you accept it" in begun.out
        wait_for(lambda: n_trainings(watched) == 2)
        watched.end(signal.SIGKILL)
        watched.start()
        compared = wait_for(lambda: comparison(socket), TRAINED_S)
        (alert,) = compared["alerts"]
        assert (alert["alert_id"], alert["label"]) == (alert_id, "false-alarm")
        assert (alert["alarm_before"], alert["alarm_after"]) == (True, False)
        printed = auscult("relearn", "m", "--socket", socket).out
        assert "a new bundle is ready. Nothing has changed yet" in printed
        assert "auscult relearn m --accept" in printed
        page = viewer.open("machine/m")  # while the daemon did not run, the browser noted errors
        viewer.troubles.clear()
        cells = page.locator("#relearning tr", has_text="False alarm").locator("td")
        expect(cells.nth(1)).to_contain_text("\u00d7 alert")
        expect(cells.nth(2)).to_contain_text("\u00d7 no alert")
        press(page, "Use the new bundle")
        watched.wait_for_log("is in use: relearned with 1 false alarm")
        new = compared["thresholds"]["after"]
        wait_for(lambda: documents(subscriber, "/m/score")[-1]["threshold"] == new)
        hears_the_same_sound_without_an_alert(watched, subscriber)
        viewer.close()
        assert viewer.troubles == []
        assert watched.end() == 0
    for message in subscriber.messages():
        check_message(message.topic, message.payload)


def press(page: Page, name: str) -> None:
    """A button, and the one that confirms it."""
    page.get_by_role("button", name=name).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=name).click()
    expect(dialog).to_have_count(0)


def n_trainings(watched: Daemon) -> int:
    return sum("training a new bundle with" in one["message"] for one in watched.events())


def raises_a_false_alarm(watched: Daemon, subscriber: Subscriber, socket: Path) -> str:
    """An alert that is labelled before its evidence is complete; its ``alert_id``.

    Its sound comes into the relearning set when it is kept, and not only when relearning begins:
    the evidence may be deleted before.
    """
    wait_for(lambda: newest(subscriber).get("state") == "ok")
    (watched.folder / "fault").touch()
    wait_for(lambda: subscriber.payloads("/m/alert"))
    alert_id = str(documents(subscriber, "/m/alert")[0]["alert_id"])
    labelled = auscult("label", alert_id, "false-alarm", "--socket", socket)
    assert "The sound is added to the relearning set" in labelled.out
    assert "No sound of this alert is kept so far" in labelled.out
    kept = watched.folder / "state" / "learning" / "m" / "relearn"
    wait_for(lambda: list(kept.glob(f"{alert_id}-0/*")), 60)
    (watched.folder / "fault").unlink()
    wait_for(lambda: documents(subscriber, "/m/alert")[-1]["kind"] == "cleared")
    return alert_id


def comparison(socket: Path) -> dict[str, Any]:
    """What the new bundle would change; empty before it is ready."""
    outcome = auscult("relearn", "m", "--json", "--socket", socket)
    if outcome.status == 69:  # the daemon starts
        return {}
    relearning = outcome.json["relearning"]
    assert relearning["step"] != "failed", relearning["trouble"]
    return dict(relearning["comparison"] or {})


def hears_the_same_sound_without_an_alert(watched: Daemon, subscriber: Subscriber) -> None:
    alerts = len(subscriber.payloads("/m/alert"))
    scores = len(subscriber.payloads("/m/score"))
    (watched.folder / "fault").touch()
    wait_for(lambda: len(subscriber.payloads("/m/score")) > scores + 20, 60)
    assert len(subscriber.payloads("/m/alert")) == alerts
    assert newest(subscriber)["state"] == "ok"
