"""The ``[web]`` table: where ``auscult web`` listens, and by which names it is reached."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"must be an address or a network: {error}") from None
    if network.prefixlen == 0:
        raise ValueError(f"{value!r} contains every address: name only those of the proxy")
    return network


Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network)]

_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]")
_LONGEST_PREFIX = 200
_LONGEST_FILTER = 200
ANY_HOST = "*"


def checked_prefix(value: str) -> str:
    """A path without the slash at its end; empty for ``/``. Raises ``ValueError``."""
    path = value.rstrip("/")
    if path and (
        len(path) > _LONGEST_PREFIX
        or not _PREFIX.fullmatch(path)
        or any(part in {".", ".."} for part in path.split("/"))
    ):
        raise ValueError(f"{value!r} must be a path such as /auscult")
    return path


def address_of(listen: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:8737`` or ``[::1]:8737``. Raises ``ValueError``."""
    host, colon, port = listen.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    is_complete = bool(colon and bare and port.isascii() and port.isdigit())
    if not is_complete or int(port) > 65_535 or (":" in bare) != host.startswith("["):
        raise ValueError(f'{listen!r} must be an address and a port, such as "127.0.0.1:8737"')
    return bare, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(value: str) -> str:
    host, _ = address_of(value)
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(
                f'{value!r} must begin with an IP address or localhost, such as "127.0.0.1:8737"'
            ) from None
    return value


def _url(value: str) -> str:
    parts = urlsplit(value)
    is_plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_plain:
        raise ValueError(f"{value!r} must be a URL such as https://auscult.example")
    checked_prefix(parts.path)
    return value.rstrip("/")


def _topic_filter(value: str) -> str:
    levels = value.split("/")
    is_filter = (
        all(level in {"+", "#"} or not {"+", "#"} & set(level) for level in levels)
        and "#" not in levels[:-1]
        and value.isprintable()
        and 0 < len(value.encode()) <= _LONGEST_FILTER
        and not value.startswith("$")
    )
    if not is_filter:
        raise ValueError(f'{value!r} must be an MQTT topic filter such as "auscult/#"')
    return value


class WebSettings(BaseModel):
    """Validated ``[web]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: Annotated[str, AfterValidator(_listen)] = "127.0.0.1:8737"
    url: Annotated[str, AfterValidator(_url)] | None = None
    """How others reach the page; for links in alerts. Its host name is accepted."""
    hosts: tuple[str, ...] = ()
    """Further names by which the page may be called."""
    path: Annotated[str, AfterValidator(checked_prefix)] = ""
    """The path of the page behind a proxy that does not state it."""
    follow: tuple[Annotated[str, AfterValidator(_topic_filter)], ...] = ()
    """Topic filters of other nodes, whose machines are shown too."""
    behind_proxy: bool = False
    trusted_proxies: tuple[Network, ...] = ()
    """Only with ``behind_proxy``: addresses whose forwarding headers are believed."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    session_hours: Annotated[float, Field(ge=0.1, le=720.0, allow_inf_nan=False)] = 12.0
    """A login ends after this time."""

    @field_validator("hosts")
    @classmethod
    def _names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name != ANY_HOST and not _HOST.fullmatch(name):
                raise ValueError(f"{name!r} must be a host name without a port")
        return tuple(name.lower() for name in value)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key must be given together")
        if self.behind_proxy and not self.trusted_proxies:
            raise ValueError(
                "behind_proxy needs trusted_proxies: the addresses of the proxy, such as "
                '["172.30.32.2"]'
            )
        if self.trusted_proxies and not self.behind_proxy:
            raise ValueError("trusted_proxies needs behind_proxy = true")
        if ANY_HOST in self.hosts and not self.behind_proxy:
            raise ValueError('hosts = ["*"] needs behind_proxy = true')
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port to listen on."""
        return address_of(self.listen)
