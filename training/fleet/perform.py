"""Does one task, in a process of this computer or of a cluster."""

from __future__ import annotations

import logging
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from monitor.errors import AuscultError, ServiceUnavailableError
from training.fleet.tasks import Result, Task, record

Work = Callable[[Task], tuple[dict[str, object], dict[str, str]]]
"""Does a task; gives its values, and the hashes of its files."""

_BUG = 70


def perform(text: str) -> str:
    """Do a task and record its result, both as JSON. Never raises for a fault of its inputs."""
    task = Task.from_json(text)
    started = time.monotonic()
    with _messages() as messages:
        try:
            fingerprint = task.fingerprint
            values, files = _work(task.kind)(task)
            seconds = time.monotonic() - started
            result = Result(
                task.id, task.machine, values, files, seconds=seconds, messages=tuple(messages)
            )
            record(task, fingerprint, result)
        except AuscultError as error:
            return Result.failed(task, "; ".join(error.lines), error.exit_status).to_json()
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            text = f"{where}{error.strerror or error} on {socket.gethostname()}"
            return Result.failed(task, text, ServiceUnavailableError.exit_status).to_json()
        except Exception as error:  # noqa: BLE001 - a bug on one machine must not end the others
            traceback.print_exception(error)
            return Result.failed(task, f"fault of the program: {error!r}", _BUG).to_json()
    return result.to_json()


def _work(kind: str) -> Work:
    # ruff: noqa: PLC0415 - each kind loads what it needs: only the archive needs pyarrow
    if kind == "train":
        from training.fleet.train_task import train

        return train
    if kind == "read":
        from training.fleet.read_task import read_frames

        return read_frames
    if kind == "score":
        from training.fleet.score_task import score

        return score
    from training.fleet.replay_task import replay

    return replay


@contextmanager
def _messages() -> Iterator[list[str]]:
    """Collects the warnings of the work, which belong to its machine."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, one: logging.LogRecord) -> None:
            found.append(one.getMessage())

    handler = Collector(logging.WARNING)
    loggers = [logging.getLogger(name) for name in ("training", "monitor")]
    before = [(one, one.propagate) for one in loggers]
    for one in loggers:
        one.addHandler(handler)
        one.propagate = False
    try:
        yield found
    finally:
        for one, propagate in before:
            one.removeHandler(handler)
            one.propagate = propagate
