"""The README's example in Python runs; commands and versions in the documents are right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from monitor import __version__
from tests.bundles import SPEC, machine_sound, make_bundle

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    *(page for name in ("docs", "deploy", "examples") for page in (ROOT / name).rglob("*.md")),
]


def test_the_library_example_scores_a_recording(tmp_path: Path) -> None:
    """A user who copies the example gets an error, or no alert for a faulty machine."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    make_bundle(tmp_path / "pump.bundle")
    sound = np.concatenate((machine_sound(6.0), machine_sound(20.0, fault=0.1)))
    soundfile.write(tmp_path / "monday.wav", sound, SPEC.sample_rate_hz)
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"\d+\.\d s: \d+\.\d\d", lines[0])
    assert re.fullmatch(r"raised at \d+\.\d s", lines[-1])


def test_documents_show_this_version() -> None:
    """A reader would compare the output of a command with that of another version."""
    shown = {
        (page.name, version)
        for page in PAGES
        for version in re.findall(r"auscult[ _](\d+\.\d+\.\d+)", page.read_text(encoding="utf-8"))
    }
    assert shown == {("README.md", __version__), ("operating.md", __version__)}


def test_documents_install_into_a_virtual_environment() -> None:
    """Debian and Ubuntu refuse `pip install` outside one."""
    for page in PAGES:
        for line in page.read_text(encoding="utf-8").splitlines():
            if re.match(r"\s*(\$ )?pip install", line) or re.search(r"`pip install [^`]*'", line):
                raise AssertionError(f"{page.name}: {line}")


WORDS = re.compile(
    r"\b(?:un)?heard\b|\btold\b|\b[Ww]hoever\b|\b[Nn]obody knows\b"
    r"|_(?:heard|told)\b|\b_?(?:heard|told)_(?!s\b)"
)
"""Against docs/style.md: a program receives and sends. ``heard_s`` is in the files of learning."""


def test_the_words_are_literal() -> None:
    """A reader who learned English at school would not know what "heard" means for a program."""
    programs = (
        page
        for name in ("auscult", "monitor", "training", "tests", "benchmarks", "tools", "examples")
        for page in (ROOT / name).rglob("*.py")
    )
    left_out = {ROOT / "docs" / "style.md", ROOT / "tests" / "test_readme.py"}
    found = [
        f"{page.relative_to(ROOT)}:{number}: {line.strip()}"
        for page in [*PAGES, ROOT / "CHANGELOG.md", ROOT / "config.toml", *programs]
        if page not in left_out
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
        if WORDS.search(line) and "is_told" not in line
    ]
    assert found == []
