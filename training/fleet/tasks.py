"""Tasks as JSON, and the records of those that are done.

A record is written by the worker when its results are in place, by renaming it. A task whose record
fits its inputs and its results is not done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.durable import replace_content
from monitor.errors import AuscultError
from training.fleet.inputs import identity_of, size_of

TASKS = ".tasks"
"""The folder of the records, in the output folder."""
WORK = ".work"
"""The folder of unfinished bundles, in the output folder."""
FRAMES = ".frames"
"""The folder of the log-mel that machines of one type share, in the output folder."""
_PLACED = ".placed"
"""The end of the name of the note beside a record."""
_WITHOUT_EFFECT = frozenset({"overwrite", "bundle"})
"""Arguments that change no result. The content of the bundle has an argument of its own."""


@dataclass(frozen=True, slots=True)
class Task:
    """Work for one worker: paths and options, never sound.

    ``kind``: which work, see ``perform``. ``arguments``: JSON. ``recordings``: what it reads,
    which decides whether it must be done again. ``out``: the output folder of the fleet.
    """

    id: str
    kind: str
    machine: str
    out: Path
    recordings: tuple[str, ...]
    arguments: dict[str, Any]

    def to_json(self) -> str:
        """One line."""
        return json.dumps(
            {
                "id": self.id,
                "kind": self.kind,
                "machine": self.machine,
                "out": str(self.out),
                "recordings": list(self.recordings),
                "arguments": self.arguments,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Task:
        """From :meth:`to_json`."""
        values = json.loads(text)
        recordings, out = tuple(values.pop("recordings")), Path(values.pop("out"))
        return cls(recordings=recordings, out=out, **values)

    @property
    def n_bytes(self) -> int:
        """The size of its recordings: large tasks are begun first."""
        return sum(map(size_of, self.recordings))

    @property
    def fingerprint(self) -> str:
        """A hash of what its results depend on: its recordings, and most of its arguments.

        Raises as ``identity_of``.
        """
        arguments = {name: v for name, v in self.arguments.items() if name not in _WITHOUT_EFFECT}
        identities = [identity_of(recording) for recording in self.recordings]
        depends_on = [self.kind, arguments, identities]
        text = json.dumps(depends_on, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Result:
    """What a task gave.

    ``values``: JSON, which does not depend on the engine. ``files``: SHA-256 by path relative to
    the output folder. ``error``: why it could not be done; ``status``: its exit status.
    ``seconds``: how long it took. ``messages``: warnings of the work.
    """

    task: str
    machine: str
    values: dict[str, Any]
    files: dict[str, str]
    seconds: float = 0.0
    error: str = ""
    status: int = 0
    messages: tuple[str, ...] = ()

    def to_json(self) -> str:
        """One line."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_json(cls, text: str) -> Result:
        """From :meth:`to_json`."""
        values = json.loads(text)
        return cls(**values | {"messages": tuple(values["messages"])})

    @classmethod
    def failed(cls, task: Task, error: str, status: int) -> Result:
        """The result of a task that was not done."""
        return cls(task.id, task.machine, {}, {}, error=error, status=status)


def record(task: Task, fingerprint: str, result: Result) -> None:
    """Write the record of a task whose results are in place. Raises ``OSError``."""
    path = _path(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"fingerprint": fingerprint, "result": json.loads(result.to_json())})
    replace_content(path, content.encode())


def recorded(task: Task) -> Result | None:
    """The result of a task that is done; None if it must be done, or done again."""
    fingerprint, result = _read(_path(task)) or ("", None)
    try:
        if result is None or fingerprint != task.fingerprint:
            return None
    except (OSError, AuscultError):  # a recording cannot be reached any more: the work reports it
        return None
    return result if all(_is_intact(task.out / n, h) for n, h in result.files.items()) else None


def recorded_results(out: Path, kind: str) -> list[Result]:
    """What the records of tasks of this kind state, also of tasks that there are no more."""
    found = []
    for path in sorted((out / TASKS).glob(f"{kind}-*.json")):
        read = _read(path)
        if read is not None and read[1].task == path.stem:
            found.append(read[1])
    return found


def forget(out: Path, task: str) -> None:
    """Remove the record of a task that there is no more. Raises ``OSError``."""
    (out / TASKS / f"{task}.json").unlink(missing_ok=True)


def was_done(task: Task) -> bool:
    """Whether there is a record of the task, also of other recordings or options."""
    return _read(_path(task)) is not None


def note_placed(task: Task, sha256: str) -> None:
    """Note the hash of what is put into its place now, before there is a record of it."""
    path = _path(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_content(path.with_suffix(_PLACED), sha256.encode())


def was_placed(task: Task, sha256: str) -> bool:
    """Whether this was put into its place by a worker that was killed before the record."""
    try:
        noted = _path(task).with_suffix(_PLACED).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return noted == sha256 and not was_done(task)


def sha256_of_file(path: Path) -> str:
    """The hash of a file's content. Raises ``OSError``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashes_below(folder: Path, out: Path) -> Iterator[tuple[str, str]]:
    """The path relative to ``out`` and the hash of each file in a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(out).as_posix(), sha256_of_file(path)


def _is_intact(path: Path, sha256: str) -> bool:
    try:
        return sha256_of_file(path) == sha256
    except OSError:
        return False


def _path(task: Task) -> Path:
    return task.out / TASKS / f"{task.id}.json"


def _read(path: Path) -> tuple[str, Result] | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return values["fingerprint"], Result.from_json(json.dumps(values["result"]))
    except (OSError, ValueError, KeyError, TypeError):  # none, or one that was damaged
        return None
