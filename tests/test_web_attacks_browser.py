"""What a script inside the page, or a form of another site, can do: in a real browser, without and
with each protection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from monitor.web import access, login
from monitor.web.callers import Caller
from monitor.web.users import Role
from tests.browser import chromium
from tests.test_web_attacks import Evil, evil, form, log_in
from tests.waiting import wait_for
from tests.web_app import Served, served

__all__ = ["evil"]  # a fixture

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path, users={"anna": Role.OPERATOR}) as one:
        yield one


def cookie_without(part: str) -> Callable[[str, Caller, str, float], str]:
    """The function that makes the cookie, without one of its protections."""
    original = login._cookie

    def made(name: str, caller: Caller, token: str, lasts_s: float) -> str:
        parts = original(name, caller, token, lasts_s).split("; ")
        assert part in parts
        return "; ".join(one for one in parts if one != part)

    return made


def test_a_script_reads_the_session_only_without_http_only(
    browser: Browser, victim: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in one of the scripts would give the session away."""
    for is_removed in (True, False):
        with monkeypatch.context() as patch:
            if is_removed:
                patch.setattr(login, "_cookie", cookie_without("HttpOnly"))
            window = browser.new_context()
            page = log_in(window, victim)
            assert bool(page.evaluate("document.cookie")) is is_removed
            window.close()


def test_a_form_of_another_site_has_the_session_only_without_same_site(
    browser: Browser, victim: Served, evil: Evil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cookie alone stops it too: here, nothing else of the page does."""
    monkeypatch.setattr(access, "has_origin", lambda *_: True)
    monkeypatch.setattr(access, "_check_change", lambda *_: None)
    window = browser.new_context()
    log_in(window, victim)
    page = evil.visit(window, form(victim))
    expect(page.locator("body")).to_contain_text("401")
    assert victim.daemon.received == []
    window.close()
    monkeypatch.setattr(login, "_cookie", cookie_without("SameSite=Strict"))
    window = browser.new_context()
    log_in(window, victim)
    evil.visit(window, form(victim))
    wait_for(lambda: [name for name, _, _ in victim.daemon.received] == ["mute"])
    window.close()


INJECTIONS = {
    "a script": "<script>document.title = 'taken'</script>",
    "a handler": "<img src=x onerror=\"document.title = 'taken'\">",
    "an address": "<script src=\"data:text/javascript,document.title='taken'\"></script>",
}


@pytest.mark.parametrize("injection", INJECTIONS.values(), ids=INJECTIONS.keys())
def test_a_script_inside_the_page_runs_only_without_the_policy(
    browser: Browser, victim: Served, monkeypatch: pytest.MonkeyPatch, injection: str
) -> None:
    """A text that is not escaped by mistake would act as the operator."""
    victim.context.pages._environment.autoescape = False  # the mistake
    ends_the_field = quote(f'">{injection}')
    for is_removed in (True, False):
        with monkeypatch.context() as patch:
            if is_removed:
                patch.setattr(access, "_sender", lambda send, **_: send)
            page = browser.new_page()
            page.goto(f"{victim.url}/login?next={ends_the_field}")
            page.wait_for_load_state("networkidle")
            assert (page.title() == "taken") is is_removed
            page.close()
