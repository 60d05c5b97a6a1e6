"""``AUSCULT_`` environment variables laid over the values of ``config.toml``.

``AUSCULT_MQTT__HOST=broker`` sets ``mqtt.host``: a double underscore goes one
level down and a number picks an element, as in ``AUSCULT_MACHINE__0__BUNDLE``.
A value that begins with ``[`` or ``{`` is read as JSON, any other is taken as
text and converted to the key's type.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping
from typing import Any

from monitor.config.toml_lines import KeyPath
from monitor.errors import ConfigError

PREFIX = "AUSCULT_"


def overlay(
    document: dict[str, Any],
    environ: Mapping[str, str],
    tables: Iterable[str],
    verbatim: Container[KeyPath] = (),
) -> dict[KeyPath, str]:
    """Put the variables that name one of ``tables`` into ``document``, in place.

    Returns which variable each of the paths set came from. Variables whose first
    word is no table are somebody else's and left alone. The paths in ``verbatim``
    (secrets) are text whatever they begin with.

    Raises ``ConfigError`` for one underscore where two belong, for an element
    that does not exist and for broken JSON.
    """
    known = set(tables)
    origin: dict[KeyPath, str] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        words = name.removeprefix(PREFIX).lower().split("__")
        if words[0] not in known:
            _refuse_single_underscore(name, words, known)
            continue
        value = environ[name] if tuple(words) in verbatim else _value(name, environ[name])
        origin[_put(document, name, words, value)] = name
    return origin


def _refuse_single_underscore(name: str, words: list[str], known: set[str]) -> None:
    table, _, key = words[0].partition("_")
    if table in known and key:
        right = PREFIX + "__".join([table, key, *words[1:]]).upper()
        raise ConfigError(f"{name}: two underscores go one level down: write {right}")


def _value(name: str, text: str) -> Any:
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not valid JSON: {error}") from None


def _put(document: dict[str, Any], name: str, words: list[str], value: Any) -> KeyPath:
    """Set the element that ``words`` lead to; the path to it."""
    path: KeyPath = ()
    here: Any = document
    for word, is_last in zip(words, [False] * (len(words) - 1) + [True], strict=True):
        key: str | int = word
        if isinstance(here, list):
            if not word.isdigit() or int(word) >= len(here):
                raise ConfigError(
                    f"{name}: {'.'.join(map(str, path))} has {len(here)} elements, "
                    f"counted from 0: {word!r} is none of them"
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
