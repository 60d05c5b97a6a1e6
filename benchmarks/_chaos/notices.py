"""Whether every alert reached the endpoint of the notifications."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from benchmarks._chaos.ledger import Record

_ID = re.compile(r"^Alert ([0-9a-f-]{36})$", re.MULTILINE)
_BEGIN, _END = "begin", "end"
_TOLD = {" since ": (_BEGIN,), " from ": (_BEGIN, _END), " ended at ": (_END,)}


@dataclass
class Notices:
    """``alerts``: of the daemon; each has a beginning and an end to tell.

    ``received``: messages at the endpoint, ``pictures`` of them with a picture. ``duplicated``:
    messages that tell nothing new. ``lost``: beginnings and ends that were never told, without
    those in ``lost_with_history``: their event was only in memory, because the disk refused the
    history, and the daemon was killed.
    """

    alerts: int = 0
    received: int = 0
    pictures: int = 0
    duplicated: int = 0
    lost: int = 0
    lost_with_history: int = 0
    problems: list[str] = field(default_factory=list)


def check_notices(
    alerts: Sequence[Record], messages: Sequence[Record], in_history: Collection[str]
) -> Notices:
    """Compare the alerts, in their order, with the messages in theirs.

    ``alerts``: ``machine``, ``alert_id``, ``kind``, ``event_id``. ``in_history``: the ids of all
    events that were in the history at any time.
    """
    found = Notices(received=len(messages))
    expected: dict[tuple[str, str], Record] = {}
    order: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for alert in alerts:
        if alert["kind"] == "updated":
            continue
        key = alert["alert_id"], _BEGIN if alert["kind"] == "raised" else _END
        if key not in expected:
            expected[key] = alert
            order[alert["machine"]].append(key)
    found.alerts = sum(part == _BEGIN for _, part in expected)
    told: dict[tuple[str, str], int] = {}
    for number, message in enumerate(messages):
        found.pictures += bool(message.get("attachments"))
        parts = _parts(message)
        if not parts:
            found.problems.append(f"a message names no alert: {message.get('title')}")
        unknown = [part for part in parts if part not in expected]
        if unknown:
            found.problems.append(f"a message tells what did not happen: {unknown[0]}")
        found.duplicated += bool(parts) and all(part in told for part in parts)
        for part in parts:
            told.setdefault(part, number)
    for keys in order.values():
        _check_order(keys, told, found)
        for key in keys:
            if key in told:
                continue
            if expected[key]["event_id"] not in in_history:
                found.lost_with_history += 1
                continue
            found.lost += 1
            found.problems.append(
                f"{expected[key]['machine']}: the {key[1]} of {key[0]} was never told"
            )
    return found


def _parts(message: Record) -> list[tuple[str, str]]:
    """What a message tells: of which alert, and whether its beginning or its end."""
    match = _ID.search(str(message.get("message", "")))
    title = str(message.get("title", ""))
    if match is None:
        return []
    return [(match[1], part) for word, parts in _TOLD.items() if word in title for part in parts]


def _check_order(
    keys: list[tuple[str, str]], told: dict[tuple[str, str], int], found: Notices
) -> None:
    newest = -1
    for key in keys:
        if key in told:
            if told[key] < newest:
                found.problems.append(f"the {key[1]} of {key[0]} was told before an earlier one")
            newest = max(newest, told[key])
