"""Fixtures of the tests in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser

from tests.browser import DESKTOP, PHONE, Viewer, chromium
from tests.browser_site import WAITING, Site, watched_site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with watched_site(tmp_path_factory.mktemp("site") / "site") as running:
        yield running


@dataclass(frozen=True)
class Kind:
    """How a viewer looks at the page: in which window, below a path or not."""

    name: str
    is_below_path: bool
    waiting: str
    """A machine that only this viewer mutes."""


@pytest.fixture(
    params=[Kind("desktop", False, WAITING[0]), Kind("phone below a path", True, WAITING[1])],
    ids=lambda kind: kind.name,
)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def viewer(kind: Kind, browser: Browser, site: Site) -> Iterator[Viewer]:
    """A window on the page; at its end, nothing went wrong in it."""
    url = (site.below_path if kind.is_below_path else site.plain).url
    one = Viewer(browser, url, PHONE if kind.is_below_path else DESKTOP)
    yield one
    one.close()
    assert one.troubles == []
