"""From where a request comes, and by which address its browser reaches the page.

Headers of a proxy are believed only if the connection comes from a trusted proxy.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import Scope

from monitor.config.web import ANY_HOST, Network, WebSettings, checked_prefix, is_loopback

FORWARDING = (
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-forwarded-prefix",
    b"x-ingress-path",
    b"forwarded",
)
_HOST = re.compile(r"(?P<name>[a-z0-9._-]{1,253}|\[[0-9a-f:.]+\])(?::(?P<port>\d{1,5}))?")
_DEFAULT_PORT = {"http": "80", "https": "443"}
_MOST_FORWARDS = 20


class RefusedError(Exception):
    """The request is not answered. ``status``: of HTTP. The message is for the user.

    ``asks``: whether to ask the program for user and password.
    """

    def __init__(self, status: int, message: str, *, asks: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.asks = asks


@dataclass(frozen=True, slots=True)
class Caller:
    """``address``: of the browser. ``origin``: of the page, such as ``https://auscult.example``.

    ``prefix``: the path of the page, or empty. ``in_frame``: whether a page of the same origin
    shows it in a frame (ingress of Home Assistant).
    """

    address: str
    scheme: str
    origin: str
    prefix: str
    in_frame: bool = False


class Callers:
    """Finds out the caller of each request."""

    def __init__(self, settings: WebSettings, has_password: Callable[[], bool]) -> None:
        """``has_password``: without one, requests that an unknown proxy forwards are refused."""
        self._settings = settings
        self._has_password = has_password
        names = {*settings.hosts}
        if settings.url is not None:
            names.add(_name_of(urlsplit(settings.url).netloc.lower()))
        host = settings.address[0]
        if is_loopback(host):
            names |= {"localhost", "127.0.0.1", "[::1]"}
        self._names = names
        self.own_origin = _origin_of(settings.url) if settings.url is not None else None

    def caller(self, scope: Scope) -> Caller:
        """The caller of a request. Raises ``RefusedError``."""
        settings = self._settings
        peer = scope["client"][0] if scope.get("client") else ""
        scheme, prefix, in_frame = scope["scheme"], settings.path, False
        host = _one(scope, b"host")
        address = peer
        if settings.behind_proxy:
            if not _is_in(peer, settings.trusted_proxies):
                raise RefusedError(403, "only the proxy may connect to this page")
            host = _last(scope, b"x-forwarded-host") or host
            scheme = _forwarded_scheme(scope, scheme)
            address = self._forwarded_for(scope, peer)
            ingress, other = _one(scope, b"x-ingress-path"), _one(scope, b"x-forwarded-prefix")
            if forwarded := ingress or other:
                prefix = _prefix(forwarded)
            in_frame = bool(ingress)
        elif not self._has_password() and any(name in FORWARDING for name, _ in scope["headers"]):
            raise RefusedError(
                403,
                "a proxy forwards this request, and the page has no password: set web.behind_proxy "
                "and web.trusted_proxies, or a password",
            )
        origin = f"{scheme}://{self._checked_host(scope, host, scheme)}"
        return Caller(address, scheme, origin, prefix, in_frame)

    def _checked_host(self, scope: Scope, host: str, scheme: str) -> str:
        """Name and port, without the usual port. Raises ``RefusedError``."""
        match = _HOST.fullmatch(host.lower())
        if match is None:
            raise RefusedError(400, "the header Host is missing or not valid")
        name, port = match["name"], match["port"]
        if not ({name, ANY_HOST} & self._names or name == _own_address(scope)):
            # A page of another name could be loaded by a browser inside the network (DNS
            # rebinding), and then use this one with the rights of its viewer.
            raise RefusedError(
                421, f"this page has another name than {name}: add the name to web.hosts"
            )
        is_usual = port is None or port == _DEFAULT_PORT[scheme]
        return name if is_usual else f"{name}:{port}"

    def _forwarded_for(self, scope: Scope, peer: str) -> str:
        """The last address that is not of a trusted proxy."""
        forwarded = [part.strip() for part in _joined(scope, b"x-forwarded-for").split(",")]
        for part in list(reversed(forwarded))[:_MOST_FORWARDS]:
            try:
                ipaddress.ip_address(part)
            except ValueError:
                return peer
            if not _is_in(part, self._settings.trusted_proxies):
                return part
            peer = part
        return peer


def has_origin(scope: Scope, caller: Caller, own_origin: str | None) -> bool:
    """Whether a page of this origin has sent the request: a browser always states it."""
    origin = _one(scope, b"origin").lower()
    return bool(origin) and _origin_of(origin) in {caller.origin, own_origin}


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    netloc = parts.netloc.rpartition("@")[2].lower()
    usual = _DEFAULT_PORT.get(parts.scheme)
    return f"{parts.scheme}://{netloc.removesuffix(f':{usual}')}"


def _name_of(netloc: str) -> str:
    match = _HOST.fullmatch(netloc)
    return match["name"] if match else netloc


def _own_address(scope: Scope) -> str:
    """The address on which the connection arrived: no name can be bound to it by others."""
    host = scope["server"][0] if scope.get("server") else ""
    return f"[{host}]" if ":" in host else host


def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return any((mapped or found) in network for network in networks)


def _prefix(value: str) -> str:
    try:
        return checked_prefix(value)
    except ValueError:
        raise RefusedError(400, "the proxy states a path that is not valid") from None


def _forwarded_scheme(scope: Scope, scheme: str) -> str:
    stated = _last(scope, b"x-forwarded-proto").lower()
    return stated if stated in _DEFAULT_PORT else scheme


def _values(scope: Scope, name: bytes) -> Iterator[str]:
    return (value.decode("latin-1") for key, value in scope["headers"] if key == name)


def _one(scope: Scope, name: bytes) -> str:
    """The only value of a header; empty without it, or if it is repeated."""
    values = list(_values(scope, name))
    return values[0].strip() if len(values) == 1 else ""


def _joined(scope: Scope, name: bytes) -> str:
    return ",".join(_values(scope, name))


def _last(scope: Scope, name: bytes) -> str:
    """The value that the nearest proxy has added."""
    return _joined(scope, name).rpartition(",")[2].strip()
