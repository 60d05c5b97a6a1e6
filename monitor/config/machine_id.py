"""The id of a machine: a level of an MQTT topic, and the name of a folder."""

from __future__ import annotations

import re

_MACHINE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_machine_id(value: str) -> str:
    """The id itself. Raises ``ValueError`` if it cannot be a level of an MQTT topic."""
    if not _MACHINE_ID.fullmatch(value):
        raise ValueError(
            'may contain only letters (a-z, A-Z), digits, "-", "_" and ".", at most 64, and '
            f"must begin with a letter or digit, not {value!r}"
        )
    return value
