"""A threshold that is not yet tested on enough sound: the page says so, as the messages do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from monitor.clock import rfc3339
from monitor.history.records import Event
from monitor.history.store import HistoryStore
from monitor.notify.wording import PROVISIONAL
from monitor.web.context import Context
from monitor.web.overview import machine_summary
from tests.browser import PHONE, Viewer
from tests.web_app import ALERT_ID, Served, machine, served


def fill(context: Context) -> None:
    """An alert with such a threshold."""
    at_s = time.time() - 60.0
    raised = Event(
        at=rfc3339(at_s),
        at_unix_s=at_s,
        machine="pump-7",
        kind="raised",
        alert_id=ALERT_ID,
        event_id="raised",
        payload={"alert_id": ALERT_ID, "machine": "pump-7", "ratio": 2.4, "provisional": True},
    )
    store = HistoryStore(context.state_dir / "history.sqlite3")
    store.write({}, [raised], durable=False)
    store.close()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, prepare=fill) as running:
        yield running


@pytest.fixture
def viewer(app: Served, browser: Browser) -> Iterator[Viewer]:
    one = Viewer(browser, app.url, PHONE)
    yield one
    one.close()
    assert one.troubles == []


@pytest.mark.slow
@pytest.mark.xdist_group("browser")
def test_the_pages_of_an_armed_machine_say_that_its_threshold_is_not_tested(
    viewer: Viewer, app: Served
) -> None:
    """A message would warn of the threshold, while the page only says that the machine is armed."""
    app.daemon.machines = [machine(provisional=True), machine("fan-2", provisional=False)]
    expect(viewer.open("machine/pump-7").get_by_text(PROVISIONAL)).to_be_visible()
    page = viewer.open("machine/fan-2")
    expect(page.locator("#state")).to_contain_text("OK")
    expect(page.get_by_text(PROVISIONAL)).to_be_hidden()
    expect(viewer.open(f"alert/{ALERT_ID}").get_by_text(PROVISIONAL)).to_be_visible()


def test_a_machine_that_is_not_learned_has_a_threshold_that_is_not_tested() -> None:
    """Its state has no stage of learning; only its score says so."""
    own = machine()
    assert machine_summary(own)["provisional"] is False
    own["score"]["provisional"] = True
    assert machine_summary(own)["provisional"] is True
