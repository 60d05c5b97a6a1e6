"""A table or a key that a TOML file has twice, in a sentence that says what to do."""

from __future__ import annotations

import tomllib

from monitor.config.toml_lines import KeyPath, Statement, statements


def repetition(text: str) -> tuple[int, str] | None:
    """The line of the repetition, and the sentence, if this is the first mistake of the text.

    None for text without a mistake, or with another one before.
    """
    try:
        return _first(text)
    except ValueError:  # there is a mistake in the syntax before
        return None


def _first(text: str) -> tuple[int, str] | None:
    seen: dict[KeyPath, Statement] = {}
    for one in statements(text):
        earlier = _earlier(one, seen)
        if earlier is not None:
            tomllib.loads(text[: one.start])  # raises for a mistake before
            return one.line, _sentence(one, earlier)
        seen[one.path] = one
    return None


def _earlier(one: Statement, seen: dict[KeyPath, Statement]) -> Statement | None:
    """The statement that ``one`` repeats: a table, a key, or a key that is a value already."""
    path = one.path
    if one.is_array:  # [[notify]] after [notify]
        return seen.get(path[:-1])
    if path in seen:
        return seen[path]
    parts = (path[:depth] for depth in range(len(one.table) + 1, len(path)))
    return next((seen[part] for part in parts if part in seen and seen[part].keys), None)


def _sentence(one: Statement, earlier: Statement) -> str:
    if one.keys or earlier.keys:
        return f"{_name(earlier)} is there twice, also in line {earlier.line}: remove one of them"
    name = _name(one)
    if one.is_array or earlier.is_array:
        here, there = (f"[[{name}]]" if it.is_array else f"[{name}]" for it in (one, earlier))
        return f"{here} repeats {there} of line {earlier.line}: write [[{name}]] in both"
    return (
        f"the table [{name}] is there twice: put the keys into the first one, in line "
        f"{earlier.line}"
    )


def _name(one: Statement) -> str:
    return ".".join(part for part in one.path if isinstance(part, str))
