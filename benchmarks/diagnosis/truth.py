"""What is true of a simulated fault. The diagnosis does not see this file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monitor.diagnosis import causes
from monitor.diagnosis.diagnose import Diagnosis
from monitor.sources.settings import SimulatedFault, SimulatedSettings
from monitor.sources.simulated import faults
from monitor.sources.simulated.motion import Motion

FAULTS = ("bearing", "imbalance", "looseness", "rub", "cavitation")
KINDS = {
    "bearing": {"impacts"},
    "imbalance": {"tone", "harmonics"},
    "looseness": {"subharmonics"},
    "rub": {"impacts", "broadband"},
    "cavitation": {"broadband"},
}
CAUSES = {
    "bearing": "outer race of 6205",
    "imbalance": causes.IMBALANCE,
    "looseness": causes.LOOSENESS,
    "rub": causes.RUB,
    "cavitation": causes.CAVITATION,
}
RATE_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one diagnosis. ``is_wrong``: the first finding names another fault's cause only.

    ``rate_share``: how far the rate of the first finding is from the true one; None if the
    finding is not the right one.
    """

    is_right: bool
    is_wrong: bool
    is_empty: bool
    rate_share: float | None


def settings(
    machine: str,
    seed: int,
    seconds: float,
    speeds_hz: tuple[float, ...],
    *,
    fault: str | None = None,
    severity: float = 1.0,
    unit: int = 0,
) -> SimulatedSettings:
    """A machine at one speed or at several, with or without a fault."""
    found = (SimulatedFault.model_validate({"kind": fault, "severity": severity}),) if fault else ()
    several = {"speeds_hz": speeds_hz} if len(speeds_hz) > 1 else {"speed_hz": speeds_hz[0]}
    return SimulatedSettings.model_validate(
        {
            "machine": machine,
            "seed": seed,
            "unit": unit,
            "realtime": False,
            "duration_s": seconds,
            "faults": found,
            **several,
        }
    )


def true_rates_hz(machine: SimulatedSettings) -> list[float]:
    """How often the first fault repeats in a second, at each speed."""
    motion = Motion(machine, np.random.default_rng([2, machine.seed]))
    fault = machine.faults[0]
    if machine.speeds_hz:
        speeds_hz = list(machine.speeds_hz)
    else:
        turns = motion.revolutions(np.array([0.0, float(machine.duration_s or 0.0)]))
        speeds_hz = [float(turns[1] - turns[0]) / float(machine.duration_s or 1.0)]
    (made,) = faults.faults_of(machine, motion, 1600)
    order = {"looseness": 0.5, "cavitation": 7.0}.get(fault.kind, 1.0)
    if isinstance(made, faults._Bearing):
        order = made._passes_a_revolution
    return [order * hz for hz in speeds_hz]


def judged(result: Diagnosis, machine: SimulatedSettings) -> Verdict:
    """Compare the first finding with the truth."""
    if not result.findings:
        return Verdict(False, False, True, None)
    first = result.findings[0]
    named = {fit.cause for fit in first.fits}
    if not machine.faults:
        return Verdict(False, bool(named), False, None)
    kind = machine.faults[0].kind
    right = first.kind in KINDS[kind] and CAUSES[kind] in named
    rate_share = None
    if right and first.rate_hz is not None:
        rate_share = min(abs(first.rate_hz / hz - 1.0) for hz in true_rates_hz(machine))
    return Verdict(right, bool(named) and CAUSES[kind] not in named, False, rate_share)
