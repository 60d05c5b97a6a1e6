"""Recordings for the chaos benchmark: machines whose recorder puts files into a folder.

Some recordings appear complete, some under another name first, and some grow while they are
read. Some have a date in their name. Recordings that were read are moved or touched later.
"""

from __future__ import annotations

import os
import random
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks._chaos.sound import RATE_HZ, TONES_HZ, loops

FAULT_S = 20.0
"""Less than twice what an alert needs: a reader that forgets the first half misses it."""
_BEFORE_S, _AFTER_S = 15.0, 25.0
_CYCLE_S = 90.0
_PIECES = 6
_UNTOUCHED = 3
"""So many of the newest recordings stay as they are: they may not be read yet."""
_BYTES_A_SECOND = 2 * RATE_HZ


@dataclass(frozen=True)
class RecordingPlan:
    """The recordings of one machine. ``tones``: the tone of each of its faults, in order."""

    machine: str
    folder: Path
    tones: tuple[float, ...]
    recordings: tuple[tuple[float, tuple[int, ...]], ...]
    """For each recording when it begins, in seconds of sound, and its faults by number."""

    @property
    def source(self) -> dict[str, Any]:
        """The table of the source."""
        return {"kind": "folder", "path": str(self.folder), "settle_s": 0.2}


def plan_recordings(folder: Path, machines: Sequence[str], seconds: float) -> list[RecordingPlan]:
    """Recordings with one fault, and every fourth one with two."""
    plans = []
    for index, machine in enumerate(machines):
        (folder / machine).mkdir(parents=True)
        recordings: list[tuple[float, tuple[int, ...]]] = []
        tones: list[float] = []
        at_s = 10.0 + index * _CYCLE_S / len(machines)
        while at_s < seconds - _CYCLE_S:
            n_faults = 2 if len(recordings) % 4 == 3 else 1
            faults = tuple((len(tones) + number) % len(TONES_HZ) for number in range(n_faults))
            recordings.append((at_s, faults))
            tones += [TONES_HZ[fault] for fault in faults]
            at_s += n_faults * _CYCLE_S
        plans.append(RecordingPlan(machine, folder / machine, tuple(tones), tuple(recordings)))
    return plans


class Recorder:
    """Puts the recordings of one plan into its folder, one after the other.

    ``turn`` is called often. ``computer_unix_s``: the time of the daemon's computer, by
    which recordings are dated. ``n_growing``, ``n_moved``: recordings that grew, and that were
    moved or touched later.
    """

    def __init__(
        self, plan: RecordingPlan, rng: random.Random, computer_unix_s: Callable[[], float]
    ) -> None:
        self.plan = plan
        self.n_growing = self.n_moved = 0
        self._rng = rng
        self._computer_unix_s = computer_unix_s
        self._sounds = loops()
        self._waiting = list(enumerate(plan.recordings))
        self._steps: Iterator[float] | None = None
        self._next_step_s = 0.0
        self._finished: list[Path] = []

    @property
    def is_finished(self) -> bool:
        """Whether every recording is complete."""
        return not self._waiting and self._steps is None

    def turn(self, position_s: float) -> None:
        """Continue after ``position_s`` seconds of the sound of the other machines."""
        now_s = time.monotonic()
        if now_s < self._next_step_s:
            return
        if self._steps is None:
            if not self._waiting or position_s < self._waiting[0][1][0]:
                return
            index, (_, faults) = self._waiting.pop(0)
            self._steps = self._record(index, faults)
        pause_s = next(self._steps, None)
        if pause_s is None:
            self._steps, pause_s = None, 0.5  # the next one is younger by more than it settles
        self._next_step_s = now_s + pause_s

    def _record(self, index: int, faults: tuple[int, ...]) -> Iterator[float]:
        """Write a recording; yields how long to wait before the next step."""
        data = self._sound(faults)
        path = self.plan.folder / f"{index:04d}{self._date(len(data) / _BYTES_A_SECOND)}.wav"
        style = self._rng.choice(["at once", "renamed", "growing", "growing"])
        if style == "growing":
            self.n_growing += 1
            yield from self._grow(path, data)
        else:
            unfinished = path if style == "at once" else path.with_suffix(".part")
            unfinished.write_bytes(_header(len(data)) + data)
            unfinished.rename(path)
        old = len(self._finished) - _UNTOUCHED
        if old > 0 and self._rng.random() < 0.4:
            self._tidy(self._finished.pop(self._rng.randrange(old)))
        self._finished.append(path)

    def _grow(self, path: Path, data: bytes) -> Iterator[float]:
        """Write in pieces; the header is renewed after each one."""
        edges = sorted(self._rng.randrange(1, len(data) // 2) * 2 for _ in range(_PIECES - 1))
        with path.open("wb", buffering=0) as file:
            for begin, end in zip((0, *edges), (*edges, len(data)), strict=True):
                if begin == 0:
                    file.write(_header(end))
                file.write(data[begin:end])
                file.seek(0)
                file.write(_header(end))
                file.seek(0, os.SEEK_END)
                yield self._rng.uniform(0.1, 1.0)

    def _tidy(self, path: Path) -> None:
        self.n_moved += 1
        if self._rng.random() < 0.5:
            path.touch()
            return
        (path.parent / "sorted").mkdir(exist_ok=True)
        path.rename(path.parent / "sorted" / path.name)

    def _sound(self, faults: tuple[int, ...]) -> bytes:
        parts = [(0, _BEFORE_S)]
        for fault in faults:
            parts += [(1 + fault, FAULT_S), (0, _AFTER_S)]
        data, at = bytearray(), self._rng.randrange(len(self._sounds[0]) // 2) * 2
        for number, part_s in parts:
            loop = self._sounds[number]
            end = len(data) + int(part_s * RATE_HZ) * 2
            while len(data) < end:
                begin = (at + len(data)) % len(loop)
                data += loop[begin : begin + end - len(data)]
        return bytes(data)

    def _date(self, length_s: float) -> str:
        """A date for the name: none, of this computer, or of a recorder that is ahead."""
        ahead_s = self._rng.choice([None, None, 0.0, 3600.0])
        if ahead_s is None:
            return ""
        began = datetime.fromtimestamp(self._computer_unix_s() - length_s + ahead_s, UTC)
        return began.strftime("_%Y%m%dT%H%M%SZ")


def _header(n_bytes: int) -> bytes:
    """The header of a WAV with 16 bits and one channel."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + n_bytes, b"WAVE", b"fmt ", 16, 1, 1),
        *(RATE_HZ, _BYTES_A_SECOND, 2, 16, b"data", n_bytes),
    )
