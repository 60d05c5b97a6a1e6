"""Random requests to all routes of the web page, and what must not come back."""

from __future__ import annotations

import random
import re
import socket
import string
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from starlette.routing import Route

from monitor.web.routes import routes

ALERT_ID = "019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d02"
_NAMES = {
    "machine": ["pump-7", "fan-2", "nobody"],
    "alert_id": [ALERT_ID, ALERT_ID[:8]],
    "evidence_id": [f"{ALERT_ID}-0", f"{ALERT_ID}-1", f"{ALERT_ID}-999999"],
    "operation": ["", "state-1", "running"],
    "name": ["auscult.css", "pages/overview.js"],
}
_ODD = [
    *("..", "../../../etc/passwd", "%2e%2e%2f", "..\\..\\x", "\0", "%00", "a\r\nb", "/", "//", "."),
    *("ä", "\u202e", "\U0001f4a9", "'", '"', "<script>", "{{7*7}}", "*", "?", "#", "~", "-", "0"),
    *("-1", "1e308", "nan", "inf", "9" * 400, "x" * 5000, "history.sqlite3", "con", "%ff", " "),
]
_PARAMETERS = ("since", "until", "points", "limit", "machine", "next", "x")
_VALUES = ("0", "1", "100", "1700000000", "4000", "pump-7", *_ODD)
_BODIES = (
    b"",
    b"{}",
    b'{"for_s":60}',
    b'{"for_s":60,"note":"x"}',
    b'{"label":"fault"}',
    b'{"note":"\\ud800"}',
    b'{"for_s":1e309}',
    b'{"for_s":null,"note":[]}',
    b"[1]",
    b"null",
    b"[" * 3000,
    b"\xff\xfe{}",
    b"user=anna&password=x&next=%2F%2Fevil",
    b"&".join(b"a=b" for _ in range(200)),
    b"x" * 20_000,
)
_HEADERS: dict[str, tuple[str, ...]] = {
    "Accept": ("text/html", "application/json", "*/*", "text/event-stream", ""),
    "Origin": ("null", "https://evil.example", "x", "http://[", ""),
    "Range": ("bytes=0-", "bytes=-1", "bytes=5-2", "bytes=0-0,2-3", "bytes=99999999999999-", "x"),
    "If-Range": ('"x"', "Mon, 30 Nov 2026 04:28:51 GMT"),
    "If-None-Match": ("*", '"x"', "W/"),
    "Cookie": ("auscult=x", "a=b; auscult_000000000000=" + "x" * 300, ";;=", '"'),
    "Authorization": ("Basic", "Basic eDp5", "Basic %%%", "Bearer x", "Basic " + "A" * 4000),
    "X-Forwarded-For": ("1.2.3.4", "x, ::1", "," * 100),
    "X-Forwarded-Host": ("evil.example", ""),
    "X-Forwarded-Proto": ("https", "ftp", "https,http"),
    "X-Forwarded-Prefix": ("/a", "//evil", "/../x", "/" + "a/" * 200),
    "X-Ingress-Path": ("/a", '/"><script>', "\x7f"),
    "Content-Type": ("application/json", "multipart/form-data; boundary=x", "x"),
    "Host": ("evil.example", "", "127.0.0.1:99999", "[::1"),
    "Sec-Fetch-Site": ("cross-site", "same-origin"),
    "Expect": ("100-continue",),
    "Transfer-Encoding": ("chunked", "gzip"),
    "Content-Length": ("0", "-1", "99999999", "x"),
    "Upgrade": ("websocket",),
    "Connection": ("upgrade", "close", "keep-alive"),
}
_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass
class Fuzzer:
    """Sends requests to one server. ``statuses``: how often each came; 0 for none.

    ``failures``: requests that were answered with a status of 500 or that got no answer in time.
    """

    address: tuple[str, int]
    rng: random.Random
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[tuple[int, bytes]] = field(default_factory=list)

    TIMEOUT_S: ClassVar[float] = 15.0
    INCOMPLETE_S: ClassVar[float] = 0.1
    """How long to wait for an answer to a request that has no end."""
    _ALLOWED: ClassVar[frozenset[int]] = frozenset({0, 501, 503})

    def run_one(self) -> None:
        """Send one request."""
        request = self.request()
        status = self.send(request)
        self.statuses[status] += 1
        if status >= 500 and status not in self._ALLOWED:
            self.failures.append((status, request))

    def request(self) -> bytes:
        """A request; most of them are nearly right, so that they reach the routes."""
        rng = self.rng
        route = rng.choice(_ROUTES)
        path = "/".join(self._part(part) for part in route.path.split("/"))
        method = rng.choice(sorted(route.methods or {"GET"}))
        if rng.random() < 0.1:
            method = rng.choice(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "X"])
        if rng.random() < 0.3:
            pairs = (
                f"{rng.choice(_PARAMETERS)}={quote(rng.choice(_VALUES))}"
                for _ in range(rng.randint(1, 4))
            )
            path += "?" + "&".join(pairs)
        host = f"127.0.0.1:{self.address[1]}"
        headers = {"Host": host, "Origin": f"http://{host}", "X-Auscult": "1"}
        body = rng.choice(_BODIES) if method not in {"GET", "HEAD"} else b""
        headers["Content-Length"] = str(len(body))
        for name in rng.sample(sorted(_HEADERS), rng.choice([0, 0, 1, 2, 4])):
            headers[name] = rng.choice(_HEADERS[name])
        if rng.random() < 0.05:
            del headers[rng.choice(sorted(headers))]
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        content = "\r\n".join(lines).encode("utf-8", "surrogateescape") + body
        return self._damaged(content) if rng.random() < 0.05 else content

    def send(self, request: bytes) -> int:
        """The status of the answer; 0 if the connection ends without one, 599 after a time."""
        is_incomplete = _is_incomplete(request)
        timeout_s = self.INCOMPLETE_S if is_incomplete else self.TIMEOUT_S
        with socket.create_connection(self.address, timeout=timeout_s) as connection:
            # The server must not wait for a closed connection.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                connection.sendall(request)
                received = b""
                while not (match := _STATUS_LINE.match(received)) or match[1] == b"100":
                    part = connection.recv(4096)
                    if not part:
                        return 0
                    received = (received + part).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
            except TimeoutError:
                return 0 if is_incomplete else 599
            except ConnectionError:
                return 0
            return int(match[1])

    def _part(self, part: str) -> str:
        """A part of a path with a value in place of its parameter."""
        rng = self.rng
        match = re.fullmatch(r"\{(\w+)(:path)?\}", part)
        if match is None:
            return part if rng.random() > 0.02 else quote(rng.choice(_ODD))
        if rng.random() < 0.7:
            return quote(rng.choice(_NAMES[match[1]]))
        odd = rng.choice(_ODD)
        if rng.random() < 0.3:
            odd = "".join(rng.choices(string.printable, k=rng.randint(1, 30)))
        return quote(odd, safe="/%" if rng.random() < 0.3 else "")

    def _damaged(self, content: bytes) -> bytes:
        rng = self.rng
        at = rng.randrange(len(content))
        if rng.random() < 0.5:
            return content[:at]
        return content[:at] + rng.randbytes(rng.randint(1, 4)) + content[at + rng.randint(0, 3) :]


def _is_incomplete(request: bytes) -> bool:
    """Whether a server may wait for more: the head does not end, or the body is shorter."""
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    is_chunked = re.search(rb"(?im)^transfer-encoding:", head) is not None
    return not end or is_chunked or length is None or int(length[1]) > len(body)


def _known_routes() -> Sequence[Route]:
    return [route for route in routes() if isinstance(route, Route)]


_ROUTES = _known_routes()


def damage(state_dir: Path, rng: random.Random) -> None:
    """Write files that a daemon of another version, or a bad disk, might leave."""
    garbage = (b"", b"{", b"[]", b"null", b"\x00" * 100, b'{"machine": 1}', rng.randbytes(5000))
    folder = state_dir / "evidence" / ALERT_ID
    healthy = state_dir / "evidence" / "healthy" / "pump-7"
    for place in (folder, healthy):
        place.mkdir(parents=True, exist_ok=True)
    metadata = (
        f'{{"evidence_id": "{ALERT_ID}-1", "machine": "pump-7", "moment": "raised", "at": "x", '
        f'"starts_at": "x", "operation": {rng.choice(["null", "5", "[]"])}, "log_mel": 3}}'
    )
    for ending in ("flac", "bin", "png", "json"):
        (folder / f"0-raised.{ending}").write_bytes(rng.choice(garbage))
        (folder / f"1-worse.{ending}").write_bytes(rng.choice(garbage))
        (healthy / f"state-running.{ending}").write_bytes(rng.choice(garbage))
    (folder / "1-worse.json").write_text(metadata, encoding="utf-8")
    (state_dir / "history.sqlite3").write_bytes(rng.choice(garbage))
