"""The daemon, what runs beside it, the broker, the network and the disk, with their failures."""

from __future__ import annotations

import heapq
import itertools
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks._chaos.brokers import BASE, Brokers
from benchmarks._chaos.clocks import WallClock
from benchmarks._chaos.companions import Companions
from benchmarks._chaos.computer import Computer
from benchmarks._chaos.damage import Damage, ReadOnly
from benchmarks._chaos.disk import INSIDE, SmallDisk
from benchmarks._chaos.historian import Historian
from benchmarks._chaos.ledger import Record, read_lines
from benchmarks._chaos.recordings import Recorder, RecordingPlan
from benchmarks._chaos.sound import SoundPlan
from benchmarks._chaos.troubles import Trouble
from benchmarks.folder_limits import FolderWatch, fill_history
from monitor.errors import AuscultError
from monitor.outbox.reader import read_outbox
from tests.daemons import toml

_TURN_S = 0.004
_RECEIVED_S = 90.0
"""An alert is raised or cleared well within so much sound."""
_READ_AGAIN_S = 6.0
"""Longer than a daemon needs to start and to read what it has not read."""
_MOST_MB = 10
"""The limit of the history, and that of the evidence."""
_FILLED_BYTES = 780_000
"""The history at the beginning, for each megabyte of its limit."""


class World:
    """All processes of the benchmark. One thread calls ``turn`` often.

    ``done``: how often each kind of failure happened. ``problems``: observations that must
    not happen. ``no_disk``: the reason if the disk cannot be filled.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        sounds: Sequence[SoundPlan],
        recordings: Sequence[RecordingPlan],
        rng: random.Random,
    ) -> None:
        self.witness = folder / "witness"
        self.folder, self._sounds = folder, sounds
        self.state = folder / "state"
        self._history = self.state / "history.sqlite3"
        self._disk = SmallDisk(self.state)
        self.no_disk = self._disk.missing
        self.clock = WallClock(folder, private_mounts=INSIDE in os.environ)
        self.recorders = [
            Recorder(plan, random.Random(rng.random()), self._computer_unix_s)  # noqa: S311  # a repeatable plan, not a secret
            for plan in recordings
        ]
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._computer = Computer(folder, self.clock, rng, self._after)
        self.done, self.problems = self._computer.done, self._computer.problems
        self.brokers = Brokers(folder, rng, self.done, self._after)
        self.historian = Historian(self._history)
        self.companions = Companions(folder, self.state, self.clock, rng, self._after)
        self.companions.done, self.companions.problems = self.done, self.problems
        self._computer.on_reboot = self.companions.reboot
        self.read_only = ReadOnly(self.state)
        self._damage = Damage(self._history, rng, self.done, self.companions.has_read_all)
        self.space = FolderWatch(
            self.state, history_bytes=_MOST_MB * 1_000_000, evidence_bytes=_MOST_MB * 1_000_000
        )
        (folder / "config.toml").write_text(self._settings(bundle))

    def __enter__(self) -> Self:
        self.brokers.start()
        machines = [plan.machine for plan in self._plans]
        fill_history(self._history, machines, time.time(), _MOST_MB * _FILLED_BYTES)
        self.space.start()
        self.historian.start()
        self.companions.start()
        self._computer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._computer.close()
        self.companions.close()
        self.historian.stop()
        self.space.stop()
        self.read_only.end()
        self.brokers.close()
        self.clock.close()
        self._disk.close()

    def position_s(self) -> float:
        """Seconds of sound that were delivered to the machine with the least."""
        return min(sound.position_s() for sound in self._sounds)

    def strike(self, trouble: Trouble) -> None:
        """Cause a failure, now or at the moment that is its aim."""
        actions: dict[str, Callable[[Trouble], None]] = {
            "kill daemon": self._computer.strike,
            "kill broker": self.brokers.strike,
            "pause broker": self.brokers.pause,
            "cut network": self.brokers.cut,
            "fill disk": self._fill,
            "restart": lambda _: self._computer.restart(),
            "set clock": self._computer.set_clock,
            "kill notify": self.companions.strike,
            "kill web": lambda _: self.companions.kill("web"),
            "break endpoint": self.companions.fail,
            "crowd endpoint": self.companions.fail,
            "damage history": lambda _: self._computer.kill_and(self._damage.turn),
            "read-only disk": self._protect,
        }
        actions[trouble.kind](trouble)

    def turn(self) -> None:
        """Cause the failures that are due, and restart what was killed."""
        now_s = time.monotonic()
        while self._later and self._later[0][0] <= now_s:
            heapq.heappop(self._later)[2]()
        self._computer.look_after()
        self.companions.look_after()
        self.brokers.look_after()
        position_s = self.position_s()
        for recorder in self.recorders:
            recorder.turn(position_s)
        time.sleep(_TURN_S)

    def calm_down(self, patience_s: float) -> None:
        """Wait without failures until everything has been delivered, and stop the daemon.

        Meanwhile the daemon is killed once more: what it has read must raise no alert again.
        """
        self._computer.calm_down()
        self.brokers.calm_down()
        self.companions.calm_down()
        self._settle(patience_s)
        self._computer.kill()
        self._turn_for(_READ_AGAIN_S)
        self._settle(patience_s)
        self._computer.end(10)
        self.companions.end(10)
        self.historian.stop()
        time.sleep(1.0)

    def _settle(self, patience_s: float) -> None:
        deadline_s = time.monotonic() + patience_s
        while not self._settled():
            if time.monotonic() > deadline_s:
                self.problems.append(f"not settled {patience_s:g} s after the last trouble")
                return
            self._turn_for(0.2)

    def _turn_for(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.turn()

    def _settings(self, bundle: Path) -> str:
        mqtt = {
            "host": "127.0.0.1",
            "port": self.brokers.port,
            "base_topic": BASE,
            "reconnect_min_s": 0.05,
            "reconnect_max_s": 0.3,
            "connect_timeout_s": 2.0,
            "ack_timeout_s": 3.0,
        }
        parts = [
            f"[mqtt]\n{toml(mqtt)}",
            f"[service]\n{toml({'state_dir': str(self.state), 'log_format': 'json'})}",
            f"[detector]\n{toml({'update_interval_s': 15.0})}",
            f"[history]\n{toml({'max_mb': _MOST_MB})}",
            f"[evidence]\n{toml({'max_mb': _MOST_MB, 'max_per_day': 1000})}",
            self.companions.settings,
        ]
        for plan in self._plans:
            table = {"id": plan.machine, "bundle": str(bundle)}
            parts.append(f"[[machine]]\n{toml(table)}[machine.source]\n{toml(plan.source)}")
        return "\n".join(parts)

    @property
    def _plans(self) -> list[SoundPlan | RecordingPlan]:
        return [*self._sounds, *(recorder.plan for recorder in self.recorders)]

    def _computer_unix_s(self) -> float:
        return time.time() + self.clock.offset_s

    def _fill(self, trouble: Trouble) -> None:
        if self._disk.fill():
            self.done["fill disk"] += 1
            self._after(trouble.lasts_s, self._disk.empty)

    def _protect(self, trouble: Trouble) -> None:
        """Kill the daemon; the next one finds a history and a folder of evidence to read only."""
        if self.read_only.missing:
            return

        def protect() -> bool:
            if self.read_only.begin():
                self.done["read-only disk"] += 1
                self._after(trouble.lasts_s, self.read_only.end)
            return True

        self._computer.kill_and(protect)

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), action))

    def _is_over(self, last: Record) -> bool:
        """Whether nothing follows the last record of a machine.

        A kill may break off a decision to raise an alert, near the end of its fault. The next
        daemon makes it again, or has received enough sound without the fault.
        """
        if last["kind"] == "cleared":
            return True
        sounds = [sound for sound in self._sounds if sound.machine == last["machine"]]
        broken_off = last["event"] == "decided" and last["kind"] == "raised"
        return broken_off and any(sound.received_since_start_s() > _RECEIVED_S for sound in sounds)

    def _settled(self) -> bool:
        """Whether all recordings are read, and all alerts are cleared and acknowledged."""
        lines = [line for line in read_lines(self.witness) if "machine" in line]
        last = {line["machine"]: line for line in lines}
        if (
            self._later
            or not self._computer.is_ready()
            or not all(map(self._is_over, last.values()))
        ):
            return False
        cleared = Counter(
            machine for machine, _ in {*_cleared(lines), *_received(self.brokers.received)}
        )
        for recorder in self.recorders:
            plan = recorder.plan
            if not recorder.is_finished or cleared[plan.machine] < len(plan.tones):
                return False
        try:
            if read_outbox(self.state / "outbox.sqlite3").alerts:
                return False
        except AuscultError:
            return False
        return self.companions.has_sent_all()


def _cleared(lines: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Machine and ``event_id`` of each end of an alert that the outbox has returned."""
    for line in lines:
        if line["event"] == "returned" and line["kind"] == "cleared":
            yield line["machine"], line["event_id"]


def _received(path: Path) -> Iterator[tuple[str, str]]:
    """The same at the subscriber: a kill may come after the write and before the return."""
    for line in read_lines(path):
        if line["event"] == "message":
            alert = json.loads(line["payload"])
            if alert["kind"] == "cleared":
                yield line["topic"].split("/")[-2], alert["event_id"]
