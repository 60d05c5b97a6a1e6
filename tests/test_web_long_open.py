"""A page that stays open for long, on a device whose clock is wrong, and with a keyboard only."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from monitor.clock import rfc3339
from monitor.history.records import Event
from monitor.history.store import HistoryStore
from monitor.web.context import Context
from tests.browser import PHONE, Viewer
from tests.histories import tally
from tests.test_web_evidence import write_pictured_piece
from tests.web_app import ALERT_ID, Served, machine, served

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

N_ALERTS = 3
AGO_S = 600.0
"""How long ago the first alert was; each other one is a minute later."""


def alert_id(number: int) -> str:
    return f"019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d{number:02}"


def of_alert(kind: str, number: int, after_s: float = 0.0) -> Event:
    at_s = time.time() - AGO_S + 60.0 * number + after_s
    payload = {"alert_id": alert_id(number), "machine": "pump-7", "ratio": 2.4, "kind": kind}
    return Event(
        at=rfc3339(at_s),
        at_unix_s=at_s,
        machine="pump-7",
        kind=kind,
        alert_id=alert_id(number),
        event_id=f"{kind}-{number}",
        payload=payload | {"started_at": rfc3339(at_s - after_s), "score": 42.0},
    )


def write(state_dir: Path, events: list[Event]) -> None:
    store = HistoryStore(state_dir / "history.sqlite3")
    now_min = int(time.time() // 60)
    minutes = {("pump-7", now_min - ago): tally(0.4) for ago in range(1, 30)}
    store.write(minutes, events, durable=False)
    store.close()


def some_alerts(context: Context) -> None:
    numbers = range(N_ALERTS)
    events = [of_alert("raised", number) for number in numbers]
    write(context.state_dir, events + [of_alert("cleared", number, 30.0) for number in numbers])


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, prepare=some_alerts) as running:
        running.daemon.machines[0]["state"]["since"] = rfc3339(time.time() - AGO_S)
        yield running


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_wrong_clock_of_the_viewer_changes_no_time(
    app: Served, browser: Browser, hours: int
) -> None:
    """The chart would be empty, and an alert of ten minutes ago would be five hours old."""
    viewer = Viewer(browser, app.url)
    viewer.page.clock.install(time=datetime.now(UTC) + timedelta(hours=hours))
    page = viewer.open("machine/pump-7")
    expect(page.locator("#since")).to_contain_text("(10 min)")
    expect(page.locator(".chart-summary")).to_contain_text(f"{N_ALERTS} alerts")
    page = viewer.open(f"alert/{alert_id(0)}")
    expect(page.locator("#facts")).to_contain_text("(10 min ago)")
    page = viewer.open("")
    expect(page.locator(".tile-since")).to_have_text("for 10 min")
    viewer.close()
    assert viewer.troubles == []


def test_a_clock_that_is_set_while_the_page_is_open_changes_no_time(
    app: Served, browser: Browser
) -> None:
    """A tablet that gets its time late would show wrong times until somebody loads the page."""
    viewer = Viewer(browser, app.url)
    viewer.page.clock.install()
    page = viewer.open("machine/pump-7")
    expect(page.locator("#since")).to_contain_text("(10 min)")
    with page.expect_response("**/events"):
        page.clock.set_system_time(datetime.now(UTC) - timedelta(hours=5))
        page.clock.run_for(31_000)
    page.clock.run_for(16_000)
    expect(page.locator("#since")).to_contain_text("(10 min)")
    viewer.close()


def focused_text(page: Page) -> str:
    text: str = page.evaluate("document.activeElement.textContent")
    return text


@pytest.mark.parametrize(
    ("path", "row"), [("alerts", ".alert-list .alert-row"), ("machine/pump-7", ".event")]
)
def test_a_list_that_is_loaded_again_leaves_the_focus(
    app: Served, browser: Browser, path: str, row: str
) -> None:
    """A user of a keyboard or a screen reader would begin at the top again each half minute."""
    viewer = Viewer(browser, app.url)
    viewer.page.clock.install()
    page = viewer.open(path)
    link = page.locator(row).nth(1).locator("a")
    link.focus()
    href = link.get_attribute("href")
    write(app.state_dir, [of_alert("raised", N_ALERTS)])
    rows = page.locator(row)
    before = rows.count()
    page.clock.run_for(31_000)
    expect(rows).to_have_count(before + 1)
    assert page.evaluate("document.activeElement.href") == href
    viewer.close()


def test_a_selected_text_stays(app: Served, browser: Browser) -> None:
    """The id of an alert could not be copied in the ten seconds before it is loaded again."""
    viewer = Viewer(browser, app.url)
    viewer.page.clock.install()
    page = viewer.open(f"alert/{alert_id(0)}")
    page.locator("#facts dd", has_text=alert_id(0)).dblclick()
    selected = page.evaluate("String(getSelection())").strip()
    assert selected
    events = page.locator(".event")
    before = events.count()
    write(app.state_dir, [of_alert("updated", 0, 10.0)])
    page.clock.run_for(11_000)
    expect(events).to_have_count(before + 1)
    assert page.evaluate("String(getSelection())").strip() == selected
    viewer.close()


def test_the_focus_stays_on_a_machine_that_is_well_again(app: Served, browser: Browser) -> None:
    """It moves to the other group, and the keyboard would begin at the top of the page."""
    app.daemon.machines[:] = [machine("fan-1"), machine("pump-7", state="anomaly")]
    viewer = Viewer(browser, app.url)
    page = viewer.open("")
    page.locator('#attention .tile[data-machine="pump-7"] .tile-name').focus()
    app.daemon.machines[1]["state"]["state"] = "ok"
    expect(page.locator('#others .tile[data-machine="pump-7"]')).to_be_visible()
    assert focused_text(page) == "pump-7"
    viewer.close()


def test_the_focus_stays_on_the_buttons_after_a_change(app: Served, browser: Browser) -> None:
    """The button that was pressed is replaced by its opposite."""
    viewer = Viewer(browser, app.url)
    page = viewer.open("machine/pump-7")
    page.get_by_role("button", name="Mute").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    app.daemon.machines[0]["state"]["muted_until"] = rfc3339(time.time() + 3600.0)
    expect(page.get_by_role("button", name="End the mute")).to_be_focused()
    viewer.close()


def test_a_stopped_daemon_fits_a_phone(app: Served, browser: Browser) -> None:
    """The name of the program was a letter in each line, and the page wider than the phone."""
    viewer = Viewer(browser, app.url, PHONE)
    page = viewer.open("machine/pump-7")
    app.stop_daemon()
    expect(page.locator("#connection")).to_have_text("monitoring has stopped")
    assert viewer.overflow_px() <= 0
    box = page.locator(".brand").bounding_box()
    assert box is not None
    assert box["height"] < 30
    viewer.close()


def test_the_focus_moves_on_when_an_alert_is_acknowledged(app: Served, browser: Browser) -> None:
    """The button is gone then, and the keyboard would begin at the top of the page."""
    viewer = Viewer(browser, app.url)
    page = viewer.open(f"alert/{alert_id(0)}")
    page.get_by_role("button", name="Acknowledge").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("[data-choice=fault]")).to_be_focused()
    viewer.close()


def test_a_screen_reader_says_what_the_viewer_asks_for(app: Served, browser: Browser) -> None:
    """It would read the sentence below the chart aloud each minute."""
    viewer = Viewer(browser, app.url)
    viewer.page.clock.install()
    page = viewer.open("machine/pump-7")
    summary = page.locator(".chart-summary")
    expect(summary).to_contain_text(f"{N_ALERTS} alerts")
    with page.expect_response("**/history?*"):
        page.clock.run_for(61_000)
    expect(summary).to_have_attribute("aria-live", "off")
    page.get_by_role("button", name="24 h").click()
    expect(summary).to_have_attribute("aria-live", "polite")
    viewer.close()


def test_evidence_that_changes_leaves_the_choice_of_a_clip(app: Served, browser: Browser) -> None:
    """Who compares two clips would begin again, or play a clip that is deleted."""
    first = write_pictured_piece(app.state_dir)

    def write_next(number: int, moment: str) -> None:
        about = json.loads(first.read_text(encoding="utf-8"))
        about |= {"evidence_id": f"{ALERT_ID}-{number}", "moment": moment}
        for old in first.parent.glob("0-raised.*"):
            shutil.copy(old, first.parent / f"{number}-{moment}{old.suffix}")
        (first.parent / f"{number}-{moment}.json").write_text(json.dumps(about))

    write_next(1, "worse")
    viewer = Viewer(browser, app.url)
    viewer.page.clock.install()
    page = viewer.open(f"alert/{ALERT_ID}")
    choice = page.locator("#player input[name=clip]")
    expect(choice).to_have_count(2)
    choice.nth(1).check()
    choice.nth(1).focus()
    write_next(2, "cleared")
    page.clock.run_for(11_000)
    expect(choice).to_have_count(3)
    expect(choice.nth(1)).to_be_checked()
    expect(choice.nth(1)).to_be_focused()
    write_next(3, "worse")
    for deleted in first.parent.glob("0-raised.*"):
        deleted.rename(deleted.with_name(f"old{deleted.suffix}"))
    page.clock.run_for(11_000)
    expect(choice.first).to_have_value(f"evidence/{ALERT_ID}-1")
    viewer.close()


def labelled(value: str, note: str, after_s: float) -> Event:
    at_s = time.time() - AGO_S + after_s
    return Event(
        at=rfc3339(at_s),
        at_unix_s=at_s,
        machine="pump-7",
        kind="label",
        value=value,
        note=note,
        user="anna",
        alert_id=alert_id(0),
        event_id="",
        payload={},
    )


def test_the_label_of_another_tab_replaces_the_own_one(app: Served, browser: Browser) -> None:
    """The first tab would show its own label for ever, and write its old note over the new one."""
    viewer = Viewer(browser, app.url)
    viewer.page.clock.install()
    page = viewer.open(f"alert/{alert_id(0)}")
    page.get_by_label("Note").fill("bearing")
    page.locator("[data-choice=fault]").click()
    page.get_by_role("dialog").get_by_role("button", name="Fault").click()
    verdict, note = page.locator("#verdict"), page.get_by_label("Note")
    expect(verdict).to_contain_text("Fault")
    write(app.state_dir, [labelled("fault", "bearing", 100.0)])
    page.clock.run_for(11_000)
    write(app.state_dir, [labelled("sensor", "loose cable", 110.0)])
    page.clock.run_for(11_000)
    expect(verdict).to_contain_text("loose cable")
    expect(verdict).not_to_contain_text("Fault")
    expect(note).to_have_value("loose cable")
    note.fill("my own")
    write(app.state_dir, [labelled("sensor", "cable, repaired", 120.0)])
    page.clock.run_for(11_000)
    expect(verdict).to_contain_text("repaired")
    expect(note).to_have_value("my own")
    viewer.close()
