"""The line of each key in a TOML file, for error messages.

``tomllib`` gives values without positions. This scanner does not check the syntax: it only
finds where values end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]

_HEADER = re.compile(r"[ \t]*(\[\[?)(.*)")
_STRING = re.compile(
    r'''
      """ (?: \\. | [^\\] )*? "{3,5}
    | \'{3} .*? \'{3,5}
    | " (?: \\. | [^"\\\n] )* "
    | \' [^\'\n]* \'
    ''',
    re.DOTALL | re.VERBOSE,
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Statement:
    """A table header, or a key with its value.

    ``start``, ``end``: its characters are ``text[start:end]``. ``line``: of its start, from 1.
    ``table``: the path of the table that it opens, or that the key is in. ``keys``: the parts of
    the dotted key; empty for a header. ``is_array``: a header of an array of tables.
    """

    start: int
    end: int
    line: int
    table: KeyPath
    keys: tuple[str, ...]
    is_array: bool = False

    @property
    def path(self) -> KeyPath:
        """What the statement sets."""
        return (*self.table, *self.keys)


def statements(text: str) -> Iterator[Statement]:
    """Each header and each key of a TOML document, in order.

    After the first mistake in the syntax, they can be wrong, or ``ValueError`` is raised.
    """
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
    position, line = 0, 1
    while position < len(text):
        end = _statement_end(text, position)
        statement = text[position:end]
        if header := _HEADER.match(statement):
            is_array = header.group(1) == "[["
            table = _enter(_keys(header.group(2)), counts, is_array=is_array)
            yield Statement(position, end, line, table, (), is_array)
        elif keys := _keys(statement):
            yield Statement(position, end, line, table, tuple(keys))
        line += statement.count("\n") + 1
        position = end + 1


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line number (from 1) of every key and table header of a valid TOML document.

    An element of an array of tables has its index in the path, as in
    ``("machine", 0, "id")``. Keys inside inline tables have no entry: ``line_of`` gives
    the line of the key that contains them.
    """
    lines: dict[KeyPath, int] = {}
    for one in statements(text):
        for depth in range(len(one.table) + (1 if one.keys else 0), len(one.path) + 1):
            lines.setdefault(one.path[:depth], one.line)
    return lines


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int | None:
    """The line of ``path``, or of the nearest key or table around it."""
    for depth in range(len(path), 0, -1):
        if (line := lines.get(path[:depth])) is not None:
            return line
    return None


def _statement_end(text: str, start: int) -> int:
    """The position of the newline (or the end of the text) that ends a statement."""
    depth, position = 0, start
    at_header = _HEADER.match(text, start) is not None
    while position < len(text):
        character = text[position]
        if character in "\"'":
            string = _STRING.match(text, position)
            position = string.end() if string else position + 1
            continue
        if character == "#":
            newline = text.find("\n", position)
            position = newline if newline >= 0 else len(text)
            continue
        if character == "\n" and depth <= 0:
            return position
        if not at_header:
            depth += (character in "[{") - (character in "]}")
        position += 1
    return len(text)


def _keys(text: str) -> list[str]:
    """The dotted key at the start of ``text``; empty for a comment or a blank line."""
    keys: list[str] = []
    rest = text.lstrip()
    while rest:
        if string := _STRING.match(rest):
            keys.append(_unquote(string.group()))
            rest = rest[string.end() :].lstrip()
        elif bare := _BARE.match(rest):
            keys.append(bare.group())
            rest = rest[bare.end() :].lstrip()
        if not rest.startswith("."):
            break
        rest = rest[1:].lstrip()
    return keys


def _unquote(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1]
    return text[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape")


def _enter(keys: list[str], counts: dict[KeyPath, int], *, is_array: bool) -> KeyPath:
    """The path of a table header, with the index of every array in it."""
    path: KeyPath = ()
    for depth, key in enumerate(keys):
        path = (*path, key)
        is_last = depth == len(keys) - 1
        if is_last and is_array:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path
