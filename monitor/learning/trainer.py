"""Where a bundle is trained: in a child process, in another unit of systemd, or by hand.

Never in the process that monitors.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol

from pydantic import TypeAdapter, ValidationError

from monitor.learning.settings import LearningSettings

log = logging.getLogger(__name__)

RESULT = "result.json"
OUT = "out"
"""The folder of the new bundle."""
_ARGUMENTS = [sys.executable, "-m", "monitor", "train", "audio"]
_TRAINING_PACKAGES = ("torch", "librosa", "matplotlib", "onnx", "onnxscript", "safetensors")
_MOST_OUTPUT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Job:
    """A bundle to train: from the recordings in ``pieces``, for a budget of false alarms.

    ``config``: the file of the daemon, with ``[training]``, ``[features]`` and ``[detector]``;
    empty for the defaults. ``work``: where another unit puts the result.
    """

    pieces: str
    per_week: float
    config: str = ""
    keep_outliers: bool = False
    work: str = ""

    def arguments(self, out: Path | str) -> list[str]:
        """The arguments of ``auscult train audio``."""
        arguments = [self.pieces, "--out", str(out), "--json"]
        arguments += ["--false-alarms-per-week", f"{self.per_week:g}"]
        if self.config:
            arguments += ["--config", self.config]
        if self.keep_outliers:
            arguments.append("--keep-outliers")
        return arguments


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a training: the folder of the bundle, or what went wrong.

    ``unfit``: names of pieces that the training left out.
    """

    bundle: Path | None = None
    unfit: list[str] = field(default_factory=list)
    error: str = ""


_JOB = TypeAdapter(Job)
_Files = tuple[tuple[str, int, int], ...]


class Trainer(Protocol):
    """Trains one bundle at a time. ``work``: a folder of its own, emptied at each start."""

    def start(self, job: Job) -> None:
        """Begin. Raises ``OSError`` where that is not possible."""

    def poll(self) -> Result | None:
        """The result, once; None while it is not there. Does not wait."""

    def stop(self) -> None:
        """Give up what runs; a later ``poll`` gives nothing."""

    def close(self) -> None:
        """The daemon ends. What does not run in a process of the daemon may go on."""

    @property
    def is_running(self) -> bool:
        """Whether a result is to come."""

    @property
    def waits_for_a_person(self) -> bool:
        """Whether the result may never come."""

    @property
    def advice(self) -> str:
        """What a person must do; empty if nothing."""


def make_trainer(settings: LearningSettings, work: Path) -> Trainer:
    """The trainer of the settings, with its files in ``work``."""
    has_packages = all(importlib.util.find_spec(name) for name in _TRAINING_PACKAGES)
    kind = settings.trainer
    if kind == "elsewhere" or (kind != "child" and not has_packages):
        return ByHand(work)
    if kind == "request":
        return OtherUnit(work, requests_folder(work.parents[2]), work.parent.name)
    return ChildTrainer(work, settings.memory_mb)


def requests_folder(state_dir: Path) -> Path:
    """Where requests for another unit of systemd are: one file for each machine."""
    return state_dir / "training"


_NO_MEMORY = (
    "MemoryError",
    "lost sys.stderr",
    "without exception set",
    "without setting an exception",
)
"""What a process of Python writes last without memory: it may lose its output, and packages written
in C may fail without a reason."""


class ChildTrainer:
    """A child process with low priority, one thread, and a limit of its memory."""

    _NICE: ClassVar[int] = 15
    _STOP_S: ClassVar[float] = 0.5

    def __init__(self, work: Path, memory_mb: float) -> None:
        self._work = work
        self._memory_bytes = round(memory_mb * 1e6)
        self._process: subprocess.Popen[bytes] | None = None

    advice = ""
    waits_for_a_person = False

    @property
    def is_running(self) -> bool:
        """See ``Trainer``."""
        return self._process is not None

    def start(self, job: Job) -> None:
        """See ``Trainer``."""
        self._end_abandoned()
        empty(self._work)
        with (
            (self._work / "stdout").open("wb") as output,
            (self._work / "stderr").open("wb") as messages,
        ):
            self._process = process = subprocess.Popen(  # noqa: S603  # our own program
                [*_ARGUMENTS, *job.arguments(self._work / OUT)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=messages,
                start_new_session=True,
                env=_environment(),
                cwd=_program_folder(),
            )
        (self._work / "pid").write_text(f"{process.pid} {_started_ticks(process.pid)}")
        with contextlib.suppress(OSError):  # it has ended already, or the system forbids it
            os.setpriority(os.PRIO_PROCESS, process.pid, self._NICE)
        with contextlib.suppress(OSError):
            limit = (self._memory_bytes, self._memory_bytes)
            resource.prlimit(process.pid, resource.RLIMIT_DATA, limit)

    def poll(self) -> Result | None:
        """See ``Trainer``."""
        if self._process is None or (status := self._process.poll()) is None:
            return None
        self._process = None
        result = result_of(status, self._work)
        if status == -signal.SIGKILL or any(one in result.error for one in _NO_MEMORY):
            megabytes = f"{self._memory_bytes / 1e6:.0f}"
            return Result(error=f"it needs more memory than memory_mb = {megabytes}, or is free")
        return result

    def stop(self) -> None:
        """See ``Trainer``."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self._STOP_S)

    def close(self) -> None:
        """See ``Trainer``."""
        self.stop()

    def _end_abandoned(self) -> None:
        """End the training of a daemon that was killed: it would write to the same folder."""
        with contextlib.suppress(OSError, ValueError):
            pid, ticks = (self._work / "pid").read_text().split()
            if _started_ticks(int(pid)) == ticks:
                os.killpg(int(pid), signal.SIGKILL)


class OtherUnit:
    """Writes a request that another unit of systemd reacts to (``auscult-train.path``).

    The hardening of the daemon's unit forbids its children the memory that torch needs.
    """

    def __init__(self, work: Path, requests: Path, machine: str) -> None:
        self._work = work
        self._request = requests / f"{machine}.json"
        self._is_running = self._request.exists()

    advice = ""
    waits_for_a_person = False

    @property
    def is_running(self) -> bool:
        """See ``Trainer``."""
        return self._is_running

    def start(self, job: Job) -> None:
        """See ``Trainer``."""
        empty(self._work)
        partial = self._work / "request.part"
        partial.write_text(json.dumps(asdict(replace(job, work=str(self._work)))))
        self._request.parent.mkdir(exist_ok=True)
        partial.rename(self._request)
        self._is_running = True

    def poll(self) -> Result | None:
        """See ``Trainer``."""
        try:
            done = json.loads((self._work / RESULT).read_bytes())
            status = int(done["status"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            status = -1
            log.warning("%s: cannot be read: %s", self._work / RESULT, error)
        self.stop()
        return result_of(status, self._work)

    def stop(self) -> None:
        """See ``Trainer``."""
        self._is_running = False
        self._request.unlink(missing_ok=True)
        (self._work / RESULT).unlink(missing_ok=True)

    def close(self) -> None:
        """See ``Trainer``. The other unit goes on; its result is used after the next start."""


class ByHand:
    """Reports how to train on another computer. The bundle is put into ``incoming``."""

    def __init__(self, work: Path) -> None:
        self._incoming = work.parent / "incoming"
        self._job: Job | None = None
        self._seen: _Files = ()
        self._tried: _Files = ()

    waits_for_a_person = True

    @property
    def is_running(self) -> bool:
        """See ``Trainer``."""
        return self._job is not None

    @property
    def advice(self) -> str:
        """See ``Trainer``."""
        if self._job is None:
            return ""
        command = " ".join(["auscult train audio", *self._job.arguments("new.bundle")[:1]])
        return (
            f"training needs another computer: copy {self._job.pieces} to a computer with the "
            f"extra 'train', run `{command.replace(self._job.pieces, 'pieces')} --out new.bundle "
            f"--false-alarms-per-week {self._job.per_week:g}`, copy new.bundle to {self._incoming}"
        )

    def start(self, job: Job) -> None:
        """See ``Trainer``."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        if self._job is None:
            self._job = job
            log.warning("%s", self.advice)

    def poll(self) -> Result | None:
        """See ``Trainer``."""
        found = sorted(self._incoming.glob("*/bundle.json")) if self._job else []
        if not found:
            return None
        files, before = _files(found[0].parent), self._seen
        self._seen = files
        if files != before or files == self._tried:  # it is being copied, or was refused
            return None
        self._tried = files
        return Result(found[0].parent)

    def taken(self) -> None:
        """The bundle that was put into ``incoming`` is in use: what lies there is removed."""
        self._job = None
        empty(self._incoming)

    def stop(self) -> None:
        """See ``Trainer``."""
        self._job = None

    def close(self) -> None:
        """See ``Trainer``."""


def result_of(status: int, work: Path) -> Result:
    """The result of ``auscult train audio`` with its output in ``work``."""
    if status == 0 and (work / OUT / "bundle.json").exists():
        return Result(work / OUT, _left_out(work / "stdout"))
    messages = _text(work / "stderr").strip().splitlines()
    said = messages[-1].strip() if messages else ""
    if status < 0:
        said = f"ended by signal {-status}{': ' + said if said else ''}"
    return Result(error=said or f"exit status {status}")


def run_requests(requests: Path, run: Callable[[list[str], Path], int]) -> int:
    """Train every request in the folder ``requests``; how many there were.

    ``run`` runs ``auscult train audio`` with arguments and writes ``stdout`` and ``stderr`` into
    a folder; it returns the exit status. A request is removed when its result is there.
    """
    number = 0
    for path in sorted(requests.glob("*.json")):
        try:
            job = _JOB.validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            log.warning("%s: not a request: %s", path, error)
            path.unlink(missing_ok=True)
            continue
        work = Path(job.work)
        shutil.rmtree(work / OUT, ignore_errors=True)
        status = run(job.arguments(work / OUT), work)
        partial = work / "result.part"
        partial.write_text(json.dumps({"status": status}))
        if path.exists():  # otherwise the daemon does not want it any more
            partial.rename(work / RESULT)
        path.unlink(missing_ok=True)
        number += 1
    return number


def train_here(arguments: list[str], work: Path) -> int:
    """Run ``auscult train audio`` as a child; see ``run_requests``."""
    with (work / "stdout").open("wb") as output, (work / "stderr").open("wb") as messages:
        return subprocess.run(  # noqa: S603  # our own program
            [*_ARGUMENTS, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=messages,
            check=False,
            env=_environment(),
            cwd=_program_folder(),
        ).returncode


def empty(folder: Path) -> None:
    """Make a folder, or remove what is in it. Raises ``OSError``."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)


def _environment() -> dict[str, str]:
    """One thread, and nothing that belongs to the daemon alone."""
    private = ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "AUSCULT_MQTT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return kept | dict.fromkeys(threads, "1")


def _program_folder() -> Path:
    """Where the child finds the packages ``monitor`` and ``training`` of this program."""
    return Path(__file__).resolve().parents[2]


def _started_ticks(pid: int) -> str:
    """When a process was started: with its number, this identifies it. Empty if it is gone."""
    try:
        fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return fields[19]


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


def _files(folder: Path) -> _Files:
    """Name, size and time of every file of a bundle."""
    found = []
    for path in sorted(folder.iterdir()):
        status = path.stat()
        found.append((path.name, status.st_size, status.st_mtime_ns))
    return tuple(found)
