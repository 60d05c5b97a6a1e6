"""Runs a target in a child process, with limits of memory and time.

Each input is written to a file before it is tried, so that it is known if the child
crashes, hangs or is killed. hypothesis reduces an input that raises an exception to the
smallest one that still does.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from monitor.errors import AuscultError

MEMORY_LIMIT_BYTES = 1 << 30
"""The memory that a target may use, in addition to that of the child at its start."""
INPUT_LIMIT_S = 10.0
_PER_ROUND = 100

Target = Callable[[bytes, Path], None]
"""Tries one input, with a folder for files. Raises ``AuscultError`` if it refuses the input."""


@dataclass(frozen=True)
class Found:
    """An input that failed, and how."""

    content: bytes
    failure: str


@dataclass(frozen=True)
class Outcome:
    """The number of inputs tried in ``seconds``, the number refused, and the failure."""

    tried: int
    refused: int
    seconds: float
    found: Found | None


class _Count:
    """Progress in a file, for the parent process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.tried = self.refused = 0
        self.failed = False
        self.save()

    def save(self) -> None:
        self._path.write_text(f"{self.tried},{self.refused}")


def fuzz(target: Target, inputs: st.SearchStrategy[bytes], *, seed: int, seconds: float) -> Outcome:
    """Try inputs for some seconds, or until one fails."""

    def work(folder: Path) -> None:
        count = _Count(folder / "tried")
        deadline_s = time.monotonic() + seconds

        def attempt(content: bytes) -> None:
            if time.monotonic() < deadline_s or count.failed:  # a failed input is still reduced
                _try(target, content, folder, count)

        turn = 0
        while turn == 0 or time.monotonic() < deadline_s:
            _round(attempt, inputs, f"{seed}.{turn}")
            turn += 1

    return _guarded(work)


def try_one(target: Target, content: bytes) -> Outcome:
    """The same with one input."""
    return _guarded(lambda folder: _try(target, content, folder, _Count(folder / "tried")))


def _round(attempt: Callable[[bytes], None], inputs: st.SearchStrategy[bytes], seed: str) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=_PER_ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
    )
    @hypothesis.given(content=inputs)
    def one(content: bytes) -> None:
        attempt(content)

    one()


def _try(target: Target, content: bytes, folder: Path, count: _Count) -> None:
    work = folder / "work"
    work.mkdir(exist_ok=True)
    (folder / "input").write_bytes(content)
    try:
        with _time_limit():
            target(content, work)
    except AuscultError as error:
        count.refused += 1
        if not str(error).strip():
            raise ValueError(f"not a message for people: {error!r}") from error
    except Exception:
        count.failed = True
        raise
    count.tried += 1
    count.save()


def _guarded(work: Callable[[Path], None]) -> Outcome:
    """Fork a child that tries the inputs and a parent that observes it."""
    with tempfile.TemporaryDirectory(prefix="auscult-fuzz-") as name:
        folder = Path(name)
        child = os.fork()
        if child:
            return _watch(child, folder)
        status = 1
        try:  # the child has neither the parent's threads nor its clean-up
            # Decoders write to it, and a hang writes its stack.
            os.dup2(os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT), sys.stderr.fileno())
            _limit_memory()
            work(folder)
            status = 0
        except BaseException:  # noqa: BLE001  # whatever it is, it is what was looked for
            (folder / "failure").write_text(traceback.format_exc(limit=-6))
        finally:
            sys.stderr.flush()
            os._exit(status)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY_LIMIT_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@contextmanager
def _time_limit() -> Iterator[None]:
    """Print the stack of a hang and exit. If that fails, the parent kills the child."""

    def hangs(_number: int, frame: object) -> None:
        traceback.print_stack(file=sys.stderr)
        sys.stderr.write(f"{frame}: an input took more than {INPUT_LIMIT_S:g} s\n")
        sys.stderr.flush()
        os._exit(3)

    signal.signal(signal.SIGALRM, hangs)
    signal.setitimer(signal.ITIMER_REAL, INPUT_LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _watch(child: int, folder: Path) -> Outcome:
    """Wait for the child while it makes progress."""
    begun_s = moved_s = time.monotonic()
    before = ""
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        if (now := _read(folder / "tried")) != before:
            before, moved_s = now, time.monotonic()
        elif time.monotonic() - moved_s > 3 * INPUT_LIMIT_S:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    tried, _, refused = _read(folder / "tried").partition(",")
    found = None
    if code := os.waitstatus_to_exitcode(status):
        ended = f"ended by {signal.Signals(-code).name}" if code < 0 else f"status {code}"
        failure = f"{ended}\n{_read(folder / 'stderr')[-2000:]}"
        input_path = folder / "input"
        content = input_path.read_bytes() if input_path.exists() else b""
        found = Found(content, _read(folder / "failure") or failure)
    return Outcome(int(tried or 0), int(refused or 0), time.monotonic() - begun_s, found)


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
