"""The web page in a real browser, beside a real daemon with a machine that becomes faulty."""

from __future__ import annotations

import re
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest
from playwright.sync_api import Browser, expect

from monitor.model.bundle import Bundle
from tests.browser import DESKTOP, PHONE, Viewer, chromium
from tests.bundles import machine_sound
from tests.daemons import daemon, healthy_then_faulty
from tests.web_server import WebServer, web_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def server(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """The page of a daemon with a healthy and a faulty machine."""
    folder = tmp_path_factory.mktemp("web") / "daemon"
    with TemporaryDirectory(prefix="auscult-") as runtime, daemon(folder) as watched:
        watched.environment["RUNTIME_DIRECTORY"] = runtime
        watched.web(listen="127.0.0.1:0")
        watched.feed("fan-2", bundle.path, machine_sound(30), speed=10)
        watched.feed("pump-7", bundle.path, healthy_then_faulty(), speed=10)
        watched.start()
        with web_server(watched.config, watched.environment) as page:
            yield page


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def viewer(request: pytest.FixtureRequest, browser: Browser, server: WebServer) -> Iterator[Viewer]:
    """A window on the page; at its end, nothing went wrong in it."""
    one = Viewer(browser, server.url, request.param)
    yield one
    one.close()
    assert one.troubles == []


def test_the_fault_appears_on_the_overview_before_the_healthy_machine(viewer: Viewer) -> None:
    """Who looks at the page would not see which machine needs somebody."""
    page = viewer.open("")
    expect(page.locator(".tile").first).to_contain_text("Anomaly", timeout=30_000)
    expect(page.locator(".tile").first).to_contain_text("pump-7")
    expect(page.locator(".tile").nth(1)).to_contain_text("fan-2")
    expect(page.locator("#summary")).to_contain_text("1 anomaly")
    expect(page).to_have_title("(1) Machines · Auscult")
    assert viewer.overflow_px() <= 0
    assert viewer.barriers() == []


def test_times_are_those_of_the_viewer(viewer: Viewer) -> None:
    """A reader would compare a time of the node's zone with a watch."""
    page = viewer.open("")
    expect(page.locator("#zone")).to_have_text(re.compile(r"Times: Europe/Berlin, UTC\+[12]"))


def test_a_lost_connection_is_shown(viewer: Viewer) -> None:
    """Old values would look like those of now."""
    page = viewer.open("")
    expect(page.locator("#connection")).to_have_text("live")
    page.route("**/api/**", lambda route: route.abort())
    expect(page.locator("#connection")).to_have_text("connection lost")
    page.unroute("**/api/**")
    expect(page.locator("#connection")).to_have_text("live", timeout=15_000)
    viewer.troubles.clear()  # the requests that the test has stopped


def test_a_keyboard_reaches_every_machine(viewer: Viewer) -> None:
    """Somebody who cannot use a mouse could not open a machine."""
    page = viewer.open("")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(".tile-name").first).to_be_focused()
