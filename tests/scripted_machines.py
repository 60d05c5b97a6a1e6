"""Machines for tests: sources that play given items, and an outlet that keeps everything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monitor.alerts import Alert, AlertDraft
from monitor.config.settings import MachineSettings
from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.outbox.queue import Outbox
from monitor.service.machine_plan import MachinePlan
from monitor.sources.protocol import Source, SourceItem
from monitor.sources.settings import SimulatedSettings, SourceSettings
from tests.bundles import SPEC, machine_sound

RATE_HZ = SPEC.sample_rate_hz

Script = Callable[[threading.Event], Iterator[SourceItem]]


@dataclass
class RecordingOutlet:
    """An outlet that keeps everything, with a real outbox."""

    outbox: Outbox
    states: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    scores: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    operations: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    def open_alert(self, machine: str) -> Alert | None:
        return self.outbox.open_alert(machine)

    def alert(self, draft: AlertDraft) -> Alert:
        alert = self.outbox.append(draft)
        self.alerts.append(alert)
        return alert

    def state(self, machine: str, payload: dict[str, Any]) -> None:
        self.states.append((machine, payload))

    def operation(self, machine: str, payload: dict[str, Any]) -> None:
        self.operations.append((machine, payload))

    def score(self, machine: str, payload: dict[str, Any]) -> None:
        self.scores.append((machine, payload))

    def forget(self, machine: str) -> None:
        self.forgotten.append(machine)

    def last_state(self, machine: str = "m") -> dict[str, Any]:
        return next(payload for name, payload in reversed(self.states) if name == machine)

    def state_sequence(self, machine: str = "m") -> list[str]:
        """The states in order, without repetitions."""
        values: list[str] = []
        for name, payload in self.states:
            if name == machine and payload["state"] not in values[-1:]:
                values.append(payload["state"])
        return values


@dataclass
class ScriptedSource:
    """A source that plays a script."""

    script: Script
    data_timeout_s: float | None = 0.0
    sample_rate_hz: int | None = RATE_HZ

    def blocks(self, stop: threading.Event) -> Generator[SourceItem, None, None]:
        yield from self.script(stop)


def playing(*items: SourceItem, forever: bool = True) -> ScriptedSource:
    """A source that yields these items, and then waits until it is stopped or ends."""

    def script(stop: threading.Event) -> Iterator[SourceItem]:
        for item in items:
            if stop.is_set():
                return
            yield item
        if forever:
            stop.wait(60)

    return ScriptedSource(script)


def opening(*sources: ScriptedSource) -> Callable[[SourceSettings, Path | None], Source]:
    """A factory for the supervisor: source n replaces the simulated source of seed n."""

    def open_scripted(settings: SourceSettings, _ledger: Path | None) -> Source:
        assert isinstance(settings, SimulatedSettings)
        return sources[settings.seed]

    return open_scripted


def cut(samples: np.ndarray[Any, Any], size: int, first: int = 0) -> list[AudioBlock]:
    """Samples as blocks of ``size`` samples, numbered from ``first``."""
    return [
        AudioBlock(samples[i : i + size], RATE_HZ, first + i) for i in range(0, len(samples), size)
    ]


def fault_and_back() -> np.ndarray[Any, Any]:
    """20 s of healthy sound, 20 s of a fault, 30 s of healthy sound."""
    parts = [machine_sound(20, seed=1), machine_sound(20, seed=2, fault=0.3), machine_sound(30)]
    return np.concatenate(parts)


def plan(bundle: Bundle, network: Network, machine: str = "m", seed: int = 0) -> MachinePlan:
    """A plan that publishes every score."""
    return MachinePlan(
        settings=MachineSettings(
            id=machine, bundle=bundle.path, source=SimulatedSettings(seed=seed)
        ),
        detector=DetectorSettings(),
        bundle=bundle,
        network=network,
        inference_threads=1,
        score_interval_s=1e-9,
        stall_limit_s=5.0,
    )
