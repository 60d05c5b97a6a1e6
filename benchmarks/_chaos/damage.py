"""Damage to the history while no daemon runs, and a disk that is read-only for a while."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks._chaos.disk import INSIDE

_READS_WITHIN_S = 20.0
_PAGE = 4096
_KINDS = ("pages", "header", "cut", "emptied", "deleted", "log")


class Damage:
    """``has_read_all``: whether ``auscult notify`` has read every alert.

    What is destroyed before it was read cannot be sent, so the damage waits for that.
    """

    def __init__(
        self, path: Path, rng: random.Random, done: Counter[str], has_read_all: Callable[[], bool]
    ) -> None:
        self._path, self._rng, self._done = path, rng, done
        self._has_read_all = has_read_all
        self._waits_until_s: float | None = None

    def turn(self) -> bool:
        """Damage the file if it is time; whether the daemon may start again."""
        if self._waits_until_s is None:
            self._waits_until_s = time.monotonic() + _READS_WITHIN_S
        if self._has_read_all():
            self._damage()
        elif time.monotonic() < self._waits_until_s:
            return False
        else:
            self._done["history: left whole, not read yet"] += 1
        self._waits_until_s = None
        return True

    def _damage(self) -> None:
        kind = self._rng.choice(_KINDS)
        path = self._path.with_name(self._path.name + "-wal") if kind == "log" else self._path
        try:
            if kind == "deleted":
                path.unlink()
            else:
                with path.open("r+b", buffering=0) as file:
                    self._change(file.fileno(), kind)
            self._done[f"history: {kind}"] += 1
        except OSError:  # there is no log, or the disk is read-only
            self._done[f"history: left whole, no {kind}"] += 1

    def _change(self, file: int, kind: str) -> None:
        size = os.fstat(file).st_size
        if kind == "emptied":
            os.ftruncate(file, 0)
        elif kind == "cut":
            os.ftruncate(file, self._rng.randrange(1, size))
        elif kind == "header":
            os.pwrite(file, bytes(100), 0)
        else:
            for _ in range(20):
                at = self._rng.randrange(max(1, size // _PAGE)) * _PAGE
                os.pwrite(file, self._rng.randbytes(_PAGE), at)


class ReadOnly:
    """Makes the file of the history and the folder of evidence read-only for a while.

    ``missing``: why that is not possible; empty if it is. An open file can be written all the same,
    so the daemon must be started after ``begin``.
    """

    def __init__(self, state: Path) -> None:
        self._paths = (state / "history.sqlite3", state / "evidence")
        self._mounted: list[Path] = []
        self.missing = "" if INSIDE in os.environ else "left out: only root can mount"

    def begin(self) -> bool:
        """Begin; False if it has begun already or is not possible."""
        if self.missing or self._mounted or not all(path.exists() for path in self._paths):
            return False
        for path in self._paths:
            _mount("--bind", path, path)
            self._mounted.append(path)
            _mount("-o", "remount,bind,ro", path)
        return True

    def end(self) -> None:
        """Let them be written again."""
        while self._mounted:
            subprocess.run(["umount", "--lazy", self._mounted.pop()], check=True)


def _mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)
