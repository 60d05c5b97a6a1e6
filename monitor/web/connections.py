"""How many connections each address may have, and what happens to more of them.

A connection that waits for a request is closed in favour of a new one; a request that is being
answered is not. Connections are counted when they are accepted, so those that never begin TLS count
too. The total stays below the limit of descriptors of the process.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import resource
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from monitor.config.web import Network
from monitor.web.login_limit import network_of

log = logging.getLogger(__name__)

WAITING = 128
"""Connections that the kernel keeps until they are accepted."""
_MOST = 250
_LEAST = 16
_ENDING = 32
"""Connections that are closed for others, and whose descriptors are not free yet."""
_RESERVED = _ENDING + 64
"""Descriptors for everything that is no connection, or none any more."""


def most_connections() -> int:
    """What the limit of descriptors of this process allows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _MOST if soft == resource.RLIM_INFINITY else soft - _RESERVED
    return max(_LEAST, min(_MOST, allowed))


@dataclass(slots=True)
class _Open:
    connection: socket.socket
    address: str
    is_busy: bool = False


class Gate:
    """The connections of a server. Used in its event loop.

    ``proxies``: addresses that have connections for many viewers; only the total limits them.
    """

    MOST_PER_ADDRESS: ClassVar[int] = 60

    def __init__(self, most: int, proxies: Sequence[Network] = ()) -> None:
        self._most = most
        self._proxies = proxies
        self._open: dict[Any, _Open] = {}
        """By the address and port of the other end; the one that has waited longest is first."""
        self._by_address: Counter[str] = Counter()
        self._n_descriptors = 0

    def __len__(self) -> int:
        return len(self._open)

    def has_descriptors(self) -> bool:
        """Whether a connection may be accepted now: those that end may have to end first."""
        return self._n_descriptors < self._most + _ENDING

    def admits(self, connection: socket.socket, peer: Any) -> bool:
        """Count a new connection. False if it must be closed."""
        self._n_descriptors += 1
        address = network_of(str(peer[0]))
        is_proxy = any(ipaddress.ip_address(peer[0]) in network for network in self._proxies)
        is_too_many = not is_proxy and self._by_address[address] >= self.MOST_PER_ADDRESS
        if is_too_many:
            is_admitted = self._make_room(address)
        else:
            is_admitted = len(self._open) < self._most or self._make_room()
        if is_admitted:
            self._open[peer] = _Open(connection, address)
            self._by_address[address] += 1
        else:
            log.warning("too many connections: a new one is closed", extra={"address": address})
        return is_admitted

    def began(self, peer: Any) -> None:
        """A request of this connection is being answered."""
        if (found := self._open.get(peer)) is not None:
            found.is_busy = True

    def ended(self, peer: Any) -> None:
        """The connection waits for its next request."""
        if (found := self._open.pop(peer, None)) is not None:
            found.is_busy = False
            self._open[peer] = found

    def left(self, peer: Any, connection: socket.socket) -> None:
        """The connection is closed."""
        self._n_descriptors -= 1
        found = self._open.get(peer)
        if found is not None and found.connection is connection:
            self._forget(peer)

    def _make_room(self, address: str | None = None) -> bool:
        """Close the connection of an address that has waited longest; None: of the busiest one."""
        waiting = [peer for peer, one in self._open.items() if not one.is_busy]
        if address is None:
            waiting.sort(key=lambda peer: -self._by_address[self._open[peer].address])
        else:
            waiting = [peer for peer in waiting if self._open[peer].address == address]
        if not waiting:
            return False
        found = self._forget(waiting[0])
        log.warning(
            "too many connections: one that waits is closed", extra={"address": found.address}
        )
        with contextlib.suppress(OSError):  # its own end has come already
            found.connection.shutdown(socket.SHUT_RDWR)
        return True

    def _forget(self, peer: Any) -> _Open:
        found = self._open.pop(peer)
        self._by_address -= Counter([found.address])
        return found


class Listener(socket.socket):
    """Accepts the connections that a gate admits."""

    gate: Gate

    def accept(self) -> tuple[socket.socket, Any]:
        """As of ``socket``. Raises ``ConnectionAbortedError`` for one that is not admitted, and
        ``BlockingIOError`` while it must wait for others to end."""
        if not self.gate.has_descriptors():
            raise BlockingIOError
        accepted, peer = super().accept()
        connection = _Connection(
            accepted.family, accepted.type, accepted.proto, fileno=accepted.detach()
        )
        connection.gate, connection.peer = self.gate, peer
        if not self.gate.admits(connection, peer):
            connection.close()
            raise ConnectionAbortedError
        return connection, peer


class _Connection(socket.socket):
    """Notifies its gate when it is closed."""

    gate: Gate
    peer: Any

    def close(self) -> None:
        is_first = self.fileno() >= 0
        super().close()
        if is_first:
            self.gate.left(self.peer, self)
