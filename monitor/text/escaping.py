"""Text that others wrote, made fit for each output: file names, devices, programs, brokers.

Python keeps bytes of a file name that are not UTF-8 as lone surrogates, which no output can
encode. Control characters move the cursor of a terminal or begin a new line in a log. Characters
that change the direction of text make a name look like another one.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_FORMULA = re.compile(
    "^[=+@\uff1d\uff0b\uff0d\uff20\t\r-]|(?<=;)(?=[=+@\uff1d\uff0b\uff0d\uff20-])"
)
"""Where a cell begins that a spreadsheet takes for a formula, also with characters of full width.

Where the decimal sign is a comma, spreadsheets divide cells by ``;``.
"""


def one_line(text: object) -> str:
    """Text for a log, a terminal or a state: one line of printable characters.

    Everything else becomes an escape sequence as in a Python string: ``\\n``, ``\\xff``,
    ``\\u202e``.
    """
    line = str(text)
    return line if line.isprintable() else "".join(map(_visible, line))


def encodable(value: Any) -> Any:
    """A JSON value whose texts can be encoded as UTF-8: lone surrogates are escaped."""
    if isinstance(value, str):
        if value.isascii():
            return value
        return "".join(_visible(c) if "\ud800" <= c <= "\udfff" else c for c in value)
    if isinstance(value, dict):
        return {encodable(key): encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(item) for item in value]
    return value


def json_text(value: Any, *, indent: int | None = None) -> str:
    """JSON that every reader accepts and no terminal misunderstands.

    Raises ``ValueError`` for NaN and infinite numbers.
    """
    separators = (",", ":") if indent is None else None
    text = json.dumps(
        encodable(value),
        indent=indent,
        separators=separators,
        allow_nan=False,
        ensure_ascii=False,
        default=str,
    )
    if text.isprintable():
        return text
    # What is not printable can only be inside a string, except for the line breaks of an indent.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def csv_cell(text: object) -> str:
    """Text for a cell of a CSV file: one line, and never a formula of a spreadsheet."""
    return _FORMULA.sub(lambda found: "'" + found[0], one_line(text))


def html_text(text: object) -> str:
    """Text for an element or a quoted attribute of an HTML page."""
    import html  # noqa: PLC0415 - 0.7 MB that only pages need

    return html.escape(one_line(text), quote=True)


def _visible(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if named is not None:
        return named
    if unicodedata.category(character) == "Zs":
        return character
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )
