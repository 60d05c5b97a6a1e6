"""The page of measurements. Every benchmark writes its own section."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"


def write_section(name: str, text: str, page: Path = PAGE) -> None:
    """Write ``text`` between ``<!-- name -->`` and ``<!-- /name -->``.

    Raises ``ValueError`` if the page has no such section.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before = page.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(before):
        raise ValueError(f"{page}: no section {begin} ... {end}")
    section = f"{begin}\n{text.strip()}\n{end}"
    page.write_text(pattern.sub(lambda _: section, before, count=1), encoding="utf-8")
