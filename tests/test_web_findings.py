"""What was found in the sound of an alert, on its page: in words, drawn, and to listen to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from monitor.diagnosis.child import diagnosis_of
from monitor.text.json_objects import json_object
from tests.browser import Viewer
from tests.test_diagnosing import asked
from tests.test_web_evidence import EVIDENCE_ID, write_piece
from tests.web_app import ALERT_ID, Served, served

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The sound of a damaged bearing, and its diagnosis."""
    folder = tmp_path_factory.mktemp("found")
    request = asked(folder, start_s=15.0, shaft={"speed_hz": 24.0, "bearings": ["6205"]})
    return Path(request["sound"]), diagnosis_of(request)


def keep(app: Served, sound: Path, diagnosis: dict[str, Any]) -> None:
    """Write the piece of an alert with this diagnosis."""
    clip = write_piece(app.state_dir)
    clip.write_bytes(sound.read_bytes())
    path = clip.with_suffix(".json")
    path.write_text(json.dumps(json_object(path.read_bytes()) | {"diagnosis": diagnosis}))


def test_a_finding_is_read_seen_and_played(
    browser: Browser, app: Served, found: tuple[Path, dict[str, Any]]
) -> None:
    """A person would have to know the command line to learn what is wrong."""
    keep(app, *found)
    viewer = Viewer(browser, app.url)
    page = viewer.open(f"alert/{ALERT_ID}")
    section = page.locator("#findings-section")
    expect(section.locator("li").first).to_contain_text("86.0 impacts per second")
    expect(section.locator("li").first).to_contain_text("outer race of 6205")
    expect(section).to_contain_text("not a proof")
    comb = section.locator(".spectrum .comb").first
    expect(comb).to_be_attached()
    drawn: list[list[float]] = section.locator(".spectrum .now").evaluate(
        "curve => Array.from(curve.points, ({ x, y }) => [x, y])"
    )
    x, y = np.array(drawn).T
    near = np.abs(x - float(comb.get_attribute("x1") or "nan")) < 3.0
    assert y[near].min() < np.percentile(y, 2)  # the line is at the highest peak
    expect(section.locator(".axis-time")).to_contain_text("Hz")
    expect(section.locator(".axis-level")).to_contain_text("dB")
    samples, rate_hz = viewer.clip(f"evidence/{EVIDENCE_ID}/band.opus?finding=1")
    played = np.frombuffer(samples, np.float32)
    spectrum = np.abs(np.fft.rfft(played))
    low_hz, high_hz = found[1]["findings"][0]["listen_hz"]
    assert low_hz < spectrum.argmax() * rate_hz / len(played) < high_hz
    audio = section.locator("audio")
    assert (audio.get_attribute("src") or "").endswith(f"{EVIDENCE_ID}/band.opus?finding=1")
    assert viewer.overflow_px() <= 0
    assert viewer.barriers() == []
    assert viewer.troubles == []
    viewer.close()


def test_text_of_a_diagnosis_is_no_html(
    browser: Browser, app: Served, found: tuple[Path, dict[str, Any]]
) -> None:
    """The name of a bearing in a configuration would run as a script."""
    sound, diagnosis = found
    evil = {**diagnosis["findings"][0], "text": EVIL}
    keep(app, sound, diagnosis | {"findings": [evil, evil], "notes": [EVIL]})
    viewer = Viewer(browser, app.url)
    page = viewer.open(f"alert/{ALERT_ID}")
    section = page.locator("#findings-section")
    expect(section.locator("li").nth(1)).to_contain_text(EVIL)
    section.get_by_role("radio", name="Finding 2").check()
    expect(section.locator("audio")).to_have_attribute("src", re.compile("finding=2$"))
    assert section.locator("img").count() == 0
    assert viewer.troubles == []
    viewer.close()


@pytest.mark.parametrize(
    "damaged", [{"findings": [{}]}, {"findings": []}, {"findings": [{"spectrum": 9, "text": "x"}]}]
)
def test_a_damaged_diagnosis_leaves_the_page_usable(
    browser: Browser, app: Served, damaged: dict[str, Any]
) -> None:
    """The alert could not be labelled."""
    keep(app, write_piece(app.state_dir), damaged)
    viewer = Viewer(browser, app.url)
    page = viewer.open(f"alert/{ALERT_ID}")
    expect(page.locator("#findings-section")).to_be_visible()
    expect(page.locator("#facts")).to_contain_text("Raised")
    assert [one for one in viewer.troubles if "404" not in one] == []
    viewer.close()


def test_without_a_diagnosis_nothing_is_claimed(browser: Browser, app: Served) -> None:
    """An alert of which nothing is known would say that nothing was found."""
    write_piece(app.state_dir)
    viewer = Viewer(browser, app.url)
    page = viewer.open(f"alert/{ALERT_ID}")
    expect(page.locator("#facts")).to_contain_text("Raised")
    expect(page.locator("#findings-section")).to_be_hidden()
    viewer.close()
