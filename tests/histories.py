"""Values and events of a history, for tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.clock import rfc3339
from monitor.history.records import Event
from monitor.history.tally import Tally
from monitor.history.writer import HistoryWriter
from tests.clocks import START_UNIX_S

START = int(START_UNIX_S) // 60
"""Unix time in minutes at which they begin."""


def tally(*ratios: float, state: str = "ok", seconds: float = 60.0) -> Tally:
    """Sound of ``seconds`` with these scores."""
    units = round(seconds * 10)
    one = Tally(state=state, state_time=units, scored_time=units, received_time=units)
    for ratio in ratios:
        one.add_ratio(ratio)
    return one


def event(kind: str, unix_s: float = START_UNIX_S, **values: Any) -> Event:
    """An event of machine ``m``."""
    values = {"machine": "m"} | values
    return Event(at=rfc3339(unix_s), at_unix_s=unix_s, kind=kind, **values)


def alert(
    kind: str, unix_s: float, name: str = "a", *, peak: float = 3.0, machine: str = "m"
) -> Event:
    """A message of the alert ``name`` with the threshold 2; its event id is ``alert_event_id``."""
    payload = {"kind": kind, "peak_score": peak, "threshold": 2.0}
    event_id = alert_event_id(kind, unix_s, name)
    return event(kind, unix_s, machine=machine, alert_id=name, event_id=event_id, payload=payload)


def alert_event_id(kind: str, unix_s: float, name: str = "a") -> str:
    return f"{name}-{kind}-{unix_s:.0f}"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[HistoryWriter]:
    """A writer that ends with the ``with`` block."""
    writer = HistoryWriter(path)
    yield writer
    writer.close(10.0)


def settled(writer: HistoryWriter) -> bool:
    """Whether nothing waits to be written."""
    return writer.health().n_waiting == 0


def raise_alert(writer: HistoryWriter, number: int, timeout_s: float = 10.0) -> bool:
    """Add an alert; whether it is written within the time."""
    unix_s = START_UNIX_S + number
    writer.add_event(alert("raised", unix_s, name=f"a{number}"))
    return writer.is_written(alert_event_id("raised", unix_s, f"a{number}"), timeout_s)
