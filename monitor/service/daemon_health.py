"""The health of the daemon's parts, for people: all that is not about one machine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monitor.process.logs import recent_warnings
from monitor.service.delivery import Delivery
from monitor.service.evidence import Evidence
from monitor.service.history_feed import HistoryFeed
from monitor.text.wording import counted


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Something that does not work now. ``text``: a sentence. ``kind`` and ``values``: for programs
    that state it in their own words. In ``values``, ``count`` is a number, and ``cause`` a text of
    the part itself."""

    kind: str
    text: str
    values: Mapping[str, Any]


def daemon_health(
    delivery: Delivery, history: HistoryFeed, evidence: Evidence
) -> Mapping[str, Any]:
    """``outbox``, ``broker``, ``history``, ``evidence``, ``process`` and ``log`` (new warnings).

    ``troubles``: what does not work now, one sentence each. ``trouble_kinds``: the same, each with
    ``kind``, ``text`` and ``values``.
    """
    parts = {
        **delivery.report(),
        "history": asdict(health) if (health := history.health()) is not None else None,
        "evidence": asdict(evidence.status()),
    }
    troubles = _troubles(parts)
    return {
        **parts,
        "troubles": [one.text for one in troubles],
        "trouble_kinds": [asdict(one) for one in troubles],
        "process": {
            "pid": os.getpid(),
            "memory_bytes": _memory_bytes(),
            "cpu_s": round(time.process_time(), 2),
            "threads": threading.active_count(),
        },
        "log": recent_warnings(),
    }


def _troubles(parts: Mapping[str, Any]) -> list[_Trouble]:
    outbox, broker, history = parts["outbox"], parts["broker"], parts["history"] or {}
    troubles = []

    def add(kind: str, text: str, cause: str = "", **values: Any) -> None:
        troubles.append(_Trouble(kind, text, {"cause": cause, **values}))

    if not broker["connected"]:
        waiting = counted(outbox["depth"], "message")
        text = f"no connection to the {broker['error']}; {waiting} waiting"
        address = broker["address"]
        add("no_broker", text, broker["cause"], address=address, count=outbox["depth"])
    if refusal := broker["refusal"]:
        add("broker_refuses", f"the broker refuses messages: {refusal}", refusal)
    if outbox["state"] != "ok":
        add("outbox_in_memory", f"alerts are only in memory: {outbox['detail']}", outbox["detail"])
    if cause := history.get("trouble"):
        add("history_not_written", f"the history is not written: {cause}", cause)
    if (n_unrecorded := outbox["unrecorded"]) and history.get("trouble"):
        number = counted(n_unrecorded, "delivered alert")
        text = f"the history lacks {number}, which auscult notify has not sent"
        add("history_lacks_alerts", text, count=n_unrecorded)
    if n_dropped := outbox["unrecorded_dropped"]:
        number = counted(n_dropped, "delivered alert")
        text = f"{number} can no longer be written into the history: there were too many"
        add("history_lost_alerts", text, count=n_dropped)
    if cause := parts["evidence"]["trouble"]:
        add("evidence_lost", f"evidence is lost: {cause}", cause)
    return troubles


def _memory_bytes() -> int | None:
    """The memory that is in use; None where the system does not report it."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
