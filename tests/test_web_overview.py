"""The overview in the browser with many machines, long names and hostile texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import DESKTOP, PHONE, Viewer
from tests.web_app import ALERT_ID, Served, machine, served

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

HOSTILE = '<img src="x" onerror="document.title = 1"></script><script>document.title = 1</script>'
LONGEST = "m" * 64


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        yield running


def fifty() -> list[dict[str, Any]]:
    """Fifty machines, of which four need somebody."""
    found = [machine(f"pump-{number}") for number in range(46)]
    return [
        *found,
        machine("mill-1", state="anomaly", alert_id=ALERT_ID, since="2026-11-23T09:02:11.000Z"),
        machine("mill-2", state="unavailable", reason="unplugged", detail="no such microphone"),
        machine("mill-3", state="warning"),
        machine("mill-4", warnings=["drift"], warning_details={"drift": "since 3 days"}),
    ]


def test_fifty_machines_are_on_one_screen_and_the_worst_is_first(
    app: Served, browser: Browser
) -> None:
    """Somebody would have to scroll to see whether all is well."""
    app.daemon.machines = fifty()
    viewer = Viewer(browser, app.url, DESKTOP)
    page = viewer.open("")
    expect(page.locator(".tile")).to_have_count(50)
    height: int = page.evaluate("document.documentElement.scrollHeight")
    assert height <= DESKTOP["height"]
    names = page.locator("#attention .tile-name").all_inner_texts()
    assert names == ["mill-1", "mill-2", "mill-3", "mill-4"]
    expect(page.locator("#attention-title")).to_have_text("4 need attention")
    assert viewer.barriers() == []
    page.get_by_label("Find a machine").fill("pump-4")
    expect(page.locator(".tile:visible")).to_have_count(7)  # pump-4 and pump-40 to pump-45
    viewer.close()
    assert viewer.troubles == []


def test_a_tile_keeps_its_place_while_its_score_changes(app: Served, browser: Browser) -> None:
    """Somebody would press the wrong machine, because the tiles move."""
    app.daemon.machines = [machine("a"), machine("b")]
    viewer = Viewer(browser, app.url)
    page = viewer.open("")
    names = page.locator(".tile-name")
    expect(names).to_have_text(["a", "b"])
    page.locator(".tile-name").nth(1).focus()
    app.daemon.machines[1]["score"]["ratio"] = 0.97
    expect(page.locator(".tile-ratio").nth(1)).to_have_text("0.97 \u00d7")
    expect(names).to_have_text(["a", "b"])
    app.daemon.machines[1]["state"] |= {"state": "anomaly", "alert_id": ALERT_ID}
    expect(names).to_have_text(["b", "a"])
    expect(names.first).to_be_focused()
    viewer.close()
    assert viewer.troubles == []


def test_text_of_others_is_never_code(app: Served, browser: Browser) -> None:
    """The name of a device could run a script in the page of an operator."""
    app.daemon.machines = [
        machine(LONGEST, state="degraded", detail=HOSTILE, since=HOSTILE),
        machine("pump-7", state="muted", warnings=[HOSTILE], warning_details={HOSTILE: HOSTILE}),
    ]
    viewer = Viewer(browser, app.url, PHONE)
    for path in ("", f"machine/{LONGEST}", "machine/pump-7", "health"):
        page = viewer.open(path)
        expect(page.locator("#zone")).not_to_be_empty()
        assert page.locator("main img, main script").count() == 0
        assert viewer.overflow_px() <= 0
    expect(viewer.open("").locator(".tile").first).to_contain_text(HOSTILE)
    viewer.close()
    assert viewer.troubles == []


def test_an_address_that_does_not_exist_leads_back(app: Served, browser: Browser) -> None:
    """Somebody who follows an old link would see JSON, or an empty page."""
    viewer = Viewer(browser, app.url, PHONE)
    page = viewer.open("machine/gone")
    expect(page.locator("h1")).to_have_text("Not found")
    expect(page.locator("main")).to_contain_text('No machine "gone" is known.')
    assert viewer.barriers() == []
    viewer.troubles.clear()  # the browser reports the status 404
    page.get_by_role("link", name="To all machines").click()
    expect(page.locator("h1")).to_have_text("Machines")
    viewer.close()
    assert viewer.troubles == []
