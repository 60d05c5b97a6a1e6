"""What would be right in a line that is not TOML."""

from __future__ import annotations

import re

_LINE = re.compile(r"at line (\d+)")
_HINTS = (
    (re.compile("=\\s*[\u00ab\u00bb\u2018-\u201f]"), "write straight quotes"),
    (re.compile(r'"[^"]*\\'), r"in double quotes, write / or \\ for \; or use single quotes"),
    (re.compile(r"^[^#\"']*=\s*[-+]?\d+,\d"), "write a decimal point, not a comma"),
    (re.compile(r"^\s*[\w.-]+\s*:"), "write key = value, not key: value"),
    (re.compile(r"=\s*(True|False|TRUE|FALSE)\b"), "write true or false in small letters"),
    (re.compile(r"^\s*[\w.-]+\s*=\s*[^\s\d\"'\[{+-]"), "write a text in quotes"),
)


def hint(text: str, error: str) -> str:
    """The hint for a message of ``tomllib`` about ``text``, with "; " before it, or nothing.

    It contains no part of the text, which may be secret.
    """
    found = _LINE.search(error)
    lines = text.splitlines()
    if found is None or not 1 <= int(found[1]) <= len(lines):
        return ""
    line = lines[int(found[1]) - 1]
    return next((f"; {says}" for pattern, says in _HINTS if pattern.search(line)), "")
