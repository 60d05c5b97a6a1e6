"""Whether a machine has stalled, as reported to the watchdog."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from monitor.domain import SourceState, SourceStatus
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.pipeline import Pipeline
from monitor.service.machine import Machine
from monitor.sources.protocol import unavailable
from monitor.sources.registry import open_source
from monitor.sources.settings import (
    CommandSettings,
    FileSettings,
    FolderSettings,
    LogMelSettings,
    SourceSettings,
)
from tests.bundles import machine_sound
from tests.scripted_machines import (
    RecordingOutlet,
    cut,
    plan,
    playing,
)
from tests.waiting import wait_for


def later(machine: Machine) -> float:
    return time.monotonic() + machine.plan.stall_limit_s + 1


def test_a_pipeline_that_hangs_has_stalled(
    bundle: Bundle,
    network: Network,
    record: RecordingOutlet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A daemon that no longer monitors would look healthy."""
    hanging, release = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        hanging.set()
        release.wait(30)

    source = playing(*cut(machine_sound(2), 1600))
    monkeypatch.setattr(Pipeline, "push", hang)
    machine = Machine(plan(bundle, network), source, record)
    machine.start()
    assert hanging.wait(10)
    assert not machine.stalled(time.monotonic())
    assert machine.stalled(later(machine))
    machine.ask_to_stop()
    release.set()
    assert machine.join(2)


def test_a_source_that_yields_nothing_has_stalled(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """A source that hangs without a report would never be started again."""
    source = playing(*cut(machine_sound(1), 1600))
    machine = Machine(plan(bundle, network), source, record)
    machine.start()
    wait_for(lambda: machine.coverage()["monitored_s"] == 1.0)
    assert not machine.stalled(time.monotonic())
    assert machine.stalled(later(machine))
    machine.ask_to_stop()


@pytest.mark.parametrize("state", [unavailable("disconnected", "unplugged"), None])
def test_an_unplugged_or_ended_source_has_not_stalled(
    bundle: Bundle,
    network: Network,
    record: RecordingOutlet,
    state: SourceState | None,
) -> None:
    """An unplugged microphone would restart the service again and again."""
    source = playing(state) if state else playing(*cut(machine_sound(1), 99), forever=False)
    machine = Machine(plan(bundle, network), source, record)
    machine.start()
    wait_for(lambda: machine.state.status is SourceStatus.UNAVAILABLE)
    assert not machine.stalled(later(machine))
    machine.ask_to_stop()


@pytest.mark.parametrize(
    ("settings", "stalled"),
    [
        (FolderSettings(path=Path("recordings")), False),
        (LogMelSettings(path=Path("recordings")), False),
        (CommandSettings(command=("cat",), silence_timeout_s=60), False),
        (CommandSettings(command=("cat",), silence_timeout_s=0.5), True),
        (FileSettings(path=Path("pump.wav")), True),
    ],
)
def test_a_source_that_may_wait_has_not_stalled(
    bundle: Bundle,
    network: Network,
    record: RecordingOutlet,
    settings: SourceSettings,
    stalled: bool,
) -> None:
    """A folder that receives no recording for a night would restart the service."""
    machine = Machine(plan(bundle, network), open_source(settings), record)
    assert machine.stalled(later(machine)) is stalled
