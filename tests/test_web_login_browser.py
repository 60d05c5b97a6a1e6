"""The login in a real browser: refused, limited, and a session that ends while the page is open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from monitor.web.login_limit import LoginLimit
from monitor.web.streams import EventStream
from monitor.web.users import Role
from tests.browser import PHONE, Viewer, chromium
from tests.web_app import PASSWORD, Served, served

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

USERS = {"anna": Role.OPERATOR}
SUB_PATH = "/hall-2/auscult"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture(params=["", SUB_PATH], ids=["at the root", "below a path"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Served, str]]:
    """The page, and the address at which a browser reaches it."""
    path: str = request.param
    with served(tmp_path, users=USERS, path=path) as running:
        yield running, running.url + path


def log_in(viewer: Viewer, password: str = PASSWORD) -> None:
    page = viewer.page
    page.get_by_label("User").fill("anna")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def test_too_many_wrong_passwords_are_said(browser: Browser, site: tuple[Served, str]) -> None:
    """A user with a forgotten password would see that the right one is wrong."""
    running, url = site
    limit = running.context.password_check._limit
    viewer = Viewer(browser, url, PHONE)
    page = viewer.open("machine/pump-7")
    log_in(viewer, "wrong horse")
    expect(page.locator(".form-error")).to_have_text("User or password is wrong")
    for _ in range(LoginLimit.TRIES):
        limit.try_once("127.0.0.1")
    log_in(viewer)
    expect(page.locator(".form-error")).to_contain_text("Too many tries: try again in")
    assert viewer.overflow_px() <= 0
    limit._buckets.clear()
    log_in(viewer)
    expect(page.locator("h1")).to_have_text("pump-7")
    viewer.close()


@pytest.mark.parametrize("path", ["machine/pump-7", "alerts", "health", ""])
def test_a_session_that_ends_is_said_and_the_login_leads_back(
    browser: Browser, site: tuple[Served, str], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Old values would be shown as those of now, or a button would do nothing."""
    monkeypatch.setattr(EventStream, "HEARTBEAT_S", 0.2)
    running, url = site
    viewer = Viewer(browser, url)
    viewer.page.clock.install()
    page = viewer.open(path)
    log_in(viewer)
    expect(page.locator("#log-out")).to_be_visible()
    running.context.password_check.sessions._sessions.clear()
    page.clock.run_for(45_000)
    expect(page.locator(".login .form-error")).to_contain_text("The session has ended")
    log_in(viewer)
    expect(page.locator("#log-out")).to_be_visible()
    assert page.url == f"{url}/{path}"
    viewer.close()


def test_a_change_after_the_session_has_ended_is_said(
    browser: Browser, site: tuple[Served, str]
) -> None:
    """An operator would believe that the machine is muted."""
    running, url = site
    viewer = Viewer(browser, url)
    page = viewer.open("machine/pump-7")
    log_in(viewer)
    page.get_by_role("button", name="Mute").click()
    running.context.password_check.sessions._sessions.clear()
    page.get_by_role("dialog").get_by_role("button", name="Mute").click()
    expect(page.locator(".login .form-error")).to_contain_text("The session has ended")
    assert running.daemon.received == []
    viewer.close()
