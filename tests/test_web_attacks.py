"""A page of another site against the web page, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from monitor.web import access
from monitor.web.callers import Callers
from monitor.web.users import Role
from tests.browser import chromium
from tests.waiting import wait_for
from tests.web_app import PASSWORD, Served, running, served

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

MUTE = "/api/machine/pump-7/mute"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("--host-resolver-rules=MAP rebound.example 127.0.0.1") as one:
        yield one


@pytest.fixture
def window(browser: Browser) -> Iterator[BrowserContext]:
    """A window with a fresh profile."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Served]:
    """A page without a password, as on a node with a screen."""
    with served(tmp_path) as one:
        yield one


@dataclass
class Evil:
    """Another site on this computer: to the browser, ``localhost`` is not ``127.0.0.1``."""

    url: str = ""
    html: str = ""

    def visit(self, window: BrowserContext, html: str) -> Page:
        """Open a page of this site."""
        self.html = html
        page = window.new_page()
        page.goto(self.url)
        return page


@pytest.fixture(scope="module")
def evil() -> Iterator[Evil]:
    site = Evil()

    async def page(_request: Request) -> Response:
        return HTMLResponse(site.html)

    with running(Starlette(routes=[Route("/", page)])) as url:
        site.url = url.replace("127.0.0.1", "localhost")
        yield site


def form(victim: Served) -> str:
    """A form that sends a body that JSON accepts, without a question to the browser."""
    return (
        f'<form id="f" method="post" enctype="text/plain" action="{victim.url}{MUTE}">'
        """<input name='{"for_s":60,"note":"' value='"}'></form>"""
        "<script>document.getElementById('f').submit()</script>"
    )


def test_a_form_of_another_site_mutes_nothing(
    window: BrowserContext, victim: Served, monkeypatch: pytest.MonkeyPatch, evil: Evil
) -> None:
    """A person who opens a mail on the node would mute its machines without a click."""
    page = evil.visit(window, form(victim))
    expect(page.locator("body")).to_contain_text("403")
    assert victim.daemon.received == []
    monkeypatch.setattr(access, "has_origin", lambda *_: True)
    monkeypatch.setattr(access, "_check_change", lambda *_: None)
    evil.visit(window, form(victim))
    wait_for(lambda: [name for name, _, _ in victim.daemon.received] == ["mute"])


def test_a_name_that_leads_to_this_computer_opens_nothing(
    browser: Browser, victim: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site changes the address of its own name (DNS rebinding): its scripts could do all that
    the page can."""
    mute = """() => fetch("/api/machine/pump-7/mute", {
        method: "POST", headers: {"X-Auscult": "1"}, body: '{"for_s": 60}'
    }).then((answer) => answer.status)"""
    page = browser.new_page()
    page.goto(f"http://rebound.example:{victim.url.rpartition(':')[2]}/static/icon.svg")
    assert page.evaluate(mute) == 421
    assert victim.daemon.received == []
    monkeypatch.setattr(Callers, "_checked_host", lambda _self, _scope, host, _scheme: host)
    assert page.evaluate(mute) == 200
    assert len(victim.daemon.received) == 1
    page.close()


def test_a_script_of_another_site_reads_nothing(
    window: BrowserContext, victim: Served, evil: Evil
) -> None:
    """Any site could watch the machines of a node through its browser."""
    page = evil.visit(window, "")
    read = """(url) => fetch(url, {credentials: "include"}).then((answer) => answer.text())"""
    with pytest.raises(Exception, match="Failed to fetch"):
        page.evaluate(read, victim.url + "/api/overview")
    change = """(url) => fetch(url, {method: "POST", headers: {"X-Auscult": "1"}, body: "{}"})"""
    with pytest.raises(Exception, match="Failed to fetch"):
        page.evaluate(change, victim.url + "/api/machine/pump-7/learn")
    assert victim.daemon.received == []


def test_another_site_cannot_show_the_page_in_a_frame(
    window: BrowserContext, victim: Served, monkeypatch: pytest.MonkeyPatch, evil: Evil
) -> None:
    """A click on a game would be a click on a button below it."""
    page = evil.visit(window, f'<iframe id="f" src="{victim.url}/"></iframe>')
    frame = page.frame_locator("#f")
    page.wait_for_load_state("networkidle")
    assert frame.locator(".brand").count() == 0
    monkeypatch.setattr(access, "_sender", lambda send, **_: send)
    page = evil.visit(window, f'<iframe id="f" src="{victim.url}/"></iframe>')
    expect(page.frame_locator("#f").locator(".brand")).to_be_visible()


def log_in(window: BrowserContext, victim: Served) -> Page:
    page = window.new_page()
    page.goto(f"{victim.url}/login")
    page.locator("input[name=user]").fill("anna")
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("button[type=submit]").click()
    expect(page.locator("#summary")).to_be_attached()
    return page


def test_a_link_in_a_mail_opens_the_page_of_who_is_logged_in(
    window: BrowserContext, tmp_path: Path, evil: Evil
) -> None:
    """The cookie is left out for links of other sites: each alert in a mail would need a login."""
    with served(tmp_path, users={"anna": Role.OPERATOR}) as victim:
        log_in(window, victim)
        page = evil.visit(window, f'<a href="{victim.url}/machine/pump-7">alarm</a>')
        page.locator("a").click()
        expect(page.locator("h1")).to_contain_text("pump-7")


def test_a_link_in_a_mail_leads_everybody_else_to_the_login(
    window: BrowserContext, tmp_path: Path, evil: Evil
) -> None:
    """A viewer without a session would see a page that loads itself for ever."""
    with served(tmp_path, users={"anna": Role.OPERATOR}) as victim:
        page = evil.visit(window, f'<a href="{victim.url}/machine/pump-7">alarm</a>')
        page.locator("a").click()
        expect(page.locator("input[name=password]")).to_be_visible()


def test_a_form_of_another_site_changes_nothing_for_who_is_logged_in(
    window: BrowserContext, tmp_path: Path, evil: Evil
) -> None:
    """An operator who opens a mail would mute a machine."""
    with served(tmp_path, users={"anna": Role.OPERATOR}) as victim:
        log_in(window, victim)
        page = evil.visit(window, form(victim))
        expect(page.locator("body")).to_contain_text("403")
        assert victim.daemon.received == []


def test_a_script_cannot_read_the_session(window: BrowserContext, tmp_path: Path) -> None:
    """A fault in one of the scripts would give the session away."""
    with served(tmp_path, users={"anna": Role.OPERATOR}) as victim:
        page = log_in(window, victim)
        assert page.evaluate("document.cookie") == ""
        assert [one["httpOnly"] for one in window.cookies()] == [True]
