"""Build the Debian package of Auscult: the service without the trainer.

    PYTHON tools/debian_package.py --out dist [--wheels FOLDER] [--version VERSION]

It is for the Python of the interpreter that runs this script, and for the architecture of this
computer, because it contains the pinned wheels of the requirements. `--wheels` takes them from a
folder instead of the package index. Needs `dpkg-deb`, and pip with setuptools. The commands in
deploy/debian run when the package is installed, upgraded and removed.
"""

from __future__ import annotations

import argparse
import email.utils
import gzip
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setup_environment import CONSTRAINTS, ROOT, copy_sources

DEPLOY = ROOT / "deploy"
EXTRAS = ("web", "notify")
LIBRARY = "/usr/lib/auscult"
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


class PackageError(Exception):
    """The package cannot be built; the message contains the remedy."""


def run(*command: str | Path) -> str:
    """The output of a program. Raises `PackageError`."""
    done = subprocess.run(  # noqa: S603 - dpkg and this interpreter
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PackageError(f"{command[0]} failed: {(done.stdout + done.stderr).strip()}")
    return done.stdout.strip()


def source_version() -> str:
    """The version that the package of Python has."""
    text = (ROOT / "monitor" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise PackageError("monitor/__init__.py has no version")
    return found[1]


def make_wheels(folder: Path, given: Path | None) -> None:
    """Put Auscult and everything that it requires into a folder, in the pinned versions."""
    with tempfile.TemporaryDirectory(prefix="auscult-") as copied:
        copy_sources(Path(copied))
        wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation"]
        wheel += ["--constraint", str(CONSTRAINTS), "--wheel-dir", str(folder)]
        if given is not None:
            wheel += ["--no-index", "--find-links", str(given)]
        run(*wheel, f"{copied}[{','.join(EXTRAS)}]")


def tree(root: Path, version: str, wheels: Path | None) -> None:
    """Everything that the package contains, below `root`."""
    library = root / LIBRARY.lstrip("/")
    (library / "wheels").mkdir(parents=True)
    make_wheels(library / "wheels", wheels)
    write(library / "requirements.txt", f"auscult[{','.join(EXTRAS)}]\n")
    (library / "root").mkdir()  # the root directory of auscult-replay.service
    units = root / "lib" / "systemd" / "system"
    for unit in sorted((*DEPLOY.glob("*.service"), *DEPLOY.glob("*.path"))):
        text = unit.read_text(encoding="utf-8").replace("/opt/auscult", LIBRARY)
        write(units / unit.name, text)
    write(root / "etc/auscult/config.toml", (ROOT / "config.toml").read_text(encoding="utf-8"))
    write(root / "etc/auscult/replay.env", (DEPLOY / "replay.env").read_text(encoding="utf-8"))
    command = root / "usr/bin/auscult"
    write(command, f'#!/bin/sh\nexec {LIBRARY}/venv/bin/auscult "$@"\n', mode=0o755)
    documents = root / "usr/share/doc/auscult"
    for name in ("README.Debian", "copyright"):
        write(documents / name, (DEPLOY / "debian" / name).read_text(encoding="utf-8"))
    shutil.copytree(DEPLOY / "drop-ins", documents / "drop-ins")
    shutil.copytree(DEPLOY / "mosquitto", documents / "mosquitto")
    changes = (
        f"auscult ({version}) stable; urgency=medium\n\n  * See CHANGELOG.md.\n\n"
        f" -- Auscult maintainers <packages@auscult.example.org>  {built_at()}\n"
    )
    (documents / "changelog.gz").write_bytes(gzip.compress(changes.encode(), 9, mtime=0))


def built_at() -> str:
    """The time of the build; `SOURCE_DATE_EPOCH` sets it."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return email.utils.formatdate(float(epoch) if epoch else None)


def write(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file and make its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def control(root: Path, version: str) -> None:
    """The folder DEBIAN: what dpkg needs of the package and runs."""
    minor = sys.version_info.minor
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    values = {
        "VERSION": version,
        "ARCHITECTURE": run("dpkg", "--print-architecture"),
        "INSTALLED_SIZE": str(sum(path.stat().st_size for path in files) // 1024),
        "PYTHON": f"3.{minor}",
        "NEXT_PYTHON": f"3.{minor + 1}",
    }

    def filled(name: str) -> str:
        text = (DEPLOY / "debian" / name).read_text(encoding="utf-8")
        for key, value in values.items():
            text = text.replace(f"@{key}@", value)
        return text

    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  "
        f"{path.relative_to(root)}\n"
        for path in files
        if path.parts[len(root.parts)] != "etc"
    ]
    folder = root / "DEBIAN"
    write(folder / "control", filled("control"))
    write(folder / "conffiles", "/etc/auscult/config.toml\n/etc/auscult/replay.env\n")
    write(folder / "md5sums", "".join(sums))
    for name in SCRIPTS:
        write(folder / name, filled(name), mode=0o755)


def build(out: Path, version: str, wheels: Path | None) -> Path:
    """The package in the folder `out`."""
    if shutil.which("dpkg-deb") is None:
        raise PackageError("dpkg-deb is missing: build the package on Debian or Ubuntu")
    if importlib.util.find_spec("setuptools") is None:
        raise PackageError("setuptools is missing: use `make deb`, which makes an environment")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="auscult-deb-") as folder:
        root = Path(folder) / "auscult"
        root.mkdir(mode=0o755)
        tree(root, version, wheels)
        control(root, version)
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        architecture = run("dpkg", "--print-architecture")
        package = out / f"auscult_{version}_{architecture}.deb"
        # Wheels are compressed already.
        run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", root, package)
    return package


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the Debian package of Auscult.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the package")
    parser.add_argument("--wheels", type=Path, help="folder with the wheels of the requirements")
    parser.add_argument("--version", help="of the package (default: that of Auscult)")
    options = parser.parse_args()
    try:
        print(build(options.out, options.version or source_version(), options.wheels))
    except PackageError as error:
        print(error, file=sys.stderr)
        return 69
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
