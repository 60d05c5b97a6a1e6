"""The machines of other nodes, from what they publish. Every value is checked: it came from
outside."""

from __future__ import annotations

import logging
import math
import re
import threading
from dataclasses import dataclass, field
from typing import Any, ClassVar

from monitor.clock import SYSTEM_CLOCK, Clock, rfc3339
from monitor.mqtt.topics import ONLINE
from monitor.text.escaping import one_line
from monitor.web.overview import machine_summary
from monitor.web.payload_check import CLEANERS, json_object
from monitor.web.texts import Sentence

log = logging.getLogger(__name__)

_MACHINE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LONGEST_NODE = 200
_LONGEST_PAYLOAD = 64 * 1024
_GONE = frozenset({"offline", "stopped"})
_COMMON_PREFIX = "auscult/"


@dataclass(slots=True)
class _Machine:
    """The newest payloads by kind, and when they came."""

    payloads: dict[str, dict[str, Any]] = field(default_factory=dict)
    at_s: dict[str, float] = field(default_factory=dict)


class Others:
    """What other nodes have published. Every method may be called from any thread.

    ``trouble``: why nothing is received, in one line; empty if there is a connection.
    """

    MOST_MACHINES: ClassVar[int] = 1000
    MOST_NODES: ClassVar[int] = 300
    STALE_S: ClassVar[float] = 180.0
    """A state is repeated every minute."""
    OLD_SCORE_S: ClassVar[float] = 60.0

    def __init__(self, own_base: str = "", clock: Clock = SYSTEM_CLOCK) -> None:
        """``own_base``: the base topic of the daemon of this node, whose machines are known."""
        self.trouble = ""
        self._own_base = own_base
        self._clock = clock
        self._guard = threading.Lock()
        self._machines: dict[tuple[str, str], _Machine] = {}
        self._statuses: dict[str, str] = {}
        self._reached: set[str] = set()
        """The limits that were reached, by the keys of their sentences."""

    def receive(self, topic: str, payload: bytes) -> None:
        """A message. What is not of an Auscult node is ignored."""
        *levels, kind = topic.split("/")
        if len(payload) > _LONGEST_PAYLOAD or len(topic) > _LONGEST_NODE:
            return
        if kind == "status" and levels:
            self._receive_status("/".join(levels), payload)
        elif kind in CLEANERS and len(levels) >= 2:
            self._receive_machine("/".join(levels[:-1]), levels[-1], kind, payload)

    def machines(self) -> list[dict[str, Any]]:
        """The machines as the overview shows them."""
        now_s = self._clock.steady_s()
        with self._guard:
            return [self._summary(*key, one, now_s) for key, one in self._machines.items()]

    def banners(self) -> list[str]:
        """What does not work, one sentence each."""
        found: list[str] = []
        if self.trouble:
            found.append(Sentence("banner.others_trouble", trouble=self.trouble))
        if "banner.others_limit" in self._reached:
            found.append(Sentence("banner.others_limit", count=self.MOST_MACHINES))
        if "banner.others_nodes" in self._reached:
            found.append(Sentence("banner.others_nodes", count=self.MOST_NODES))
        return found

    def _receive_status(self, node: str, payload: bytes) -> None:
        text = payload[:32].decode(errors="replace")
        with self._guard:
            if node in self._statuses or len(self._statuses) < self.MOST_NODES:
                self._statuses[node] = one_line(text)
            else:
                self._reach("banner.others_nodes", self.MOST_NODES)

    def _reach(self, limit: str, count: int) -> None:
        """Show that a limit is reached, and log it once."""
        if limit not in self._reached:
            self._reached.add(limit)
            log.warning("%s", Sentence(limit, count=count))

    def _receive_machine(self, node: str, machine: str, kind: str, payload: bytes) -> None:
        if node == self._own_base or not _MACHINE_ID.fullmatch(machine):
            return
        key = node, machine
        with self._guard:
            if not payload:  # a retained message was removed: the machine is not monitored any more
                if kind == "state":
                    self._machines.pop(key, None)
                return
            if key not in self._machines and len(self._machines) >= self.MOST_MACHINES:
                self._reach("banner.others_limit", self.MOST_MACHINES)
                return
        document = json_object(payload)
        if document is None:
            return
        with self._guard:
            one = self._machines.setdefault(key, _Machine())
            one.payloads[kind] = CLEANERS[kind](document)
            one.at_s[kind] = self._clock.steady_s()

    def _summary(self, node: str, machine: str, one: _Machine, now_s: float) -> dict[str, Any]:
        payloads = dict(one.payloads)
        if now_s - one.at_s.get("score", -math.inf) > self.OLD_SCORE_S:
            payloads.pop("score", None)
        status = self._statuses.get(node, "")
        age_s = now_s - one.at_s.get("state", -math.inf)
        shown = machine_summary({"id": machine, **payloads}, node=node.removeprefix(_COMMON_PREFIX))
        is_stale = bool(self.trouble) or age_s > self.STALE_S
        if status != ONLINE or is_stale:
            is_known = not is_stale and status in _GONE
            reason = f"node_{status}" if is_known else "node_silent"
            shown |= {"state": "unknown", "reason": reason, "detail": ""}
            shown |= {"ratio": None, "score": None, "level_dbfs": None, "alert_id": None}
            newest_s = max(one.at_s.values(), default=now_s)
            shown["last_seen"] = rfc3339(self._clock.unix_at(newest_s))
        return shown
