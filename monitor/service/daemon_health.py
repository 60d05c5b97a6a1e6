"""The health of the daemon's parts, for people: all that is not about one machine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from monitor.process.logs import recent_warnings
from monitor.service.delivery import Delivery
from monitor.service.evidence import Evidence
from monitor.service.history_feed import HistoryFeed
from monitor.text.wording import counted


def daemon_health(
    delivery: Delivery, history: HistoryFeed, evidence: Evidence
) -> Mapping[str, Any]:
    """``outbox``, ``broker``, ``history``, ``evidence``, ``process`` and ``log`` (new warnings).

    ``troubles``: what does not work now, one sentence each.
    """
    parts = {
        **delivery.report(),
        "history": asdict(health) if (health := history.health()) is not None else None,
        "evidence": asdict(evidence.status()),
    }
    return {
        **parts,
        "troubles": _troubles(parts),
        "process": {
            "pid": os.getpid(),
            "memory_bytes": _memory_bytes(),
            "cpu_s": round(time.process_time(), 2),
            "threads": threading.active_count(),
        },
        "log": recent_warnings(),
    }


def _troubles(parts: Mapping[str, Any]) -> list[str]:
    outbox, broker, history = parts["outbox"], parts["broker"], parts["history"] or {}
    troubles = []
    if not broker["connected"]:
        waiting = counted(outbox["depth"], "alert")
        troubles.append(f"no connection to the {broker['error']}; {waiting} waiting")
    if broker["refusal"]:
        troubles.append(f"the broker refuses messages: {broker['refusal']}")
    if outbox["state"] != "ok":
        troubles.append(f"alerts are only in memory: {outbox['detail']}")
    if history.get("trouble"):
        troubles.append(f"the history is not written: {history['trouble']}")
    if outbox["unrecorded"] and history.get("trouble"):
        number = counted(outbox["unrecorded"], "delivered alert")
        troubles.append(f"the history lacks {number}, which auscult notify has not sent")
    if outbox["unrecorded_dropped"]:
        number = counted(outbox["unrecorded_dropped"], "delivered alert")
        troubles.append(f"{number} can no longer be written into the history: there were too many")
    if parts["evidence"]["trouble"]:
        troubles.append(f"evidence is lost: {parts['evidence']['trouble']}")
    return troubles


def _memory_bytes() -> int | None:
    """The memory that is in use; None where the system does not report it."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
