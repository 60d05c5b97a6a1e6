"""``AUSCULT_`` environment variables that replace values of ``config.toml``.

``AUSCULT_MQTT__HOST=broker`` sets ``mqtt.host``: a double underscore goes one level
down, and a number selects an element, as in ``AUSCULT_MACHINE__0__BUNDLE``. A value
that begins with ``[`` or ``{`` and is valid JSON is a list or a table. Any other value is
text, which is converted to the key's type.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from typing import Any

from monitor.config.toml_lines import KeyPath
from monitor.errors import ConfigError

PREFIX = "AUSCULT_"
_BYTE_ORDER_MARK = "\ufeff"


def overlay(
    document: dict[str, Any],
    environ: Mapping[str, str],
    tables: Iterable[str],
    verbatim: Container[KeyPath] = (),
    not_json: dict[KeyPath, str] | None = None,
) -> dict[KeyPath, str]:
    """Put the variables for one of ``tables`` into ``document``, in place.

    Returns the variable of each path that was set. Variables of other tables are
    ignored. The paths in ``verbatim`` (secrets) are text, never JSON. ``not_json`` receives
    the error of JSON for each text that begins like a list or a table, for the case that
    its key needs one.

    Raises ``ConfigError`` for a single underscore where a double one is needed, for an
    element that does not exist and for quotes around a value.
    """
    known = set(tables)
    origin: dict[KeyPath, str] = {}
    for given in sorted(environ):
        # Files for the environment may come from Windows.
        name = given.removeprefix(_BYTE_ORDER_MARK)
        if not name.startswith(PREFIX):
            continue
        words = name.removeprefix(PREFIX).lower().split("__")
        if words[0] not in known:
            _refuse_single_underscore(name, words, known)
            continue
        value: Any = environ[given].removeprefix(_BYTE_ORDER_MARK).rstrip("\r\n")
        complaint = ""
        if tuple(words) not in verbatim:
            value, complaint = _value(name, value)
        path = _put(document, name, words, value)
        origin[path] = name
        if complaint and not_json is not None:
            not_json[path] = complaint
    return origin


def _refuse_single_underscore(name: str, words: list[str], known: set[str]) -> None:
    table, _, key = words[0].partition("_")
    if table in known and key:
        right = PREFIX + "__".join([table, key, *words[1:]]).upper()
        raise ConfigError(f"{name}: use two underscores between levels: {right}")


def _value(name: str, text: str) -> tuple[Any, str]:
    """The value, and why it is not JSON although it begins like it."""
    if len(text) > 1 and text[0] in "\"'" and text[-1] == text[0]:
        raise ConfigError(f"{name}: remove the quotes around the value: they would be part of it")
    if not text.lstrip().startswith(("[", "{")):
        return text, ""
    try:
        return json.loads(text), ""
    except (ValueError, RecursionError) as error:  # a name may begin so: [::1]
        return text, f"not valid JSON: {error}"


def _put(document: dict[str, Any], name: str, words: list[str], value: Any) -> KeyPath:
    """Set the element at ``words``; returns its path."""
    path: KeyPath = ()
    here: Any = document
    for word, is_last in zip(words, [False] * (len(words) - 1) + [True], strict=True):
        key: str | int = word
        if isinstance(here, list):
            if not word.isdigit() or int(word) >= len(here):
                raise ConfigError(
                    f"{name}: {'.'.join(map(str, path))} has {len(here)} "
                    f"element{'' if len(here) == 1 else 's'}, counted from 0: no {word!r}"
                )
            key = int(word)
        elif not isinstance(here, dict):
            raise ConfigError(f"{name}: {'.'.join(map(str, path))} is a value, not a table")
        path = (*path, key)
        if is_last:
            here[key] = value
        else:
            here = here.setdefault(key, {}) if isinstance(here, dict) else here[key]
    return path
