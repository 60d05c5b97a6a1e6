"""Times on the page in the zone of the viewer, also on the days when clocks change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import Viewer
from tests.web_app import served

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page in Berlin, at noon of a day after the end of summer time."""
    with served(tmp_path_factory.mktemp("times")) as app:
        viewer = Viewer(browser, app.url)
        yield viewer.open("")
        viewer.close()
        assert viewer.troubles == []


def shown(page: Page, name: str, *times: str) -> str:
    """What a function of format.js returns for times."""
    seconds = [datetime.fromisoformat(one).timestamp() for one in times]
    text: str = page.evaluate(
        """async ([name, times, now]) => {
          const load = (file) => import(new URL(`static/${file}`, document.baseURI).href);
          (await load("clock.js")).noteTime(now);
          return (await load("format.js"))[name](...times);
        }""",
        [name, seconds, NOON.isoformat()],
    )
    return text


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-10-24T23:59Z", "Oct 25, 01:59"),
        ("2026-10-25T00:30Z", "Oct 25, 02:30 UTC+2"),
        ("2026-10-25T01:30Z", "Oct 25, 02:30 UTC+1"),
        ("2026-10-25T02:00Z", "Oct 25, 03:00"),
        ("2026-03-29T00:59Z", "Mar 29, 01:59"),
        ("2026-03-29T01:00Z", "Mar 29, 03:00"),
        ("2026-11-05T11:00Z", "12:00"),
    ],
)
def test_a_time_that_clocks_show_twice_has_its_offset(page: Page, at: str, expected: str) -> None:
    """Nobody could know which of two hours is meant."""
    assert shown(page, "moment", at) == expected


def test_an_alert_in_the_night_of_the_change_does_not_end_before_it_begins(page: Page) -> None:
    """From 02:50 to 02:20 is half an hour."""
    period = shown(page, "period", "2026-10-25T00:50Z", "2026-10-25T01:20Z")
    assert period == "Oct 25, 02:50 UTC+2 to 02:20 UTC+1"
