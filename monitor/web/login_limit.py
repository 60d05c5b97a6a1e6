"""How often an address may try a password."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from monitor.clock import SYSTEM_CLOCK


@dataclass(slots=True)
class _Bucket:
    left: float
    at_s: float
    is_reported: bool = False


class LoginLimit:
    """Each address has ``TRIES``; a used one comes back after ``REGAIN_S`` (token bucket).

    The addresses of one IPv6 network (/64) count as one. At most ``MOST_ADDRESSES`` are kept: the
    one that has waited longest is forgotten first.
    """

    TRIES: ClassVar[int] = 10
    REGAIN_S: ClassVar[float] = 60.0
    MOST_ADDRESSES: ClassVar[int] = 10_000

    def __init__(self, steady_s: Callable[[], float] = SYSTEM_CLOCK.steady_s) -> None:
        self._steady_s = steady_s
        self._buckets: dict[str, _Bucket] = {}

    def try_once(self, address: str) -> float:
        """Use a try; 0, or the seconds until there is one again."""
        key, now_s = network_of(address), self._steady_s()
        bucket = self._buckets.pop(key, None) or _Bucket(float(self.TRIES), now_s)
        while len(self._buckets) >= self.MOST_ADDRESSES:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = bucket
        gained = max(0.0, now_s - bucket.at_s) / self.REGAIN_S
        bucket.left, bucket.at_s = min(float(self.TRIES), bucket.left + gained), now_s
        bucket.is_reported = bucket.is_reported and bucket.left < self.TRIES
        if bucket.left < 1.0:
            return (1.0 - bucket.left) * self.REGAIN_S
        bucket.left -= 1.0
        return 0.0

    def is_first_refusal(self, address: str) -> bool:
        """Whether this is new: True once, until the address has all its tries again."""
        bucket = self._buckets.get(network_of(address))
        if bucket is None or bucket.is_reported:
            return False
        bucket.is_reported = True
        return True

    def give_back(self, address: str) -> None:
        """The password was right: this try does not count."""
        bucket = self._buckets.get(network_of(address))
        if bucket is not None:
            bucket.left += 1.0


def network_of(address: str) -> str:
    """What counts as one address: for IPv6 its network (/64), which one subscriber has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(found), 64), strict=False))
    return str(found)
