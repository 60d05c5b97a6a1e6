"""Make the virtual environment of a checkout: pinned packages, torch without CUDA, torchaudio.

Only the standard library is used: this file runs before anything is installed.

Usage: PYTHON tools/setup_environment.py --venv DIR [--extra NAME]... [--torch-index URL] [--copy]

Auscult itself is installed editable, for work on it; with --copy it is independent of the checkout.

--torch-index names a package index with CPU builds of torch. Python's own index has only the
build for CUDA, with gigabytes of libraries that a machine without a GPU never loads. Where the
index does not answer, or with an empty URL, torch comes from wherever pip is set up to look: the
pinned version is the same. Installing for a GPU: make TORCH_INDEX=
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST_PYTHON = (3, 11)
INDEX_PATIENCE_S = 10.0
FROM_TORCH_INDEX = ("torch", "torchaudio")
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "monitor", "training")


class SetupError(Exception):
    """The environment cannot be made; the message says what to do about it."""


def pinned(name: str) -> str:
    """The requirement `name==version` as constraints.txt has it."""
    for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines():
        if re.fullmatch(rf"{re.escape(name)}==\S+", line.strip()):
            return line.strip()
    raise SetupError(f"{CONSTRAINTS} does not pin {name}")


def make_venv(venv: Path) -> Path:
    """The Python of the virtual environment at `venv`, made if it is not there yet."""
    python = venv / "bin" / "python"
    if python.exists():
        return python
    if importlib.util.find_spec("ensurepip") is None:
        _install_venv_package()
    done = subprocess.run(  # noqa: S603 - this interpreter and a path from the Makefile
        [sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SetupError(
            f"cannot make a virtual environment in {venv}: {(done.stdout + done.stderr).strip()}"
        )
    return python


def _install_venv_package() -> None:
    """Debian ships `venv` apart from Python: fetch it where that needs no question."""
    from system_packages import apt_install  # noqa: PLC0415 - needed on bare machines only

    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if not apt_install([package]):
        raise SetupError(
            f"this Python cannot make virtual environments; "
            f"install {package} (sudo apt-get install {package}) and try again"
        )


def pip_install(python: Path, *arguments: str) -> None:
    """Run pip without progress and without questions; its own message is the error."""
    command = [str(python), "-m", "pip", "install", "-qq", "--progress-bar", "off"]
    command += ["--no-input", "--disable-pip-version-check", "--constraint", str(CONSTRAINTS)]
    done = subprocess.run([*command, *arguments], check=False, stdin=subprocess.DEVNULL)  # noqa: S603 - the environment's pip
    if done.returncode != 0:
        raise SetupError(f"pip could not install {' '.join(arguments)}")


def index_answers(url: str) -> bool:
    """Whether a package index at `url` knows torch, asked once with a short patience."""
    address = url.rstrip("/") + "/torch/"
    try:
        with urllib.request.urlopen(address, timeout=INDEX_PATIENCE_S) as answer:  # noqa: S310 - the Makefile's or the user's own URL
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def installed_version(python: Path, name: str) -> str | None:
    """The version of distribution `name` in the environment, without a local suffix (+cpu)."""
    ask = f"import importlib.metadata as m; print(m.version({name!r}))"
    done = subprocess.run(  # noqa: S603 - the environment's Python and a constant
        [str(python), "-c", ask], capture_output=True, text=True, check=False
    )
    return done.stdout.strip().partition("+")[0] if done.returncode == 0 else None


def install_torch(python: Path, torch_index: str) -> None:
    """torch and torchaudio from `torch_index` where it answers; what they require follows later.

    Both are asked for without their requirements, so that nothing but them can come from there.
    """
    wanted = [pinned(name) for name in FROM_TORCH_INDEX]
    wanted = [
        requirement
        for requirement in wanted
        if installed_version(python, requirement.partition("==")[0])
        != requirement.partition("==")[2]
    ]
    if not wanted:
        return
    if torch_index and sys.platform == "linux":
        if index_answers(torch_index):
            try:
                pip_install(python, "--no-deps", "--index-url", torch_index, *wanted)
            except SetupError:
                print(f"{torch_index} does not have {' '.join(wanted)}", file=sys.stderr)
            else:
                return
        print(
            f"{torch_index} is of no use here: torch comes from the configured Python index, "
            "where it may be the larger build for CUDA",
            file=sys.stderr,
        )
    pip_install(python, "--no-deps", *wanted)


def install_auscult(python: Path, extras: list[str], *, copy: bool) -> None:
    """Auscult and its requirements: editable, or as a copy built outside the checkout."""
    suffix = f"[{','.join(extras)}]" if extras else ""
    if not copy:
        pip_install(python, "--no-build-isolation", "--editable", f"{ROOT}{suffix}")
        return
    with tempfile.TemporaryDirectory(prefix="auscult-") as folder:
        for name in SOURCES:
            source, target = ROOT / name, Path(folder) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, target)
        pip_install(python, "--no-build-isolation", f"{folder}{suffix}")


def set_up(venv: Path, extras: list[str], torch_index: str, *, copy: bool) -> None:
    """Everything, in the order in which nothing is installed twice."""
    python = make_venv(venv)
    pip_install(python, pinned("setuptools"))
    if "train" in extras:
        install_torch(python, torch_index)
    install_auscult(python, extras, copy=copy)
    if "train" in extras:
        fix = ROOT / "tools" / "torchaudio_importable.py"
        if subprocess.run([str(python), str(fix)], check=False).returncode != 0:  # noqa: S603 - our own script
            raise SetupError("torch and torchaudio do not work together")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the virtual environment of a checkout.")
    parser.add_argument("--venv", type=Path, required=True)
    parser.add_argument("--extra", action="append", default=[], dest="extras")
    parser.add_argument("--torch-index", default="")
    parser.add_argument("--copy", action="store_true")
    options = parser.parse_args()
    if sys.version_info < OLDEST_PYTHON:
        print("Python 3.11 or newer is needed: make PYTHON=python3.11", file=sys.stderr)
        return 69
    os.environ.setdefault("PIP_ROOT_USER_ACTION", "ignore")
    try:
        set_up(options.venv, options.extras, options.torch_index, copy=options.copy)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 69
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
