"""All monitored machines: starts, replaces, checks and stops them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from monitor.evidence.recorder import Recorder
from monitor.learning.learner import Learner
from monitor.live.feed import LiveFeed
from monitor.service.engine import Engine
from monitor.service.machine import Machine
from monitor.service.machine_history import MachineHistory
from monitor.service.machine_plan import MachinePlan
from monitor.service.outlet import Outlet
from monitor.service.running_signal import RunningSignal
from monitor.service.turns import Turns
from monitor.sources.protocol import Source
from monitor.sources.registry import open_source
from monitor.sources.settings import SourceSettings

log = logging.getLogger(__name__)


class SupervisedOutlet(Outlet, Protocol):
    """An outlet that can also forget a machine."""

    def forget(self, machine: str) -> None:
        """The machine is no longer monitored: clear its alert and remove its state."""


def no_learner(_machine: str) -> Learner | None:
    """No machine is learned."""
    return None


def no_evidence(_machine: str) -> Recorder | None:
    """Nothing is kept of alerts."""
    return None


def no_live_feed(_machine: str) -> LiveFeed | None:
    """Nobody looks at the machine."""
    return None


@dataclass(frozen=True, slots=True)
class Changes:
    """What new plans changed, by machine id."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    kept: list[str]

    def __str__(self) -> str:
        parts = (
            f"{len(ids)} {name}"
            for name, ids in (
                ("added", self.added),
                ("changed", self.changed),
                ("removed", self.removed),
                ("unchanged", self.kept),
            )
            if ids
        )
        return "machines: " + ", ".join(parts)


class Supervisor:
    """Every machine of the daemon. Used from one thread only."""

    STOP_TIMEOUT_S: ClassVar[float] = 0.8
    START_SPREAD_S: ClassVar[float] = 0.5

    def __init__(
        self,
        outlet: SupervisedOutlet,
        open_source: Callable[[SourceSettings, Path | None], Source] = open_source,
        *,
        state_dir: Path | None = None,
        listen: Callable[[Sequence[RunningSignal]], None] = lambda _signals: None,
        learner: Callable[[str], Learner | None] = no_learner,
        history: Callable[[str], MachineHistory] = MachineHistory,
        evidence: Callable[[str], Recorder | None] = no_evidence,
        live: Callable[[str], LiveFeed | None] = no_live_feed,
    ) -> None:
        """``state_dir``: what folder sources have read, running hours and starts are kept there.

        ``learner``: of a machine that is learned. ``history``, ``evidence`` and ``live``: of a
        machine that starts.
        """
        self._learner = learner
        self._history = history
        self._evidence = evidence
        self._live = live
        self._outlet = outlet
        self._state_dir = state_dir
        self._listen = listen
        self._open_source = open_source
        self._engine = Engine()
        self._turns = Turns()
        self.machines: dict[str, Machine] = {}

    def apply(self, plans: Sequence[MachinePlan]) -> Changes:
        """Monitor by these plans from now on.

        A machine whose plan has not changed continues and loses no sample. The same is true if
        only its bundle has changed.
        """
        wanted = {plan.settings.id: plan for plan in plans}
        running = self.machines
        kept = [
            name for name in wanted if name in running and wanted[name].same_as(running[name].plan)
        ]
        adopting = [
            name
            for name in wanted
            if name in running
            and name not in kept
            and running[name].is_alive
            and wanted[name].continues(running[name].plan)
        ]
        changes = Changes(
            added=[name for name in wanted if name not in running],
            changed=[name for name in wanted if name in running and name not in kept],
            removed=[name for name in running if name not in wanted],
            kept=kept,
        )
        for name in adopting:
            running[name].adopt(wanted[name])
        for name in (*kept, *adopting):
            running[name].attach(self._learner(name))
        restarting = [name for name in changes.changed if name not in adopting]
        self._end([running[name] for name in (*restarting, *changes.removed)])
        for name in changes.removed:
            del running[name]
            self._outlet.forget(name)
        starting = (*restarting, *changes.added)
        for position, name in enumerate(starting):
            if position:
                # Streams that begin together would all need the processor at the same moments.
                time.sleep(self.START_SPREAD_S / len(starting))
            plan = wanted[name]
            source = self._open_source(plan.settings.source, self._file("folders", name, "sqlite3"))
            operation_file = self._file("operation", name, "json")
            running[name] = Machine(
                plan,
                source,
                self._outlet,
                operation_file=operation_file,
                history=self._history(name),
                evidence=self._evidence(name),
                live=self._live(name),
                engine=self._engine,
            )
            running[name].attach(self._learner(name))
            running[name].start()
        self._listen([one.signal for one in running.values() if one.signal is not None])
        return changes

    def publish_states(self) -> None:
        """Publish the state of every machine, for a broker that does not have the states."""
        for machine in self.machines.values():
            machine.publish_state()

    def log_coverage(self) -> None:
        """Log how much of the time every machine was monitored."""
        for name, machine in self.machines.items():
            log.info("coverage", extra={"machine": name, **machine.coverage()})

    def stop(self) -> None:
        """End every machine; its last state is published."""
        machines = list(self.machines.values())
        self._engine.stop()
        self._end(machines)
        self.log_coverage()
        for machine in machines:
            machine.publish_stopped()
        self.machines.clear()

    def stalled(self) -> list[str]:
        """The ids of the machines that have stalled. The others go on without one that hangs."""
        self._engine.relieve()
        now_s = time.monotonic()
        return [name for name, machine in self.machines.items() if machine.stalled(now_s)]

    def share_time(self) -> None:
        """Let machines rest in turn while there is not enough computing time for all. Call it
        about every second."""
        self._turns.turn(self.machines.values(), self._engine.take_load(), time.monotonic())

    def all_ended(self) -> bool:
        """Whether every source was finite and has ended."""
        return all(machine.ended for machine in self.machines.values())

    def summary(self) -> str:
        """For the status line: ``3 machines: 2 ok, 1 unavailable (pump-7)``."""
        counts = Counter(str(machine.state.status) for machine in self.machines.values())
        parts = [f"{number} {status}" for status, number in sorted(counts.items())]
        plural = "" if len(self.machines) == 1 else "s"
        return f"{len(self.machines)} machine{plural}: {', '.join(parts)}"

    def _file(self, folder: str, machine: str, ending: str) -> Path | None:
        return self._state_dir / folder / f"{machine}.{ending}" if self._state_dir else None

    def _end(self, machines: Iterable[Machine]) -> None:
        """Stop them at the same time: the slowest one decides how long it takes."""
        machines = list(machines)
        for machine in machines:
            machine.ask_to_stop()
        deadline_s = time.monotonic() + self.STOP_TIMEOUT_S
        for machine in machines:
            if not machine.join(max(0.0, deadline_s - time.monotonic())):
                log.error(
                    "the machine does not stop: what it still does is ignored",
                    extra={"machine": machine.id},
                )
