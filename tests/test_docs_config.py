"""The snippets of the documents are valid in the shipped `config.toml`, added as the text says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from monitor.config.settings import load_config
from monitor.config.toml_lines import KeyPath, statements

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = (ROOT / "config.toml").read_text(encoding="utf-8")
IN_ITS_TABLE = "already has"
"""In the paragraph before keys of a table that `config.toml` has. Other snippets are appended."""
_SNIPPET = re.compile(r"^ *```toml\n(.*?)\n *```", re.DOTALL | re.MULTILINE)


def _snippets() -> Iterator[tuple[str, str, str]]:
    """Each document with each snippet for `config.toml`, and the paragraph before it."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
    for page in sorted([*pages, *(ROOT / "examples").rglob("*.md")]):
        if page.name != "fleet.md":  # its snippets are fleet files
            text = page.read_text(encoding="utf-8")
            for found in _SNIPPET.finditer(text):
                before = text[: found.start()].rstrip("\n").rpartition("\n\n")[2]
                yield page.name, before, dedent(found[1])


def _put_into_tables(snippet: str) -> str:
    """`config.toml` with the keys of the snippet in its own tables."""
    lines: list[str | None] = list(SHIPPED.splitlines())
    line_of: dict[KeyPath, int] = {one.path: one.line - 1 for one in statements(SHIPPED)}
    for one in statements(snippet):
        if one.keys:
            table = line_of[one.table]
            if (old := line_of.get(one.path)) is not None:
                lines[old] = None
            lines[table] = f"{lines[table]}\n{snippet[one.start : one.end]}"
    return "\n".join(line for line in lines if line is not None)


@pytest.mark.parametrize(("page", "before", "snippet"), list(_snippets()))
def test_a_snippet_of_the_documents_is_accepted(
    tmp_path: Path, page: str, before: str, snippet: str
) -> None:
    """A user who follows the text gets a configuration that is refused."""
    wanted = {one.path for one in statements(snippet)}
    tables = {one.path for one in statements(SHIPPED) if not one.keys}
    if IN_ITS_TABLE in before:
        for name in wanted & tables:
            assert f"`[{'.'.join(map(str, name))}]`" in before, page
        text = _put_into_tables(snippet)
    else:
        if "Replace `pump-7` and `fan-2`" in before:
            snippet = snippet.replace('"pump-7", "fan-2"', '"machine-1"')
        text = f"{SHIPPED}\n{snippet}\n"
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    load_config(path, {})


def test_there_are_snippets() -> None:
    """The other test would test nothing."""
    pages = {page for page, _, _ in _snippets()}
    assert {"privacy.md", "notifications.md", "web.md", "commissioning.md", "README.md"} <= pages
