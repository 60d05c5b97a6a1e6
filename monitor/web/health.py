"""The document and the page of the health: processes, outbox, disk, broker, warnings."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from monitor import __version__
from monitor.clock import SYSTEM_CLOCK, rfc3339
from monitor.errors import AuscultError
from monitor.web.answers import json_answer
from monitor.web.context import Context, context_of
from monitor.web.machines import banners
from monitor.web.past import FILE_NAME
from monitor.web.texts import sentence_document

_STARTED_S = SYSTEM_CLOCK.steady_s()


async def health_document(context: Context) -> dict[str, Any]:
    """Everything that is not about the sound of a machine."""
    status = await context.daemon.status()
    daemon: Mapping[str, Any] = {}
    if status is not None:
        try:
            daemon = await context.daemon.ask("health")
        except AuscultError:  # it has stopped since the line above
            daemon = {}
    machines = status["machines"] if status else ()
    return {
        "now": rfc3339(SYSTEM_CLOCK.unix_s()),
        "monitoring": context.daemon.monitoring,
        "banners": [*map(sentence_document, banners(context, status))],
        "daemon": {**status["daemon"], **daemon} if status else None,
        "web": {
            "version": __version__,
            "started_at": rfc3339(SYSTEM_CLOCK.unix_at(_STARTED_S)),
            "memory_bytes": memory_bytes(),
            "viewers": context.channels.n_clients,
        },
        "disk": await context.workers.run(_disk, context),
        "coverage": [
            {"id": one["id"], **((one.get("state") or {}).get("coverage") or {})}
            for one in machines
        ],
    }


async def api_health(request: Request) -> Response:
    """``api/health``."""
    return json_answer(await health_document(context_of(request)))


async def health_page(request: Request) -> Response:
    """``health``."""
    context = context_of(request)
    document = await health_document(context)
    return context.pages.page(request, "health.html", {"data": document})


def memory_bytes() -> int | None:
    """The memory of this process; None where the system does not report it."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _disk(context: Context) -> dict[str, Any]:
    """Sizes of what the daemon keeps, and the space that is left. None where unknown."""
    folder = context.state_dir
    history = [folder / f"{FILE_NAME}{ending}" for ending in ("", "-wal")]
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        usage = None
    return {
        "state_dir": str(folder),
        "free_bytes": usage.free if usage else None,
        "total_bytes": usage.total if usage else None,
        "history_bytes": sum(_size(path) for path in history),
        "evidence_bytes": context.evidence.total_bytes(),
        "outbox_bytes": _size(folder / "outbox.sqlite3"),
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
