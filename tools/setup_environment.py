"""Create a virtual environment with Auscult and the pinned versions of its requirements.

Uses the standard library only, because nothing else is installed yet.

Usage: PYTHON tools/setup_environment.py --venv DIR [--extra NAME]... [--torch-index URL] [--copy]

Auscult is installed editable. With --copy it is installed as a copy, independent of the checkout.

--torch-index is a package index with CPU builds of torch. The Python package index has only the
CUDA build, which is gigabytes larger. If the URL is empty or not reachable, torch comes from pip's
default index, in the same pinned version. For a computer with a GPU: make TORCH_INDEX=
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
INDEX_TIMEOUT_S = 10.0
FROM_TORCH_INDEX = ("torch", "torchaudio")
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "auscult", "monitor", "training")


class SetupError(Exception):
    """The environment cannot be created; the message contains the remedy."""


def pinned(name: str) -> str:
    """The line `name==version` of constraints.txt; `SetupError` if there is none."""
    for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines():
        if re.fullmatch(rf"{re.escape(name)}==\S+", line.strip()):
            return line.strip()
    raise SetupError(f"{CONSTRAINTS} does not pin {name}")


def make_venv(venv: Path) -> Path:
    """The Python of the virtual environment `venv`, which is created if it does not exist."""
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
            f"cannot create a virtual environment in {venv}: {(done.stdout + done.stderr).strip()}"
        )
    return python


def _install_venv_package() -> None:
    """Install Debian's package of the module `venv`; `SetupError` if that needs a password."""
    from system_packages import apt_install  # noqa: PLC0415 - needed on bare machines only

    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if not apt_install([package]):
        raise SetupError(
            f"Python's venv module is missing: run `sudo apt-get install {package}`, then try again"
        )


def pip_install(python: Path, *arguments: str) -> None:
    """Run `pip install` with the pinned versions; `SetupError` if it fails, pip prints why."""
    command = [str(python), "-m", "pip", "install", "-qq", "--progress-bar", "off"]
    command += ["--no-input", "--disable-pip-version-check", "--constraint", str(CONSTRAINTS)]
    done = subprocess.run([*command, *arguments], check=False, stdin=subprocess.DEVNULL)  # noqa: S603 - the environment's pip
    if done.returncode != 0:
        raise SetupError(f"pip failed: pip install {' '.join(arguments)}")


def index_answers(url: str) -> bool:
    """Whether the package index at `url` is reachable and has torch; tried once."""
    address = url.rstrip("/") + "/torch/"
    try:
        with urllib.request.urlopen(address, timeout=INDEX_TIMEOUT_S) as answer:  # noqa: S310 - the Makefile's or the user's own URL
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def installed_version(python: Path, name: str) -> str | None:
    """The installed version of `name` without a local suffix such as +cpu, or None."""
    ask = f"import importlib.metadata as m; print(m.version({name!r}))"
    done = subprocess.run(  # noqa: S603 - the environment's Python and a constant
        [str(python), "-c", ask], capture_output=True, text=True, check=False
    )
    return done.stdout.strip().partition("+")[0] if done.returncode == 0 else None


def install_torch(python: Path, torch_index: str) -> None:
    """Install torch and torchaudio from `torch_index`, or from the default index if that fails.

    Their requirements are installed later, from the default index only.
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
                problem = f"does not have {' '.join(wanted)}"
            else:
                return
        else:
            problem = "not reachable"
        print(
            f"CPU index {torch_index} {problem}: "
            "using the default index (possibly the larger CUDA build)",
            file=sys.stderr,
        )
    pip_install(python, "--no-deps", *wanted)


def copy_sources(folder: Path) -> None:
    """Copy what a build needs: it leaves files beside its sources."""
    for name in SOURCES:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target)


def install_auscult(python: Path, extras: list[str], *, copy: bool) -> None:
    """Install Auscult and its requirements: editable, or as a copy built outside the checkout."""
    suffix = f"[{','.join(extras)}]" if extras else ""
    if not copy:
        pip_install(python, "--no-build-isolation", "--editable", f"{ROOT}{suffix}")
        return
    with tempfile.TemporaryDirectory(prefix="auscult-") as folder:
        copy_sources(Path(folder))
        pip_install(python, "--no-build-isolation", f"{folder}{suffix}")


def set_up(venv: Path, extras: list[str], torch_index: str, *, copy: bool) -> None:
    """Create the environment and install everything, each package once."""
    python = make_venv(venv)
    pip_install(python, pinned("setuptools"))
    if "train" in extras:
        install_torch(python, torch_index)
    install_auscult(python, extras, copy=copy)
    if "train" in extras:
        fix = ROOT / "tools" / "torchaudio_importable.py"
        if subprocess.run([str(python), str(fix)], check=False).returncode != 0:  # noqa: S603 - our own script
            raise SetupError("the installed torch and torchaudio are not compatible")


def main() -> int:
    parser = argparse.ArgumentParser(description="Create a virtual environment with Auscult.")
    parser.add_argument("--venv", type=Path, required=True, help="folder of the environment")
    parser.add_argument(
        "--extra",
        action="append",
        default=[],
        dest="extras",
        help="extra of pyproject.toml; repeatable",
    )
    parser.add_argument("--torch-index", default="", help="URL of an index of CPU builds of torch")
    parser.add_argument("--copy", action="store_true", help="install a copy, not editable")
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
