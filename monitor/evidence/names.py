"""The names of pieces of evidence, and of their files.

A piece is the sound and the pictures of one moment of an alert. Its id, ``<alert_id>-<number>``,
is in messages and addresses. Whatever is not such an id names no file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import quote, unquote

Moment = Literal["raised", "worse", "cleared"]
"""Why a piece is kept: the alert began, its score rose to the double, or it ended."""
MOMENTS: tuple[Moment, ...] = get_args(Moment)

METADATA, SOUND, ARRAYS, PICTURE = "json", "flac", "bin", "png"
PARTIAL, NEW = ".part", ".new"
"""The endings of files of a piece that has begun, and of metadata that are being written."""
LARGEST_METADATA_BYTES = 4 * 2**20
"""Larger metadata are damage."""
HEALTHY = "healthy"
"""The folder of healthy sound, beside the folders of alerts."""

_ALERT = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ALERT_ID = re.compile(_ALERT)
_EVIDENCE_ID = re.compile(rf"({_ALERT})-(0|[1-9]\d{{0,5}})", re.ASCII)
_FILE = re.compile(rf"(0|[1-9]\d{{0,5}})-({'|'.join(MOMENTS)})\.(json|flac|bin|png)", re.ASCII)
_HEALTHY_FILE = re.compile(r"(state-([A-Za-z0-9_.~%-]*)(?:@[1-9])?)\.(json|flac|bin)", re.ASCII)
_MACHINE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class PieceName:
    """Which piece a file belongs to. ``stem``: the name of its files without their ending."""

    number: int
    moment: Moment

    @property
    def stem(self) -> str:
        """The beginning of the names of its files."""
        return f"{self.number}-{self.moment}"


def is_alert_id(text: str) -> bool:
    """Whether a text is the id of an alert, and so the name of a folder."""
    return _ALERT_ID.fullmatch(text) is not None


def is_machine_id(text: str) -> bool:
    """Whether a text can be the id of a machine, and so the name of a folder."""
    return _MACHINE_ID.fullmatch(text) is not None


def evidence_id(alert_id: str, number: int) -> str:
    """The id of a piece. ``number``: counts the pieces of the alert from 0."""
    return f"{alert_id}-{number}"


def split_id(text: str) -> tuple[str, int] | None:
    """The id of the alert and the number of the piece; None if this is no id of a piece."""
    match = _EVIDENCE_ID.fullmatch(text)
    return (match[1], int(match[2])) if match else None


def piece_of(file_name: str) -> tuple[PieceName, str] | None:
    """The piece and the kind (``json``, ``flac``, ``bin``, ``png``) of a file of an alert."""
    match = _FILE.fullmatch(file_name)
    if match is None:
        return None
    moment = next(one for one in MOMENTS if one == match[2])
    return PieceName(int(match[1]), moment), match[3]


def healthy_stem(operation: str, number: int = 0) -> str:
    """The name of the files of a healthy clip, for any name of an operating state.

    ``number``: 0 for the newest one, 1 to 9 for those that stay.
    """
    return f"state-{quote(operation, safe='')}" + (f"@{number}" if number else "")


def stays(stem: str) -> bool:
    """Whether a healthy clip with this name is one of those that stay."""
    return "@" in stem


def healthy_state_of(file_name: str) -> tuple[str, str] | None:
    """The operating state and the kind of a file of a healthy clip; None for other files."""
    match = _HEALTHY_FILE.fullmatch(file_name)
    if match is None:
        return None
    operation = unquote(match[2])
    is_exact = match[1].partition("@")[0] == healthy_stem(operation)
    return (operation, match[3]) if is_exact else None
