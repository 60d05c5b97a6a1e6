"""The wheel of Auscult, and wheels of what it requires that need no download."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pin_constraints
import setup_environment
from packaging.requirements import Requirement

from tests.declarations import PROJECT


def build_wheel(folder: Path) -> Path:
    """The wheel as `pip install .` builds it, from a copy without build leftovers."""
    source, out = folder / "source", folder / "wheel"
    source.mkdir(parents=True)
    setup_environment.copy_sources(source)
    command = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(out), str(source)], check=True)
    return next(out.glob("auscult-*.whl"))


def required(extras: Iterable[str]) -> set[str]:
    """The distributions that Auscult with ``extras`` requires, directly or indirectly."""
    texts = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][one] for one in extras)]
    direct = [Requirement(text) for group in texts for text in group]
    return {
        name for one in direct for name in pin_constraints.closure(one.name, frozenset(one.extras))
    }


def write_required_wheels(folder: Path, extras: Iterable[str]) -> list[Path]:
    """A wheel for each requirement of Auscult with ``extras``, and the folders that they need.

    Each has the metadata of the installed distribution, so that pip resolves as with an index.
    In place of its files it has their path: a folder below ``folder`` with links to the installed
    files of this distribution only.
    """
    needed: set[Path] = set()
    for name in sorted(required(extras)):
        distribution = metadata.distribution(name)
        site = Path(str(distribution.locate_file("")))
        needed.add(site.resolve())
        links = folder / "files" / name
        links.mkdir(parents=True)
        for top in {file.parts[0] for file in distribution.files or ()}:
            if top not in {"..", "__pycache__"} and not top.endswith(".dist-info"):
                (links / top).symlink_to(site.resolve() / top)
        _write_wheel(folder, distribution, links)
    return sorted(needed)


def _write_wheel(folder: Path, distribution: metadata.Distribution, links: Path) -> None:
    name = distribution.metadata["Name"].replace("-", "_")
    stem = f"{name}-{distribution.version}"
    texts = {
        "METADATA": distribution.read_text("METADATA") or "",
        "entry_points.txt": distribution.read_text("entry_points.txt") or "",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files = {f"{stem}.dist-info/{one}": text for one, text in texts.items() if text}
    files |= {f"{name}-installed.pth": f"{links}\n"}
    record = f"{stem}.dist-info/RECORD"
    files[record] = "".join(f"{one},,\n" for one in [*files, record])
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for one, text in files.items():
            wheel.writestr(one, text)
