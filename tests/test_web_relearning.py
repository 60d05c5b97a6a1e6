"""Relearning in the browser: the operator sees what would change, and decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import PHONE, Viewer
from tests.web_app import ALERT_ID, Served, machine, served

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

LEARNING: dict[str, Any] = {
    "stage": "armed",
    "percent": 100,
    "pieces": 1,
    "bundle": "2026-11-22-2",
    "set_aside": 0,
    "text": "armed",
}
WORST = [
    {
        "recorded_at": f"2026-11-22T03:1{number}:00.000Z",
        "name": f"{number}.flac",
        "seconds": 10.0,
        "ratio_before": ratio_before,
        "ratio_after": 0.9 - 0.1 * number,
        "above_before": ratio_before > 1.0,
        "above_after": False,
    }
    for number, ratio_before in enumerate([0.9, 0.8, 0.7, 0.6, 1.2])
]
READY: dict[str, Any] = {
    "step": "ready",
    "text": "a new bundle is ready",
    "trouble": "",
    "comparison": {
        "made_at": "2026-11-23T10:15:30.250Z",
        "thresholds": {"before": 17.5, "after": 18.1},
        "injected_faults": {"before": 0.83, "after": None},
        "healthy": {"minutes": 50.0, "above_before": 0.2, "above_after": 0.0, "worst": WORST},
        "alerts": [
            {
                "alert_id": ALERT_ID,
                "label": "false-alarm",
                "ratio_before": 2.41,
                "ratio_after": 0.83,
                "alarm_before": True,
                "alarm_after": False,
            }
        ],
        "warnings": ["an alert with the label fault would not be raised any more"],
    },
}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        running.daemon.machines = [machine(learning=LEARNING)]
        yield running


@pytest.fixture
def viewer(app: Served, browser: Browser) -> Iterator[Viewer]:
    one = Viewer(browser, app.url, PHONE)
    yield one
    one.close()
    assert one.troubles == []


def test_relearning_begins_only_after_its_effect_was_read(viewer: Viewer, app: Served) -> None:
    """An operator would not know whether the monitoring goes on."""
    page = viewer.open("machine/pump-7")
    page.get_by_role("button", name="Relearn").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("nothing changes yet")
    assert app.daemon.received == []
    dialog.get_by_label("Healthy sound").select_option("86400")
    dialog.get_by_role("button", name="Relearn").click()
    expect(dialog).to_have_count(0)
    ((command, arguments, _),) = app.daemon.received
    assert command == "relearn"
    assert arguments == {"machine": "pump-7", "collect_s": 86_400}


def test_the_new_bundle_is_used_only_after_both_were_compared(viewer: Viewer, app: Served) -> None:
    """A bundle that misses a known fault would be used without a warning."""
    app.daemon.relearning = READY
    page = viewer.open("machine/pump-7")
    section = page.locator("#relearning")
    expect(section).to_contain_text("would not be raised any more")
    row = section.locator("tr", has_text="False alarm")
    expect(row).to_contain_text("2.4 \u00d7 alert")
    expect(row).to_contain_text("0.83 \u00d7 no alert")
    pieces = section.locator("tr", has_text="Healthy sound of")
    expect(pieces).to_have_count(4)  # three with the highest scores, and one above a threshold
    expect(pieces.last).to_contain_text("1.2 \u00d7 above0.50 \u00d7 below")
    expect(pieces.last).to_contain_text(":14:00")  # pieces of one minute are not confused
    expect(section).not_to_contain_text("17.5")  # thresholds of two bundles cannot be compared
    assert viewer.overflow_px() <= 0
    assert viewer.barriers() == []
    page.get_by_role("button", name="Use the new bundle").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("would not be raised any more")
    expect(dialog).to_contain_text("monitored with the new bundle from now on")
    dialog.get_by_role("button", name="Cancel").click()
    assert app.daemon.received == []
    page.get_by_role("button", name="Use the new bundle").click()
    dialog.get_by_role("button", name="Use the new bundle").click()
    expect(dialog).to_have_count(0)
    assert [one[0] for one in app.daemon.received] == ["relearn_accept"]
