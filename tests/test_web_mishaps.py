"""The page is killed while a change is written, and the clock is set while somebody looks."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from monitor.clock import SYSTEM_CLOCK
from monitor.live.feed import LiveFeed
from monitor.model.bundle import Bundle
from monitor.web.streams import EventStream
from monitor.web.users import Role
from tests.daemons import Daemon, daemon, healthy_then_faulty
from tests.test_live import BLOCK, play, tone
from tests.test_web_live import events
from tests.waiting import wait_for
from tests.web_app import served
from tests.web_server import WebServer, web_server

DAY_S = 86_400.0
LABELS = ("fault", "false-alarm", "sensor", "ignore")
KILLS = 3
NOTE = "{number:04} " + "x" * 200


def send_changes(page: WebServer, alert_id: str, first: int, accepted: list[int]) -> None:
    """Label the alert and mute the machine in turn, each with its number, until refused."""
    headers = {"X-Auscult": "1", "Origin": page.url}
    with contextlib.suppress(httpx.HTTPError), httpx.Client(base_url=page.url) as client:
        for number in range(first, first + 1000):
            path, body = (
                (f"/api/alert/{alert_id}/label", {"label": LABELS[number // 2 % 4]})
                if number % 2
                else ("/api/machine/m/mute", {"for_s": 60 + number})
            )
            answer = client.post(path, json={"note": NOTE.format(number=number), **body},
                                 headers=headers)  # fmt: skip
            if answer.status_code == 200:
                accepted.append(number)


def entries(watched: Daemon) -> dict[int, tuple[str, str]]:
    """Action and value of every change that the daemon has, by its number."""
    path = watched.folder / "state" / "operators.sqlite3"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        found = connection.execute("SELECT note, action, value FROM entries").fetchall()
    for note, *_ in found:
        assert note == NOTE.format(number=int(note[:4])), "a part of a note"
    return {int(note[:4]): (action, value) for note, action, value in found}


@pytest.mark.slow
def test_a_page_that_is_killed_while_it_changes_something_leaves_nothing_half_done(
    bundle: Bundle, tmp_path: Path
) -> None:
    """A label or a mute would be half there, or lost although its operator has seen it stored."""
    accepted: list[int] = []
    with TemporaryDirectory(prefix="auscult-") as runtime, daemon(tmp_path / "daemon") as watched:
        watched.environment["RUNTIME_DIRECTORY"] = runtime
        watched.web(listen="127.0.0.1:0")
        watched.feed("m", bundle.path, healthy_then_faulty(), speed=10)
        watched.start()
        for kill in range(KILLS):
            with web_server(watched.config, watched.environment, log=f"{kill}.log") as page:
                (alert,) = wait_for(partial(alerts, page.url))  # the last page has left it
                first, before = kill * 1000, len(accepted)
                sending = threading.Thread(
                    target=send_changes, args=[page, alert["alert_id"], first, accepted]
                )
                sending.start()
                wait_for(partial(has_more_than, accepted, before + 2))
                page.end(signal.SIGKILL)
                sending.join()
        with web_server(watched.config, watched.environment, log="last.log") as page:
            (machine,) = httpx.get(f"{page.url}/api/overview").json()["machines"]
            wait_for(lambda: labels_of_history(page, alert["alert_id"]) >= labels(accepted))
            found = entries(watched)
            assert set(found) >= set(accepted)
            assert len(found) - len(accepted) <= KILLS  # accepted, and the page could not say so
            for number, (action, value) in found.items():
                wanted = ("label", LABELS[number // 2 % 4]) if number % 2 else ("mute", None)
                assert (action, value if number % 2 else None) == wanted
            newest = max(number for number in found if number % 2)
            (alert,) = alerts(page.url)
            assert alert["label"] == LABELS[newest // 2 % 4]
            assert machine["muted_until"]
        assert watched.process.poll() is None
        assert not [one for one in watched.events() if one["level"] in {"ERROR", "CRITICAL"}]


def has_more_than(numbers: list[int], most: int) -> bool:
    return len(numbers) > most


def alerts(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{url}/api/alerts", timeout=20).json()["alerts"]
    return found


def labels(numbers: list[int]) -> set[str]:
    return {NOTE.format(number=number) for number in numbers if number % 2}


def labels_of_history(page: WebServer, alert_id: str) -> set[str]:
    document = httpx.get(f"{page.url}/api/alert/{alert_id}", timeout=20).json()
    return {one["note"] for one in document["events"] if one["kind"] == "label"}


@pytest.mark.parametrize("by_s", [400 * DAY_S, -400 * DAY_S], ids=["forward", "back"])
def test_open_streams_continue_when_the_clock_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_s: float
) -> None:
    """A page would stand still, or its viewer be logged out, when the node gets the right time."""
    monkeypatch.setattr(EventStream, "HEARTBEAT_S", 0.2)
    set_by_s = [0.0]

    def moved(read: Callable[[], float]) -> Callable[[], float]:
        return lambda: read() + set_by_s[0]

    monkeypatch.setattr(SYSTEM_CLOCK, "unix_s", moved(SYSTEM_CLOCK.unix_s))
    monkeypatch.setattr(time, "time", moved(time.time))
    feed = LiveFeed("pump-7", tmp_path / "pump-7.ring")
    sound, position = tone(60.0), 0
    with (
        served(tmp_path, users={"anna": Role.VIEWER}) as running,
        running.logged_in() as browser,
        # Without its end: the clock of the browser, which is that of this process here, is not set.
        running.client(cookies=dict(browser.cookies)) as client,
        events(client, "/api/live/machine/pump-7") as machine,
        events(client, "/api/live/overview") as overview,
    ):
        running.daemon.watch, running.daemon.ring = feed.watch, feed.path
        wait_for(lambda: feed.is_watched)
        before = next(overview)[1]
        for set_by_s[0] in (0.0, by_s, 0.0):
            running.daemon.machines[0]["score"]["ratio"] += 0.1
            while (received := next(overview))[0] != "overview":
                assert received[0] == "heartbeat"
            assert received[1]["machines"][0]["ratio"] > before["machines"][0]["ratio"]
            before = received[1]
            name = ""
            while name != "columns":
                play(feed, sound[position : position + 10 * BLOCK], at=position)
                position += 10 * BLOCK
                name = next(machine)[0]
            assert client.get("/api/overview").status_code == 200
            assert running.context.channels.n_clients == 2
    feed.end()
