"""Lengths of time on the page are those of messages and commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from monitor.text.wording import duration
from tests.browser import PHONE, Viewer
from tests.web_app import Served, served

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

EDGES_S = (0, 1, 60, 90, 119, 120, 150, 3600, 7169, 7170, 7200, 9000, 86_400, 170_999, 171_000)
LENGTHS_S = [at + part for at in (*EDGES_S, 216_000, 604_800) for part in (0.0, 0.4, 0.5, 0.6)]
UNITS = {"s": "second", "min": "minute", "h": "hour", "day": "day", "days": "day"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as running:
        yield running


def test_a_length_is_the_same_on_the_page_and_in_a_message(app: Served, browser: Browser) -> None:
    """The page would say that an alert lasted 1 minute, and the message 2 minutes."""
    viewer = Viewer(browser, app.url, PHONE)
    script = """async (lengths) => {
      const base = document.querySelector('script[type="module"]').src;
      const format = await import(new URL("../format.js", base));
      return lengths.map(format.length);
    }"""
    shown = viewer.open("alerts").evaluate(script, LENGTHS_S)
    viewer.close()
    words = [duration(length_s).split() for length_s in LENGTHS_S]
    page_words = [text.replace("\u00a0", " ").split() for text in shown]
    assert [(number, UNITS[unit]) for number, unit in page_words] == [
        (number, re.sub("s$", "", unit)) for number, unit in words
    ]
