"""The daemon, the broker, the network, the disk and the subscriber, with their failures."""

from __future__ import annotations

import heapq
import itertools
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks._chaos.clocks import WallClock
from benchmarks._chaos.computer import Computer
from benchmarks._chaos.disk import INSIDE, SmallDisk
from benchmarks._chaos.ledger import Record, read_lines
from benchmarks._chaos.network import Network
from benchmarks._chaos.recordings import Recorder, RecordingPlan
from benchmarks._chaos.sound import SoundPlan
from benchmarks._chaos.troubles import Trouble
from monitor.errors import AuscultError
from monitor.outbox.reader import read_outbox
from tests.daemons import ROOT, toml
from tests.mosquitto import Mosquitto

BASE = "auscult/chaos"
_TURN_S = 0.004
_HEARD_S = 90.0
"""An alert is raised or cleared well within so much sound."""
_READ_AGAIN_S = 6.0
"""Longer than a daemon needs to start and to read what it has not read."""
_AIM_LASTS_S = 10.0
_MODULE = (sys.executable, "-m")
_PARTS = "benchmarks._chaos"


class World:
    """All processes of the benchmark. One thread calls ``turn`` often.

    ``done``: how often each kind of failure happened. ``problems``: observations that must
    not happen. ``no_disk``: the reason if the disk cannot be filled. ``limits``: how many
    brokers had each limit.
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
        self.received = folder / "received"
        self.limits: Counter[str] = Counter()
        self._folder, self._sounds, self._rng = folder, sounds, rng
        self._state = folder / "state"
        self._disk = SmallDisk(self._state)
        self.no_disk = self._disk.missing
        self.clock = WallClock(folder, private_mounts=INSIDE in os.environ)
        self.recorders = [
            Recorder(plan, random.Random(rng.random()), self._computer_unix_s)  # noqa: S311  # a repeatable plan, not a secret
            for plan in recordings
        ]
        self._broker = Mosquitto(folder / "broker")
        self._broker_config = folder / "broker" / "mosquitto.conf"
        self._broker_basis = self._broker_config.read_text()
        self._limits: tuple[str, ...] = ()
        self._network = Network(self._broker.port)
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._computer = Computer(folder, self.clock, rng, self._after)
        self.done, self.problems = self._computer.done, self._computer.problems
        (folder / "config.toml").write_text(self._settings(bundle))
        self._subscriber: subprocess.Popen[bytes] | None = None
        self._broker_comes = False
        self._subscriptions_seen = 0
        self._cut_until_s = 0.0

    def __enter__(self) -> Self:
        self._start_broker()
        self._subscriber = subprocess.Popen(
            [
                *_MODULE,
                f"{_PARTS}.subscriber",
                str(self._broker.port),
                f"{BASE}/+/alert",
                self.received,
            ],
            cwd=ROOT,
        )
        self._computer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._computer.close()
        if self._subscriber is not None and self._subscriber.poll() is None:
            self._subscriber.kill()
            self._subscriber.wait()
        self._network.close()
        self._broker.resume()
        self._broker.kill()
        self.clock.close()
        self._disk.close()

    def position_s(self) -> float:
        """Seconds of sound that were delivered to the machine with the least."""
        return min(sound.position_s() for sound in self._sounds)

    def strike(self, trouble: Trouble) -> None:
        """Cause a failure, now or at the moment that is its aim."""
        actions: dict[str, Callable[[Trouble], None]] = {
            "kill daemon": self._computer.strike,
            "kill broker": self._strike_broker,
            "pause broker": self._pause,
            "cut network": self._cut,
            "fill disk": self._fill,
            "restart": lambda _: self._computer.restart(),
            "set clock": self._computer.set_clock,
        }
        actions[trouble.kind](trouble)

    def turn(self) -> None:
        """Cause the failures that are due, and restart what was killed."""
        now_s = time.monotonic()
        while self._later and self._later[0][0] <= now_s:
            heapq.heappop(self._later)[2]()
        self._computer.look_after()
        if not self._broker.running and not self._broker_comes:  # killed at a chosen moment
            self._broker_died(self._rng.uniform(0, 2.0))
        if self._broker.running and now_s >= self._cut_until_s and self._subscribed():
            self._network.open()
        position_s = self.position_s()
        for recorder in self.recorders:
            recorder.turn(position_s)
        time.sleep(_TURN_S)

    def calm_down(self, patience_s: float) -> None:
        """Wait without failures until everything has been delivered, and stop the daemon.

        Meanwhile the daemon is killed once more: what it has read must raise no alert again.
        """
        self._computer.calm_down()
        self._network.forget_ambush()
        self._settle(patience_s)
        self._computer.kill()
        self._turn_for(_READ_AGAIN_S)
        self._settle(patience_s)
        self._computer.end(10)
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
            "port": self._network.port,
            "base_topic": BASE,
            "reconnect_min_s": 0.05,
            "reconnect_max_s": 0.3,
            "connect_timeout_s": 2.0,
            "ack_timeout_s": 3.0,
        }
        parts = [
            f"[mqtt]\n{toml(mqtt)}",
            f"[service]\n{toml({'state_dir': str(self._state), 'log_format': 'json'})}",
            f"[detector]\n{toml({'update_interval_s': 15.0})}",
        ]
        plans: list[SoundPlan | RecordingPlan] = [*self._sounds]
        plans += [recorder.plan for recorder in self.recorders]
        for plan in plans:
            table = {"id": plan.machine, "bundle": str(bundle)}
            parts.append(f"[[machine]]\n{toml(table)}[machine.source]\n{toml(plan.source)}")
        return "\n".join(parts)

    def _computer_unix_s(self) -> float:
        return time.time() + self.clock.offset_s

    # the broker and its network

    def _start_broker(self) -> None:
        self._subscriptions_seen = self._subscriptions()
        limits = self._limits
        if not any(limit.startswith("max_inflight_messages") for limit in limits):
            limits = (*limits, "max_inflight_messages 0")
        self._broker_config.write_text(self._broker_basis + "\n".join(limits) + "\n")
        self.limits.update(self._limits or ["none"])
        self._broker.start()
        self._broker_comes = False

    def _subscriptions(self) -> int:
        """How often the broker has confirmed the subscription; asked often."""
        found = self.received.read_bytes() if self.received.exists() else b""
        return found.count(b'{"event": "subscribed"}')

    def _subscribed(self) -> bool:
        return self._network.is_open or self._subscriptions() > self._subscriptions_seen

    def _broker_died(self, away_s: float) -> None:
        self.done["kill broker"] += 1
        self._broker_comes = True
        self._network.close()
        self._after(away_s, self._start_broker)

    def _strike_broker(self, trouble: Trouble) -> None:
        self._limits = trouble.limits
        if not self._broker.running:
            self._after(1.0, lambda: self._strike_broker(trouble))
        elif trouble.aim:
            self._network.ambush(trouble.aim, self._broker.kill)
            if trouble.aim == "connecting":
                self._network.cut()
            self._after(_AIM_LASTS_S, self._kill_broker_if_missed)
        else:
            self._broker.kill()

    def _kill_broker_if_missed(self) -> None:
        if self._network.forget_ambush():
            self._broker.kill()

    def _pause(self, trouble: Trouble) -> None:
        if not self._network.is_open:
            self._after(1.0, lambda: self._pause(trouble))
            return
        self._broker.pause()
        self.done["pause broker"] += 1
        self._after(trouble.lasts_s, self._broker.resume)

    def _cut(self, trouble: Trouble) -> None:
        self._network.close()
        self._cut_until_s = time.monotonic() + trouble.lasts_s
        self.done["cut network"] += 1

    def _fill(self, trouble: Trouble) -> None:
        if self._disk.fill():
            self.done["fill disk"] += 1
            self._after(trouble.lasts_s, self._disk.empty)

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), action))

    def _is_over(self, last: Record) -> bool:
        """Whether nothing follows the last record of a machine.

        A kill may break off a decision to raise an alert, near the end of its fault. The next
        daemon makes it again, or has heard enough sound without the fault.
        """
        if last["kind"] == "cleared":
            return True
        sounds = [sound for sound in self._sounds if sound.machine == last["machine"]]
        broken_off = last["event"] == "decided" and last["kind"] == "raised"
        return broken_off and any(sound.heard_since_start_s() > _HEARD_S for sound in sounds)

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
            line["machine"]
            for line in lines
            if line["event"] == "returned" and line["kind"] == "cleared"
        )
        for recorder in self.recorders:
            plan = recorder.plan
            if not recorder.is_finished or cleared[plan.machine] < len(plan.tones):
                return False
        try:
            return not read_outbox(self._state / "outbox.sqlite3").alerts
        except AuscultError:
            return False
