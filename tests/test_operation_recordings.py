"""Starts and stops of real machines, if recordings are available, and of a simulated one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks._machine import sound_of
from benchmarks.operation.recorded import each, fan_halves, fan_stream, trained
from benchmarks.operation.simulated import MACHINES, settings, starts_and_stops
from monitor.detection.operation import OperationStatus
from monitor.model.network import Network
from tests.conftest import shared_data
from tests.real_sound import QUICK
from tests.stopping_machine import bundle_with_operation


@pytest.mark.parametrize("learned", ["running", "with stops"])
@pytest.mark.parametrize("machine", MACHINES)
def test_every_start_and_stop_of_a_simulated_machine_is_counted(
    machine: str, learned: str, tmp_path: Path
) -> None:
    """A machine with run-up and coast-down raises an alert, or its starts are miscounted."""
    healthy = [sound_of(settings(machine, n, stops=False, duration_s=15.0)) for n in range(1, 7)]
    if learned == "with stops":
        healthy += [sound_of(settings(machine, 9, stops=True, duration_s=40.0))]
    bundle = bundle_with_operation(tmp_path / "bundle", healthy)
    followed = starts_and_stops(bundle, Network(bundle), machine, 3)
    assert (followed.n_starts, followed.n_stops) == (3, 3)
    assert followed.decisions == []


@pytest.mark.data
@pytest.mark.slow
def test_a_fan_that_is_switched_off_raises_nothing(tmp_path: Path) -> None:
    """Switching a real machine off raises an alert, or its fault is missed."""
    fan = shared_data("desk_fan")
    name, training, on = next(fan_halves())
    result, network = trained(training, tmp_path / "fan.bundle", QUICK)
    off = sorted((fan / "off").iterdir())
    stopped = each(result, network, off[:4])
    assert stopped.n_alerts == 0
    assert stopped.share(OperationStatus.OFF) >= 0.95
    assert fan_stream(name, result, network, on, off).problem == ""
