"""The name or address of a broker, and advice for what people write in its place."""

from __future__ import annotations

import ipaddress
import re

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*):(?P<port>\d{0,5})")
_LABEL = re.compile(r"[\w-]{1,63}")
_TLS_SCHEMES = frozenset({"mqtts", "ssl", "tls", "wss", "https"})
_WEB_SCHEMES = frozenset({"ws", "wss", "http", "https"})
_QUOTES = "\"'`“”„‘’«»"  # noqa: RUF001 - quotes that word processors write


def checked_host(text: str) -> str:
    """The host itself: a name, an IPv4 or an IPv6 address, the latter without brackets.

    Raises ``ValueError`` with the settings that are meant, for a URL, a port, quotes, and
    everything else that is not one host. A user name or password in a URL is never shown.
    """
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if _is_ipv6(host) or (host == text and _is_name(host)):
        return host
    raise ValueError(f"must be one name or address{_advice(text)}")


def _advice(text: str) -> str:
    """The settings that ``text`` seems to mean, empty where that cannot be known."""
    rest = text.strip().strip(_QUOTES).strip()
    scheme = ""
    if match := _SCHEME.match(rest):
        scheme, rest = match["scheme"].lower(), rest[match.end() :]
    if scheme in _WEB_SCHEMES:
        return "; MQTT over WebSocket is not supported, use the broker's MQTT port"
    rest = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    user_info, at, rest = rest.rpartition("@")
    settings, port = [], ""
    if not _is_ipv6(rest) and (match := _PORT.fullmatch(rest)):
        rest, port = match["host"], match["port"]
    host = rest.removeprefix("[").removesuffix("]")
    if not _is_ipv6(host) and not _is_name(host):
        return ", such as broker.example, 192.0.2.7 or 2001:db8::7"
    settings.append(f'host = "{host}"')
    if port:
        if not 1 <= int(port) <= 65_535:
            return f', and the port from 1 to 65535: use host = "{host}" and port'
        settings.append(f"port = {int(port)}")
    if scheme in _TLS_SCHEMES:
        settings.append("tls = true")
    if at and user_info:
        settings.append("username and a password file for the part before @")
    return f": use {', '.join(settings)}"


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _is_name(text: str) -> bool:
    """Whether it is an IPv4 address, or a name that can be looked up."""
    labels = text.removesuffix(".").split(".")
    if all(label.isascii() and label.isdigit() for label in labels):
        try:
            return ipaddress.ip_address(text).version == 4
        except ValueError:
            return False
    return all(_LABEL.fullmatch(label) for label in labels)
