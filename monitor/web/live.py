"""Live data: the overview, and the sound of single machines, sent to all who look at them."""

from __future__ import annotations

import asyncio
import base64
import threading
from pathlib import Path
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response

from monitor.errors import AuscultError
from monitor.live.layout import Layout
from monitor.live.reader import Columns, RingReader
from monitor.web.channels import Events
from monitor.web.context import Context, context_of
from monitor.web.machines import lost_machine_document, machine_document, overview_document
from monitor.web.scope import caller_of, viewer_of
from monitor.web.streams import event


async def live_overview(request: Request) -> Response:
    """``api/live/overview``."""
    context = context_of(request)
    return context.channels.stream(
        "overview",
        caller_of(request).address,
        lambda: _Overview(context),
        lambda: _is_logged_in(request),
    )


async def live_machine(request: Request) -> Response:
    """``api/live/machine/<id>``."""
    context, machine = context_of(request), request.path_params["machine"]
    await machine_document(context, machine)  # 404 for an unknown machine
    return context.channels.stream(
        f"machine {machine}",
        caller_of(request).address,
        lambda: _Machine(context, machine),
        lambda: _is_logged_in(request),
    )


class _Overview:
    """The document of ``api/overview`` whenever it has changed. Sparklines only when they have."""

    INTERVAL_S: ClassVar[float] = 1.0

    def __init__(self, context: Context) -> None:
        self._context = context
        self._newest: dict[str, Any] | None = None

    def first(self) -> list[bytes]:
        """The whole document, with sparklines."""
        return [] if self._newest is None else [event("overview", self._newest)]

    async def events(self) -> Events:
        """The documents."""
        sent: dict[str, Any] = {}
        sent_days: list[Any] = []
        while True:
            self._newest = document = await overview_document(self._context)
            days = [machine["sparkline"] for machine in document["machines"]]
            brief = {
                **document,
                "now": None,
                "machines": [{**one, "sparkline": None} for one in document["machines"]],
            }
            if days != sent_days:
                yield event("overview", document)
            elif brief != sent:
                yield event("overview", {**brief, "now": document["now"]})
            sent, sent_days = brief, days
            await asyncio.sleep(self.INTERVAL_S)


class _Machine:
    """The state of a machine when it has changed, and the columns of its sound."""

    STATE_S: ClassVar[float] = 1.0
    COLUMNS_S: ClassVar[float] = 0.25
    WATCH_S: ClassVar[float] = 30.0
    """For how long a request to the daemon lasts; it is renewed after a third of this time."""

    def __init__(self, context: Context, machine: str) -> None:
        self._context = context
        self._machine = machine
        self._guard = threading.Lock()
        self._reader: RingReader | None = None
        self._header: bytes | None = None
        self._state: bytes | None = None

    def first(self) -> list[bytes]:
        """The newest state and header."""
        return [one for one in (self._state, self._header) if one is not None]

    async def events(self) -> Events:
        """States, headers and columns."""
        context, loop = self._context, asyncio.get_running_loop()
        ring: Path | None = None
        watch_due_s = state_due_s = 0.0
        try:
            while True:
                now_s = loop.time()
                if now_s >= state_due_s:
                    state_due_s = now_s + self.STATE_S
                    if (state := await self._changed_state()) is not None:
                        yield state
                if now_s >= watch_due_s:
                    watch_due_s = now_s + self.WATCH_S / 3
                    ring = await self._watch()
                for message in await context.workers.run(self._poll, ring):
                    yield message
                await asyncio.sleep(self.COLUMNS_S)
        finally:
            with self._guard:
                if self._reader is not None:
                    self._reader.close()
                self._reader = self._header = None

    async def _changed_state(self) -> bytes | None:
        """The machine as in ``api/machine/<id>``, without the sparkline; None if unchanged."""
        try:
            document = await machine_document(self._context, self._machine)
        except AuscultError:  # it is not known any more, or nothing answers
            document = await lost_machine_document(self._context, self._machine)
        about = {key: document[key] for key in ("banners", "monitoring")}
        machine = {**document["machine"], **about, "sparkline": None}
        message = event("machine", machine)
        if message == self._state:
            return None
        self._state = message
        return message

    async def _watch(self) -> Path | None:
        """Ask the daemon to show this machine; where it does."""
        try:
            answer = await self._context.daemon.ask(
                "watch", {"machine": self._machine, "for_s": self.WATCH_S}
            )
        except AuscultError:  # the state shows it
            return None
        ring = answer.get("ring")
        return Path(ring) if isinstance(ring, str) else None

    def _poll(self, ring: Path | None) -> list[bytes]:
        """New columns, after the header of a new ring. Runs in a thread."""
        with self._guard:
            return self._columns(ring)

    def _columns(self, ring: Path | None) -> list[bytes]:
        messages = []
        reader = self._reader
        if reader is not None and reader.is_replaced():
            reader.close()
            self._reader = reader = None
        if reader is None and ring is not None:
            try:
                self._reader = reader = RingReader(ring)
            except (OSError, ValueError):
                return []
            self._header = event("header", header_document(self._machine, reader.layout))
            messages.append(self._header)
        if reader is not None and (columns := reader.take()) is not None:
            messages.append(event("columns", columns_document(columns)))
        return messages


def header_document(machine: str, layout: Layout) -> dict[str, Any]:
    """The event ``header``."""
    return {
        "machine": machine,
        "n_mels": layout.n_mels,
        "mel_hz": [round(hz, 1) for hz in layout.mel_hz],
        "column_hz": layout.column_hz,
        "sample_rate_hz": layout.sample_rate_hz,
        "low_db": layout.low_db,
        "high_db": layout.high_db,
        "residual_db": layout.residual_db,
        "bundle_sha256": layout.bundle_sha256,
    }


def columns_document(columns: Columns) -> dict[str, Any]:
    """The event ``columns``."""
    return {
        "n": columns.n_columns,
        "columns": base64.b64encode(columns.pictures).decode("ascii"),
        "level_dbfs": columns.level_dbfs,
        "ratio": columns.ratio,
        "flags": columns.flags,
    }


def _is_logged_in(request: Request) -> bool:
    """Whether the session still exists."""
    viewer = viewer_of(request)
    if viewer is None or not viewer.name:
        return viewer is not None
    sessions = context_of(request).password_check.sessions
    return sessions.viewer(request.cookies.get(sessions.cookie, "")) is not None
