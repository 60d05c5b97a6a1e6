"""Strategies for hypothesis: changed valid inputs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Edit = Callable[[bytes], bytes]

_EXTREMES = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 1 << 30, (1 << 31) - 1, 1 << 31]
_EXTREMES += [(1 << 32) - 1, 1 << 32, 10**9, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]

JSON_EXTREMES: list[Any] = [
    *(None, True, False, 0, 1, -1, 0.5, -0.0, 1e308, -1e308, 1e-320, float("nan"), float("inf")),
    *(10**9, -(10**9), 2**31, 2**53, 2**63, 2**64, 10**400, "", "x", "\0", "é" * 300, "1e9"),
    *([], {}, [[]], [0] * 50, {"": 0}, {"a": {"b": {}}}, "../../etc/passwd", "/dev/zero"),
]
"""Extreme values."""

TOML_EXTREMES = [
    *("-1", "0", "1e999", "nan", "inf", "1_000_000_000", "9223372036854775807", "true", '""'),
    *("[]", "{}", "[[]]", '"\\u0000"', '"é"', "1979-05-27", "07:32:00", "'''", '"../.."', "-0.0"),
    *("0x7fffffff", '"' + "x" * 5000 + '"', "[" * 200 + "]" * 200, "[" * 5000, '["/bin/true"]'),
]
"""The same as values of keys."""


def edited(seeds: Sequence[bytes], *, most: int = 6) -> st.SearchStrategy[bytes]:
    """One of the seeds with up to ``most`` changed bytes, mainly in the header."""
    return st.builds(_apply, st.sampled_from(list(seeds)), st.lists(_edits(), max_size=most))


def edited_json(document: dict[str, Any], *, most: int = 3) -> st.SearchStrategy[bytes]:
    """A document in which values are replaced, removed or added."""
    paths = list(_paths(document))
    change = st.tuples(
        st.sampled_from(paths), st.sampled_from(["put", "put", "remove", "add", "wrap"]), _values()
    )
    return st.builds(
        lambda changes: json.dumps(_changed(document, changes)).encode(),
        st.lists(change, min_size=1, max_size=most),
    )


def edited_toml(text: str, *, most: int = 3) -> st.SearchStrategy[bytes]:
    """A text in which values of keys are replaced, or lines repeated or removed."""
    lines = text.splitlines()
    keys = [index for index, line in enumerate(lines) if re.match(r"^[\w.-]+ *=|^\[", line)]
    values = st.sampled_from(TOML_EXTREMES)
    change = st.tuples(st.sampled_from(keys), st.sampled_from(["put", "double", "remove"]), values)

    def build(changes: list[tuple[int, str, str]]) -> bytes:
        changed: list[str | None] = list(lines)
        for index, what, value in changes:
            line = lines[index]
            if what == "remove":
                changed[index] = None
            elif what == "double":
                changed[index] = f"{line}\n{line}"
            elif "=" in line:
                changed[index] = f"{line.split('=')[0]}= {value}"
            else:
                changed[index] = f"{line}\nunknown = {value}"
        return "\n".join(line for line in changed if line is not None).encode()

    return st.builds(build, st.lists(change, min_size=1, max_size=most))


def _edits() -> st.SearchStrategy[Edit]:
    position = st.integers(0, 100) | st.integers(0, 1 << 18)
    number = st.builds(
        lambda value, size, order: (value % (1 << (8 * size))).to_bytes(size, order),
        st.sampled_from(_EXTREMES),
        st.sampled_from([1, 2, 4, 8]),
        st.sampled_from(["little", "big"]),
    )
    return st.one_of(
        st.builds(_put, position, number),
        st.builds(_put, position, st.binary(min_size=1, max_size=16)),
        st.builds(_insert, position, st.binary(min_size=1, max_size=64)),
        st.builds(_remove, position, st.integers(1, 4096)),
        st.builds(_flip, position, st.integers(0, 7)),
        st.builds(_repeat, position, st.integers(1, 256)),
        st.builds(_cut, position),
    )


def _apply(seed: bytes, edits: list[Edit]) -> bytes:
    for edit in edits:
        seed = edit(seed)
    return seed


def _put(position: int, part: bytes) -> Edit:
    def edit(data: bytes) -> bytes:
        at = position % (len(data) + 1)
        return data[:at] + part + data[at + len(part) :]

    return edit


def _insert(position: int, part: bytes) -> Edit:
    def edit(data: bytes) -> bytes:
        at = position % (len(data) + 1)
        return data[:at] + part + data[at:]

    return edit


def _remove(position: int, length: int) -> Edit:
    def edit(data: bytes) -> bytes:
        at = position % (len(data) + 1)
        return data[:at] + data[at + length :]

    return edit


def _flip(position: int, bit: int) -> Edit:
    def edit(data: bytes) -> bytes:
        at = position % (len(data) or 1)
        return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :] if data else data

    return edit


def _repeat(position: int, length: int) -> Edit:
    def edit(data: bytes) -> bytes:
        at = position % (len(data) + 1)
        return data[:at] + data[at : at + length] + data[at:]

    return edit


def _cut(position: int) -> Edit:
    return lambda data: data[: position % (len(data) + 1)]


def _values() -> st.SearchStrategy[Any]:
    return st.one_of(
        st.sampled_from(JSON_EXTREMES),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
    )


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values inside a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[tuple[Any, ...]] = []
    for key, inner in items:
        found.append((*path, key))
        if isinstance(inner, dict | list):
            found += _paths(inner, (*path, key))
    return found


def _changed(document: Any, changes: list[tuple[tuple[Any, ...], str, Any]]) -> Any:
    changed = json.loads(json.dumps(document))
    for path, what, value in changes:
        holder = changed
        try:
            for key in path[:-1]:
                holder = holder[key]
            if what == "remove":
                del holder[path[-1]]
            elif what == "wrap":
                holder[path[-1]] = [holder[path[-1]]]
            elif what == "add" and isinstance(holder, dict):
                holder[f"{path[-1]}2"] = value
            else:
                holder[path[-1]] = value
        except (KeyError, IndexError, TypeError):  # removed by an earlier change
            continue
    return changed
