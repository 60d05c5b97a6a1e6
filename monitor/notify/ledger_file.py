"""A ledger on the disk: after a kill or a power failure, the one before or the new one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter, ValidationError

from monitor.durable import replace_content
from monitor.errors import BadInputError
from monitor.notify.ledger import Ledger
from monitor.text.regular_files import MOST_STATE_BYTES, read_regular

_VERSION = 1
_FILE: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
_LEDGER = TypeAdapter(Ledger)
_FORMER_IS_SENT = "is_told"
"""The name of ``Incident.is_sent`` in files of earlier versions."""


class LedgerFile:
    """The file of one target's ledger, and beside it some space for the time of a full disk."""

    RESERVE_BYTES: ClassVar[int] = 1 << 18

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reserve_path = path.with_suffix(".reserve")

    def load(self) -> Ledger | None:
        """The ledger; None if there is none yet.

        Raises ``BadInputError`` if the file is damaged, and ``OSError`` if it cannot be read.
        """
        try:
            content = read_regular(self.path, MOST_STATE_BYTES)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise BadInputError(str(error)) from None
        try:
            return decoded(content)
        except ValueError as error:
            raise BadInputError(f"{self.path}: {error}") from None

    def save(self, ledger: Ledger) -> None:
        """Write it; it is on the disk when this returns. Raises ``OSError``."""
        content = encoded(ledger)
        try:
            replace_content(self.path, content)
        except OSError:
            if not self._reserve_path.exists():
                raise
            self._reserve_path.unlink()
            replace_content(self.path, content)
        else:
            self._reserve()

    def _reserve(self) -> None:
        if self._reserve_path.exists():
            return
        try:
            with self._reserve_path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.RESERVE_BYTES)
        except OSError:  # there is no space for it
            self._reserve_path.unlink(missing_ok=True)

    def written_s(self) -> float:
        """When it was written, Unix time. Raises ``OSError``."""
        return self.path.stat().st_mtime

    def set_aside(self) -> None:
        """Rename a damaged file. Raises ``OSError``."""
        self.path.replace(self.path.with_suffix(".damaged"))


def encoded(ledger: Ledger) -> bytes:
    """The ledger as JSON."""
    values = {"version": _VERSION, **_LEDGER.dump_python(ledger, mode="json")}
    return _FILE.dump_json(values)


def decoded(content: bytes) -> Ledger:
    """The ledger of ``encoded``. Raises ``ValueError`` for anything else."""
    try:
        values = _FILE.validate_json(content)
        if values.pop("version", None) != _VERSION:
            raise ValueError("is damaged, or of another version")
        return _LEDGER.validate_python(_with_present_names(values))
    except ValidationError:
        raise ValueError("is damaged") from None


def _with_present_names(values: dict[str, Any]) -> dict[str, Any]:
    """The values with the name that a key of an incident had in earlier files replaced."""
    incidents = values.get("incidents")
    for one in incidents.values() if isinstance(incidents, dict) else ():
        if isinstance(one, dict) and _FORMER_IS_SENT in one:
            one["is_sent"] = one.pop(_FORMER_IS_SENT)
    return values
