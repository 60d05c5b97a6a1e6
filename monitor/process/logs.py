"""The log: one event per line on standard error, as text or JSON.

Fields given as ``extra={...}`` become ``key=value`` in text and members in JSON.
Under systemd's journal a text line starts with its priority and has no time,
because the journal adds it. Repeated messages are counted instead of written.
Passwords in URLs are masked.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import re
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from io import UnsupportedOperation
from typing import Any, ClassVar, Literal, TextIO

from monitor.clock import rfc3339
from monitor.text.escaping import json_text, one_line
from monitor.text.masking import mask_user_info
from monitor.text.repetition import event_of, pattern_of

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_MOST_RECENT = 100
_MOST_RECENT_CHARACTERS = 500
_RECENT: deque[dict[str, str]] = deque(maxlen=_MOST_RECENT)
_PRIORITY = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


def set_up_logging(
    level: str, log_format: Literal["text", "json"], stream: TextIO | None = None
) -> None:
    """Write every log record of the process to ``stream`` (default: standard error)."""
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    handler.addFilter(RepeatFilter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)


def trace_crashes() -> None:
    """Write where each thread is to standard error when a signal ends the process.

    That is a signal of a fault: SIGSEGV, SIGBUS, SIGFPE, SIGILL, or SIGABRT of systemd's watchdog.
    """
    with suppress(UnsupportedOperation):  # standard error may have no descriptor
        faulthandler.enable()


def recent_warnings() -> list[dict[str, str]]:
    """The newest warnings and errors of this process, oldest first.

    ``time``, ``level``, ``logger``, ``message``, and the fields of the record as text.
    """
    return list(_RECENT)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes records, and keeps the newest warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if record.levelno >= logging.WARNING:
            try:
                _RECENT.append(_recent(record))
            except Exception:  # noqa: BLE001 - as the base class: a record must not end the program
                self.handleError(record)


class TextFormatter(logging.Formatter):
    """``2026-11-23T10:15:30.250Z INFO monitor.service.daemon: ready machines=3``."""

    def __init__(self, *, journal: bool | None = None) -> None:
        """``journal``: write for systemd's journal; by default if systemd has set it up."""
        super().__init__()
        self._journal = "JOURNAL_STREAM" in os.environ if journal is None else journal

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = " ".join(
            [
                f"{record.name}: {one_line(record.getMessage())}",
                *(f"{key}={_bare(value)}" for key, value in _fields(record).items()),
            ]
        )
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        line = mask_user_info(one_line(line.rstrip("\n")))
        if self._journal:
            return f"<{_PRIORITY.get(record.levelno, 6)}>{line}"
        return f"{rfc3339(record.created)} {record.levelname} {line}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message`` and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        document: dict[str, Any] = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return mask_user_info(json_text(document))


@dataclass(slots=True)
class _Period:
    """A minute of one event. ``left_out``: one text for all records that differ in nothing."""

    began_s: float
    n_records: int = 1
    left_out: set[str] = field(default_factory=set)


class RepeatFilter(logging.Filter):
    """Writes the same event at most a few times a minute, and counts the others.

    Events are the same if logger, level, message template and ``machine`` are equal; for
    the template ``%s``, the message is compared without what changes (``event_of``). When
    more than ``MAX_VARIANTS`` messages of a minute differ only in words with digits, the
    others count as one event. The first record after the minute has the field
    ``repeated``: how many records were left out; or ``similar_left_out``, if some of them had
    other values. Alerts (records with an ``alert_id``) are always written.
    """

    PERIOD_S: ClassVar[float] = 60.0
    BURST: ClassVar[int] = 5
    MAX_KEYS: ClassVar[int] = 4096
    MAX_VARIANTS: ClassVar[int] = 100

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[object, ...], _Period] = {}
        self._variants: dict[tuple[object, ...], tuple[float, set[str]]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if hasattr(record, "alert_id"):
            return True
        now = time.monotonic()
        origin = (record.name, record.levelno, getattr(record, "machine", None))
        is_all_text = record.msg == "%s"
        event = self._event(origin, record.getMessage(), now) if is_all_text else record.msg
        key = (*origin, event)
        period = self._seen.get(key)
        if period is None or now - period.began_s >= self.PERIOD_S:
            if period is not None and period.left_out:
                is_same = period.left_out == {_values(record)}
                n_left_out = period.n_records - self.BURST
                setattr(record, "repeated" if is_same else "similar_left_out", n_left_out)
            if len(self._seen) >= self.MAX_KEYS:
                self._seen.clear()
            self._seen[key] = _Period(now)
            return True
        period.n_records += 1
        if period.n_records <= self.BURST:
            return True
        if len(period.left_out) < 2:  # a second one shows that they differ
            period.left_out.add(_values(record))
        return False

    def _event(self, origin: tuple[object, ...], message: str, now: float) -> str:
        event, pattern = event_of(message), pattern_of(message)
        began_s, variants = self._variants.get((*origin, pattern), (now, set()))
        if now - began_s >= self.PERIOD_S:
            began_s, variants = now, set()
        if event not in variants and len(variants) >= self.MAX_VARIANTS:
            return pattern
        variants.add(event)
        if len(self._variants) >= self.MAX_KEYS:
            self._variants.clear()
        self._variants[*origin, pattern] = began_s, variants
        return event


def _recent(record: logging.LogRecord) -> dict[str, str]:
    values = {
        "time": rfc3339(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
        **_fields(record),
    }
    return {
        key: mask_user_info(one_line(value))[:_MOST_RECENT_CHARACTERS]
        for key, value in values.items()
    }


def _values(record: logging.LogRecord) -> str:
    """What a record says, without what changes between reports of one event."""
    return event_of(f"{record.getMessage()} {_fields(record)}")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _bare(value: object) -> str:
    is_row = isinstance(value, list | tuple)
    text = one_line(json.dumps(value, default=str, separators=(",", ":")) if is_row else value)
    if is_row and not re.search(r"[\s=]", text):
        return text
    return json.dumps(text, ensure_ascii=False) if re.search(r"[\s=\"]", text) or not text else text
