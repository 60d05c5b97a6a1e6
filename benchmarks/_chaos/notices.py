"""Whether every alert reached the endpoint of the notifications."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from benchmarks._chaos.ledger import Record

Part = tuple[str, str]
"""The ``alert_id``, and ``begin`` or ``end``."""

_ID = re.compile(r"^Alert ([0-9a-f-]{36})$", re.MULTILINE)
_BEGIN, _END = "begin", "end"
_WORDS = {" since ": (_BEGIN,), " from ": (_BEGIN, _END), " ended at ": (_END,)}
_MORE = re.compile(r"^And (\d+) more: ", re.MULTILINE)


@dataclass
class Notices:
    """``alerts``: of the daemon; each has a beginning and an end to send.

    ``received``: messages at the endpoint, ``pictures`` of them with a picture, ``joined`` of them
    about several alerts, with ``lines`` together. ``duplicated``: messages with
    something that was sent before; each kill of `auscult notify` may repeat one.
    ``on_no_disk``: beginnings and ends that were never sent because no disk accepted the alert,
    neither into the outbox nor into the history, before the daemon was killed. ``lost``: all others
    that were never sent.
    """

    alerts: int = 0
    received: int = 0
    pictures: int = 0
    joined: int = 0
    lines: int = 0
    duplicated: int = 0
    lost: int = 0
    on_no_disk: int = 0
    problems: list[str] = field(default_factory=list)


def check_notices(
    alerts: Sequence[Record],
    messages: Sequence[Record],
    *,
    composed: Sequence[Record] = (),
    on_no_disk: Collection[str] = (),
    most_repeated: int = 0,
) -> Notices:
    """Compare the alerts, in their order, with the messages in theirs.

    ``alerts``: ``machine``, ``alert_id``, ``kind``, ``event_id``. ``composed``: what `auscult
    notify` made messages of: ``title``, ``message``, and ``incidents`` with ``machine``,
    ``alert_id`` and ``parts``. A message about several alerts does not name them. ``on_no_disk``:
    the ids of the messages that no disk accepted. ``most_repeated``: how many messages may be
    repeated.
    """
    found = Notices(received=len(messages))
    expected: dict[Part, Record] = {}
    order: dict[str, list[Part]] = defaultdict(list)
    for alert in alerts:
        if alert["kind"] == "updated":
            continue
        key = alert["alert_id"], _BEGIN if alert["kind"] == "raised" else _END
        if key not in expected:
            expected[key] = alert
            order[alert["machine"]].append(key)
    found.alerts = sum(part == _BEGIN for _, part in expected)
    sent: dict[Part, tuple[int, int]] = {}
    of_text = {_text(one): one["incidents"] for one in composed}
    for number, message in enumerate(messages):
        found.pictures += bool(message.get("attachments"))
        parts = _parts(message) or _joined_parts(message, of_text, found)
        if not parts:
            found.problems.append(f"a message names no alert: {message.get('title')}")
        unknown = [part for part in parts if part not in expected]
        if unknown:
            found.problems.append(f"a message is about what did not happen: {unknown[0]}")
        found.duplicated += any(part in sent for part in parts)
        for line, part in enumerate(parts):
            sent.setdefault(part, (number, line))
    if found.duplicated > most_repeated:
        found.problems.append(f"repeated: {found.duplicated}, but at most {most_repeated} may be")
    for keys in order.values():
        _check_order(keys, sent, found)
        for key in keys:
            if key in sent:
                continue
            if expected[key]["event_id"] in on_no_disk:
                found.on_no_disk += 1
                continue
            found.lost += 1
            found.problems.append(
                f"{expected[key]['machine']}: the {key[1]} of {key[0]} was never sent"
            )
    return found


def _parts(message: Record) -> list[Part]:
    """What a message about one alert is about: which alert, and its beginning or its end."""
    match = _ID.search(str(message.get("message", "")))
    title = str(message.get("title", ""))
    if match is None:
        return []
    return [(match[1], part) for word, parts in _WORDS.items() if word in title for part in parts]


def _joined_parts(
    message: Record, composed: dict[tuple[str, str], list[Record]], found: Notices
) -> list[Part]:
    """What a message about several alerts is about. Its lines must state just that."""
    incidents = composed.get(_text(message), [])
    lines = str(message.get("message", "")).splitlines()
    more = _MORE.search(str(message.get("message", "")))
    n_named = len(incidents) - (int(more[1]) if more is not None else 0)
    found.joined += bool(incidents)
    found.lines += n_named
    for line, incident in zip(lines, incidents[:n_named], strict=False):
        stated = [part for word, parts in _WORDS.items() if word in line for part in parts]
        if not line.startswith(f"{incident['machine']}: ") or stated != incident["parts"]:
            found.problems.append(f"a line does not state the alert: {line}: {incident}")
    if n_named > len(lines):
        found.problems.append(f"a message has no line for an alert: {message.get('title')}")
    return [(one["alert_id"], part) for one in incidents for part in one["parts"]]


def _text(message: Record) -> tuple[str, str]:
    return str(message.get("title", "")).strip(), str(message.get("message", "")).strip()


def _check_order(keys: list[Part], sent: dict[Part, tuple[int, int]], found: Notices) -> None:
    newest = (-1, -1)
    for key in keys:
        if key in sent:
            if sent[key] < newest:
                found.problems.append(f"the {key[1]} of {key[0]} was sent before an earlier one")
            newest = max(newest, sent[key])
