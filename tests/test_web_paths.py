"""Behind a path: every link, redirect, stream and file works, for each way to state the path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor.web.users import Role
from tests.test_web_evidence import EVIDENCE_ID, write_piece
from tests.web_app import ALERT_ID, PASSWORD, running, served

PREFIX = "/api/hassio_ingress/Abc-1_2.3"
WAYS: dict[str, tuple[dict[str, str], bool, dict[str, Any]]] = {
    "no path": ({}, False, {}),
    "ingress": ({"x-ingress-path": PREFIX}, True, {}),
    "forwarded": ({"x-forwarded-prefix": PREFIX + "/"}, True, {}),
    "forwarded, not removed": ({"x-forwarded-prefix": PREFIX}, False, {}),
    "configured": ({}, True, {"path": PREFIX}),
    "configured, not removed": ({}, False, {"path": PREFIX + "/"}),
}
"""Way to state the path: headers of the proxy, whether it removes the path, and settings."""


class Proxy:
    """In front of the page: adds headers, removes the path, and answers nothing outside of it."""

    def __init__(self, app: ASGIApp, prefix: str, headers: dict[str, str], removes: bool) -> None:
        self.outside: list[str] = []
        self._app = app
        self._prefix = prefix
        self._headers = [(k.encode(), v.encode()) for k, v in headers.items()]
        self._removes = removes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if not path.startswith(self._prefix + "/"):
                self.outside.append(path)
                await PlainTextResponse("outside", 404)(scope, receive, send)
                return
            if self._removes:
                path = path.removeprefix(self._prefix)
            scope = {**scope, "path": path, "headers": [*scope["headers"], *self._headers]}
        await self._app(scope, receive, send)


class Links(HTMLParser):
    """Collects the addresses in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"href", "src", "action", "formaction", "poster", "data-href"}
        if tag != "use":
            self.found += [value for name, value in attrs if name in names and value]


def links_in(answer: httpx.Response) -> list[str]:
    """The addresses in a page, a script or a style sheet."""
    kind = answer.headers["content-type"]
    if "html" in kind:
        parser = Links()
        parser.feed(answer.text)
        return parser.found
    if "javascript" in kind and "/vendor/" not in str(answer.url):
        return re.findall(r"""(?:from|import)\s+["']([^"']+)["']""", answer.text)
    if "css" in kind:
        return re.findall(r"""url\(["']?([^"')]+)""", answer.text)
    return []


@contextmanager
def behind(folder: Path, way: str, **options: Any) -> Iterator[tuple[httpx.Client, Proxy, str]]:
    """A client of the page behind a proxy, and the address of the page."""
    headers, removes, settings = WAYS[way]
    prefix = "" if way == "no path" else PREFIX
    if headers:
        settings = {"behind_proxy": True, "trusted_proxies": ["127.0.0.1"], "hosts": ["127.0.0.1"]}
    with served(folder, **settings, **options) as direct:
        write_piece(direct.state_dir)
        proxy = Proxy(direct.app, prefix, headers, removes)
        with running(proxy) as url, httpx.Client(timeout=20) as client:
            yield client, proxy, url + prefix


@pytest.mark.parametrize("way", WAYS)
def test_every_link_leads_to_a_page_below_the_path(tmp_path: Path, way: str) -> None:
    """Behind a proxy, a link or a script would lead outside of the page."""
    with behind(tmp_path, way) as (client, proxy, page):
        waiting = [page + path for path in ("/", f"/alert/{ALERT_ID}", "/machine/pump-7", "/login")]
        seen: set[str] = set()
        while waiting:
            address = urldefrag(waiting.pop())[0]
            if address in seen:
                continue
            seen.add(address)
            answer = client.get(address, headers={"Accept": "text/html"}, follow_redirects=True)
            assert answer.status_code == 200, address
            for link in links_in(answer):
                target = urljoin(str(answer.url), link)
                assert urlsplit(target).netloc == urlsplit(page).netloc, link
                waiting.append(target)
        assert proxy.outside == []
        paths = {urlsplit(one).path.removeprefix(urlsplit(page).path) for one in seen}
        assert {"/alerts", "/health", "/static/auscult.css", "/static/api.js"} <= paths
        assert len(seen) > 15


@pytest.mark.parametrize("way", WAYS)
def test_data_streams_and_changes_work_below_the_path(tmp_path: Path, way: str) -> None:
    """The page would open, and then show no data and accept no change."""
    with behind(tmp_path, way) as (client, proxy, page):
        for path in (
            "/api/overview",
            "/api/machine/pump-7",
            "/api/machine/pump-7/history",
            f"/api/alert/{ALERT_ID}",
            f"/evidence/{EVIDENCE_ID}/clip.flac",
            "/metrics",
        ):
            assert client.get(page + path).status_code == 200, path
        with client.stream("GET", page + "/api/live/overview") as live:
            assert any(line == "event: overview" for line in live.iter_lines())
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(page))
        done = client.post(
            page + "/api/machine/pump-7/mute",
            json={"for_s": 60},
            headers={"Origin": origin, "X-Auscult": "1"},
        )
        assert done.status_code == 200, done.text
        assert proxy.outside == []


@pytest.mark.parametrize("way", WAYS)
def test_the_login_leads_back_below_the_path(tmp_path: Path, way: str) -> None:
    """After the login, the browser would be outside of the page, or without its cookie."""
    with behind(tmp_path, way, users={"anna": Role.OPERATOR}) as (client, proxy, page):
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(page))
        asked = client.get(page + "/machine/pump-7", headers={"Accept": "text/html"})
        assert asked.status_code == 303
        form = client.get(urljoin(str(asked.url), asked.headers["location"]))
        (action,) = re.findall(r'action="([^"]+)"', form.text)
        (wanted,) = re.findall(r'name="next" value="([^"]*)"', form.text)
        done = client.post(
            urljoin(str(form.url), action),
            data={"user": "anna", "password": PASSWORD, "next": wanted},
            headers={"Origin": origin},
            follow_redirects=True,
        )
        assert done.status_code == 200
        assert str(done.url) == page + "/machine/pump-7"
        (cookie,) = client.cookies.jar
        assert cookie.path == (urlsplit(page).path or "/")
        assert proxy.outside == []


def test_the_order_of_the_ways_is_fixed(tmp_path: Path) -> None:
    """Behind two proxies, the links would follow the wrong one."""
    settings: dict[str, Any] = {
        "behind_proxy": True,
        "trusted_proxies": ["127.0.0.1"],
        "hosts": ["*"],
        "path": "/third",
    }
    with served(tmp_path, **settings) as direct:
        every = {"X-Ingress-Path": "/first", "X-Forwarded-Prefix": "/second"}
        for expected in ("first", "second", "third"):
            page = direct.get("/", headers=every).text
            assert f'href="/{expected}/static/auscult.css"' in page
            every.pop(next(iter(every)), None) if every else None
