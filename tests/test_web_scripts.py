"""The scripts of the web page: nothing missing, nothing unused, nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STATIC = Path(__file__).resolve().parent.parent / "monitor" / "web" / "static"
TEMPLATES = STATIC.parent / "templates"
SCRIPTS = sorted(path for path in STATIC.rglob("*.js") if "vendor" not in path.parts)
IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "(\.[\w/.-]+)";$', re.MULTILINE)


def exports(path: Path) -> set[str]:
    """The names that a script exports."""
    text = path.read_text(encoding="utf-8")
    return set(re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", text, re.MULTILINE))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_a_script_imports_what_exists_and_uses_it(path: Path) -> None:
    """A page would stay empty, or load files that it does not need."""
    text = path.read_text(encoding="utf-8")
    for names, source in IMPORT.findall(text):
        assert set(names.split(", ")) <= exports((path.parent / source).resolve())
        for name in names.split(", "):
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{name} is not used"
    assert len(re.findall(r"\bimport\b", text)) == len(IMPORT.findall(text)) + text.count(
        "import.meta"
    )


def test_every_export_is_used_by_another_script() -> None:
    """Code that nothing uses would be loaded by every page."""
    imported = {
        ((path.parent / source).resolve(), name)
        for path in SCRIPTS
        for names, source in IMPORT.findall(path.read_text(encoding="utf-8"))
        for name in names.split(", ")
    }
    unused = [
        f"{path.name}: {name}"
        for path in SCRIPTS
        for name in exports(path)
        if (path, name) not in imported
    ]
    assert unused == []


def test_every_file_is_used_and_every_used_file_exists() -> None:
    """A page would ask for a file that is gone."""
    pages = "".join(path.read_text(encoding="utf-8") for path in TEMPLATES.iterdir())
    named = set(re.findall(r"url\('static/([^']+)'\)", pages))
    assert all((STATIC / name).is_file() for name in named)
    imported = {
        (path.parent / source).resolve()
        for path in SCRIPTS
        for _, source in IMPORT.findall(path.read_text(encoding="utf-8"))
    }
    files = {path for path in STATIC.rglob("*") if path.is_file()}
    notices = {path for path in files if path.name in {"LICENSE", "README.md"}}
    assert files - notices == imported | {STATIC / name for name in named}


@pytest.mark.parametrize("path", sorted(TEMPLATES.iterdir()), ids=lambda path: path.name)
def test_templates_have_no_code_and_no_style_inside(path: Path) -> None:
    """The content security policy would block it, or have to allow it."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\son\w+\s*=|\sstyle\s*=|<style|javascript:", text)
    assert not re.search(r"<script(?![^>]*(\ssrc=|application/json))", text)
    assert not re.search(r"""(?:href|src|action)="(?!\{\{ ?url\(|#)""", text)
