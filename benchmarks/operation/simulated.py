"""A simulated machine with fifty starts and stops, with run-up and coast-down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from benchmarks._machine import sound_of
from benchmarks.operation.following import RATE_HZ, Followed, followed
from benchmarks.operation.recorded import trained
from benchmarks.operation.rows import Row, row
from monitor.domain import FloatArray
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.sources.settings import SimulatedFault, SimulatedSettings
from monitor.sources.simulated.machine import SimulatedMachine

STARTS = 50
MACHINES = ("pump", "fan", "gearbox")
STOPPING = {"runs_s": 24.0, "rests_s": 16.0, "run_up_s": 2.0, "coast_down_s": 4.0}
N_RECORDINGS = 12
RECORDING_S = 20.0


def settings(machine: str, seed: int, *, stops: bool, **options: object) -> SimulatedSettings:
    """A machine that always runs, or that stops."""
    values = {"machine": machine, "seed": seed, "realtime": False, **options}
    if stops:
        values |= STOPPING
    else:
        values |= {"runs_s": 86_400.0}
    return SimulatedSettings.model_validate(values)


def recordings(folder: Path, machine: str, *, stops: bool) -> list[Path]:
    """Healthy recordings, half a minute apart, of a machine that runs or that also stops."""
    folder.mkdir(parents=True)
    paths = []
    for number in range(N_RECORDINGS):
        seconds = 2 * RECORDING_S if stops else RECORDING_S
        sound = sound_of(settings(machine, 100 + number, stops=stops, duration_s=seconds))
        paths.append(folder / f"{number:02d}.flac")
        soundfile.write(paths[-1], sound, RATE_HZ)
    return paths


def starts_and_stops(
    bundle: Bundle, network: Network, machine: str, n_starts: int, *faults: SimulatedFault
) -> Followed:
    """A stream of ``n_starts`` after the first run, as many stops, and a last whole run."""
    simulated = SimulatedMachine(settings(machine, 0, stops=True, faults=faults))
    seconds = n_starts * (STOPPING["runs_s"] + STOPPING["rests_s"]) + STOPPING["runs_s"]
    n_cells = int(seconds * RATE_HZ / simulated.cell_samples)
    return followed(bundle, network, (simulated.cell(index).copy() for index in range(n_cells)))


def simulated(folder: Path) -> Iterator[Row]:
    """Each type of machine, trained without and with its stops."""
    for machine in MACHINES:
        for stops in (False, True):
            name = f"simulated {machine}{', stops learned' if stops else ''}"
            paths = recordings(folder / name, machine, stops=stops)
            result, network = trained(paths, folder / f"{name}.bundle")
            one = starts_and_stops(result.bundle, network, machine, STARTS)
            yield row(name, f"{STARTS} starts and stops", one, starts=STARTS)


def room(seconds: float) -> FloatArray:
    """The room of a machine that is off. Shape: ``(n,)``."""
    machine = SimulatedMachine(
        SimulatedSettings(runs_s=1.0, rests_s=86_400.0, run_up_s=0.1, coast_down_s=0.1)
    )
    first = round(2.0 * RATE_HZ / machine.cell_samples)
    n_cells = round(seconds * RATE_HZ / machine.cell_samples)
    return np.concatenate([machine.cell(index) for index in range(first, first + n_cells)])
