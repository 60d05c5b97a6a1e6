"""The chart of a machine in the browser: from years to minutes, with alerts and operation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, Response, Route, expect

from monitor.clock import rfc3339
from monitor.history.records import Event
from monitor.history.store import HistoryStore
from monitor.history.tally import Tally
from monitor.web.context import Context
from tests.browser import DESKTOP, PHONE, Viewer
from tests.histories import tally
from tests.web_app import ALERT_ID, Served, served

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

DAYS = 10
ALERT_AGO_S = 2 * 3600.0
VALUES = "**/history?*"
"""Requests for values. The answer to an earlier request may arrive after an action."""


def fill(context: Context) -> None:
    """Every minute of some days, with one alert three days ago."""
    now_min = int(time.time() // 60)
    minutes: dict[tuple[str, int], Tally] = {
        ("pump-7", now_min - ago): tally(0.4) for ago in range(1, DAYS * 1440)
    }
    at_s = time.time() - ALERT_AGO_S
    payload = {"alert_id": ALERT_ID, "machine": "pump-7", "ratio": 2.4, "score": 42.0}
    events = [
        Event(
            at=rfc3339(at_s + later_s),
            at_unix_s=at_s + later_s,
            machine="pump-7",
            kind=kind,
            alert_id=ALERT_ID,
            event_id=kind,
            payload=payload | {"kind": kind, "started_at": rfc3339(at_s)},
        )
        for kind, later_s in (("raised", 0.0), ("cleared", 1800.0))
    ]
    store = HistoryStore(context.state_dir / "history.sqlite3")
    store.write(minutes, events, durable=False)
    store.close()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, prepare=fill) as running:
        yield running


def shown_s(message: Request | Response) -> float:
    """The length of time that a request asks for."""
    query = parse_qs(urlsplit(message.url).query)
    return float(query["until"][0]) - float(query["since"][0])


def row_minutes(response: Response) -> int:
    """The minutes of each row of the answer."""
    rows = response.json()["minutes"]
    assert rows
    return int(rows[len(rows) // 2]["minutes"])


def press(page: Page, name: str) -> Response:
    """Press a button of the chart, and wait for the values that it loads."""
    with page.expect_request(VALUES) as asked:
        page.get_by_role("button", name=name, exact=True).click()
    return answer_to(asked.value)


def answer_to(request: Request) -> Response:
    response = request.response()
    assert response is not None
    return response


def without_refresh(page: Page) -> None:
    """Let the chart not load newer values from time to time: only the tests cause requests."""
    page.add_init_script(
        """const repeat = window.setInterval;
        window.setInterval = (call, ms, ...rest) => (ms === 60000 ? 0 : repeat(call, ms, ...rest));
        """
    )


def test_zooming_loads_finer_values(app: Served, browser: Browser) -> None:
    """A month would be a blur, or an hour of it could not be seen."""
    viewer = Viewer(browser, app.url, DESKTOP)
    without_refresh(viewer.page)
    page = viewer.open("machine/pump-7")
    expect(page.locator(".chart-summary")).to_contain_text("highest score")
    month = press(page, "30 days")
    assert shown_s(month) == pytest.approx(30 * 86_400.0, abs=2.0)
    assert row_minutes(month) > 10
    chart = page.locator(".u-over")
    box = chart.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    # Under load, the values of the month may be asked for once more.
    with page.expect_request(
        lambda one: "/history?" in one.url and shown_s(one) < 0.9 * shown_s(month)
    ) as asked:
        page.mouse.move(box["x"] + 0.88 * box["width"], middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.90 * box["width"], middle, steps=5)
        page.mouse.up()
    zoomed = answer_to(asked.value)
    assert shown_s(zoomed) == pytest.approx(0.02 * 30 * 86_400.0, rel=0.2)
    assert row_minutes(zoomed) == 1
    assert shown_s(press(page, "Zoom out")) == pytest.approx(2 * shown_s(zoomed), rel=0.01)
    earlier = press(page, "Earlier")
    assert shown_s(earlier) == pytest.approx(2 * shown_s(zoomed), rel=0.01)
    viewer.close()
    assert viewer.troubles == []


@pytest.mark.parametrize(("minutes", "range_name"), [(30, "1 h"), (90, "6 h")])
def test_the_chart_of_a_fresh_machine_shows_an_hour(
    browser: Browser, tmp_path: Path, minutes: int, range_name: str
) -> None:
    """A user who has just installed it would see an empty chart with a dot at its end."""

    def fill_some(context: Context) -> None:
        now_min = int(time.time() // 60)
        store = HistoryStore(context.state_dir / "history.sqlite3")
        values = {("pump-7", now_min - ago): tally(0.4) for ago in range(1, minutes)}
        store.write(values, [], durable=False)
        store.close()

    with served(tmp_path, prepare=fill_some) as app:
        viewer = Viewer(browser, app.url)
        page = viewer.open("machine/pump-7")
        button = page.get_by_role("button", name=range_name, exact=True)
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".chart-summary")).to_contain_text("highest score 0.40")
        expect(button).to_have_attribute("aria-pressed", "true")
        assert viewer.troubles == []
        viewer.close()


def test_the_last_day_has_a_value_for_each_quarter_of_an_hour(app: Served) -> None:
    """The overview would have gaps that look like a source that failed."""
    (machine,) = app.get("/api/overview").json()["machines"]
    day = machine["sparkline"]
    assert len(day["ratio_max"]) == 96
    assert {round(ratio, 2) for ratio in day["ratio_max"][:-1]} == {0.4}
    first, *others = day["alerts"]
    assert 95 - first in {8, 9}  # two hours ago
    assert others == list(range(first + 1, first + len(others) + 1))
    assert len(others) == 2  # half an hour


def test_the_chart_marks_the_alert_and_describes_itself(app: Served, browser: Browser) -> None:
    """Somebody who cannot see the chart would not know what it shows."""
    viewer = Viewer(browser, app.url, DESKTOP)
    without_refresh(viewer.page)
    page = viewer.open("machine/pump-7")
    expect(page.locator(".chart-summary")).to_contain_text("highest score 0.40")
    press(page, "7 days")
    flag = page.get_by_role("link", name="2.4 \u00d7 the threshold")
    expect(flag).to_have_count(1)
    expect(page.locator(".chart-summary")).to_contain_text("1 alert")
    assert viewer.barriers() == []
    flag.click()
    expect(page.locator("#status")).to_have_text("Alert, cleared")
    viewer.close()
    assert viewer.troubles == []


def test_fingers_move_and_zoom_the_chart(app: Served, browser: Browser) -> None:
    """On a phone, only the buttons would work."""
    context = browser.new_context(viewport=PHONE, has_touch=True, timezone_id="Europe/Berlin")
    page = context.new_page()
    without_refresh(page)
    page.goto(f"{app.url}/machine/pump-7")
    expect(page.locator(".chart-summary")).to_contain_text("highest score")
    before = shown_s(press(page, "24 h"))
    page.locator(".u-over").scroll_into_view_if_needed()
    box = page.locator(".u-over").bounding_box()
    assert box is not None
    fingers = context.new_cdp_session(page)
    y = box["y"] + box["height"] / 2

    def touch(kind: str, *places: float) -> None:
        points = [
            {"x": box["x"] + place * box["width"], "y": y, "id": number}
            for number, place in enumerate(places)
        ]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    with page.expect_request(VALUES) as asked:
        touch("touchStart", 0.4, 0.6)
        touch("touchMove", 0.3, 0.7)
        touch("touchMove", 0.2, 0.8)
        touch("touchEnd")
    zoomed = answer_to(asked.value)
    assert shown_s(zoomed) == pytest.approx(before / 3.0, rel=0.05)
    with page.expect_request(VALUES) as asked:
        touch("touchStart", 0.3)
        touch("touchMove", 0.5)
        touch("touchMove", 0.8)
        touch("touchEnd")
    moved = answer_to(asked.value)
    assert shown_s(moved) == pytest.approx(shown_s(zoomed), abs=2.0)
    assert since_s(zoomed) - since_s(moved) == pytest.approx(0.5 * shown_s(zoomed), rel=0.1)
    context.close()


def since_s(response: Response) -> float:
    return float(parse_qs(urlsplit(response.url).query)["since"][0])


def test_the_flag_of_a_new_alert_is_whole(app: Served, browser: Browser) -> None:
    """An alert of this moment is at the right edge: nobody could read or touch its flag."""
    viewer = Viewer(browser, app.url, PHONE)

    def just_raised(route: Route) -> None:
        answer = route.fetch().json()
        for alert in answer["alerts"]:
            alert.update(raised_unix_s=answer["until"] - 2.0, cleared_unix_s=None)
        route.fulfill(json=answer)

    viewer.page.route("**/history?*", just_raised)
    page = viewer.open("machine/pump-7")
    flag = page.locator(".alert-flag")
    expect(flag).to_have_count(1)
    chart, box = page.locator(".u-over").bounding_box(), flag.bounding_box()
    assert chart is not None
    assert box is not None
    assert box["x"] >= chart["x"]
    assert box["x"] + box["width"] <= chart["x"] + chart["width"] + 1.0
    page.unroute_all(behavior="wait")
    viewer.close()
    assert viewer.troubles == []


def test_every_page_says_that_nothing_is_monitored(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A green "live" would make everybody believe that the machines are monitored."""
    nowhere = [tmp_path / "nobody.sock"]
    monkeypatch.setattr(
        "monitor.web.daemon_link.possible_paths", lambda _folder, **_options: nowhere
    )
    with served(tmp_path, prepare=fill) as app:
        viewer = Viewer(browser, app.url)
        for path in ("", "machine/pump-7", "alerts", f"alert/{ALERT_ID}", "health"):
            page = viewer.open(path)
            expect(page.locator("#connection")).to_have_text("monitoring has stopped")
            expect(page.locator("#connection")).to_have_attribute("data-live", "false")
            expect(page.locator("#banners")).to_contain_text("Monitoring has stopped")
            expect(page.locator("#banners")).not_to_contain_text(".sock")
        assert viewer.troubles == []
        viewer.close()
