"""Runs ``auscult train audio`` in a process of its own, and reads its result.

The folder ``work`` of a training has its output (``stdout``, ``stderr``) and the new bundle
(``out``).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from monitor.errors import BadInputError
from monitor.learning.trainers.protocol import Result

PACKAGES = (
    *("torch", "librosa", "matplotlib", "onnx", "safetensors", "sklearn"),
    "threadpoolctl",
)
"""What the command needs, from its first step to its report."""
OUT = "out"
"""The folder of the new bundle."""
PROGRAM = (sys.executable, "-m", "monitor")
_COMMAND = [*PROGRAM, "train", "audio"]
_UNUSABLE = re.compile(r"auscult: .*/([^/]+\.flac): (.+)")
"""A line of the command about a recording that it cannot use."""
_MOST_OUTPUT = 4 * 1024 * 1024


def start_command(arguments: list[str], work: Path) -> subprocess.Popen[bytes]:
    """Start the command; with its children it is a process group of its own. Raises ``OSError``."""
    return start_program([*_COMMAND, *arguments], work)


def start_program(command: list[str], work: Path) -> subprocess.Popen[bytes]:
    """Start a program of ours in the same way."""
    with (work / "stdout").open("wb") as output, (work / "stderr").open("wb") as messages:
        return subprocess.Popen(  # noqa: S603  # our own program
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=messages,
            start_new_session=True,
            env=child_environment(),
            cwd=program_folder(),
        )


def result_of(status: int, work: Path) -> Result:
    """The result of a command that ended with ``status``; negative: ended by this signal."""
    if status == 0 and (work / OUT / "bundle.json").exists():
        return Result(work / OUT, _left_out(work / "stdout"))
    messages = _text(work / "stderr").strip().splitlines()
    last = messages[-1].strip() if messages else ""
    if status < 0:
        last = f"ended by signal {-status}{': ' + last if last else ''}"
    unusable = {}
    if status == BadInputError.exit_status:
        unusable = {m[1]: m[2] for line in messages if (m := _UNUSABLE.fullmatch(line.strip()))}
    return Result(error=last or f"exit status {status}", unusable=unusable)


def empty(folder: Path) -> None:
    """Make a folder, or remove what is in it. Raises ``OSError``."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def child_environment() -> dict[str, str]:
    """One thread, and nothing that belongs to the daemon alone."""
    private = ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "AUSCULT_MQTT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return kept | dict.fromkeys(threads, "1")


def program_folder() -> Path:
    """Where the command finds the packages ``monitor`` and ``training`` of this program."""
    return Path(__file__).resolve().parents[3]


def _left_out(output: Path) -> list[str]:
    """The names of the recordings that did not fit the others."""
    try:
        findings = json.loads(_text(output))["training_set"]
        left_out = [] if findings["outliers_kept"] else findings["outliers"]
        return sorted({Path(one["name"]).name for one in left_out})
    except (ValueError, KeyError, TypeError):
        return []


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_OUTPUT).decode("utf-8", "replace")
    except OSError:
        return ""
