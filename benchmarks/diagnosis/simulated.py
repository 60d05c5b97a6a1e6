"""Faults of simulated machines, with the speed known, known within 5 %, and unknown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks._machine import sound_of
from benchmarks.diagnosis.truth import FAULTS, RATE_SHARE, Verdict, judged, settings
from monitor.diagnosis.diagnose import compared
from monitor.diagnosis.healthy_sound import HealthySound
from monitor.diagnosis.segments import SegmentPlan
from monitor.diagnosis.settings import ShaftSettings

MACHINES = ("pump", "fan", "gearbox")
RATE_HZ = 16_000
SECONDS = 30.0
STATES = {"one speed": (24.5,), "two speeds": (24.5, 29.3)}
SEVERITIES = (1.0, 0.6, 0.3)
N_HEALTHY, HEALTHY_S = 8, 40.0


def shafts(speeds_hz: tuple[float, ...]) -> dict[str, ShaftSettings]:
    """What the diagnosis is given. Within 5 %: the given middle is off by 2 %."""
    low, high = min(speeds_hz), max(speeds_hz)
    exact = (low, low) if low == high else (low * 0.99, high * 1.01)
    given: dict[str, dict[str, object]] = {
        "known": {"speed_hz": exact},
        "within 5 %": {"speed_hz": (low * 0.97, high * 1.07)},
        "unknown": {},
    }
    return {
        name: ShaftSettings.model_validate({"bearings": ["6205"], **values})
        for name, values in given.items()
    }


@dataclass(slots=True)
class Counts:
    """Verdicts of one row."""

    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many."""
        return len(self.verdicts)

    def share(self, name: str) -> float:
        """Of the verdicts for which this is true."""
        return sum(bool(getattr(one, name)) for one in self.verdicts) / max(1, self.total)

    @property
    def exact(self) -> float:
        """The share of right findings whose rate is right."""
        rates = [one.rate_share for one in self.verdicts if one.rate_share is not None]
        return sum(rate <= RATE_SHARE for rate in rates) / max(1, len(rates))


Key = tuple[str, str, float, str]
"""States, what is known of the speed, severity (0 for none), fault (empty for none)."""


def measured(
    seeds: range, states: Sequence[str] = tuple(STATES), machines: Sequence[str] = MACHINES
) -> dict[Key, Counts]:
    """Diagnose every machine, in each of the states that are keys of ``STATES``."""
    counts: dict[Key, Counts] = defaultdict(Counts)
    plan = SegmentPlan.for_sound(SECONDS, RATE_HZ)
    for state in states:
        speeds_hz = STATES[state]
        for machine in machines:
            for seed in seeds:
                sounds = [
                    sound_of(settings(machine, 1000 + n, HEALTHY_S, speeds_hz, unit=seed))
                    for n in range(N_HEALTHY)
                ]
                reference = HealthySound.of(sounds, plan, SECONDS)
                cases = [(fault, severity) for fault in FAULTS for severity in SEVERITIES]
                for fault, severity in [*cases, (None, 0.0)]:
                    made = settings(
                        machine, seed, SECONDS, speeds_hz, fault=fault, severity=severity, unit=seed
                    )
                    sound = sound_of(made)
                    for known, shaft in shafts(speeds_hz).items():
                        result = compared(sound, plan, reference, shaft)
                        key = (state, known, severity, fault or "")
                        counts[key].verdicts.append(judged(result, made))
    return counts


def table(counts: dict[Key, Counts]) -> list[str]:
    """A row for each key, and a problem at the end of those that are not as they must be."""
    lines = [
        "| speeds | speed | severity | fault | right | wrong | nothing | rate |",
        "|---" * 8 + "|",
    ]
    for (state, known, severity, fault), row in sorted(counts.items()):
        shares = [row.share(name) for name in ("is_right", "is_wrong", "is_empty")]
        cells = " | ".join(f"{share:.0%}" for share in (*shares, row.exact))
        lines.append(f"| {state} | {known} | {severity:g} | {fault or 'none'} | {cells} |")
    return lines


def problems(counts: dict[Key, Counts]) -> list[str]:
    """What is not as it must be, over all faults and machines."""
    found = []
    for states in STATES:
        for known, severity, least in (
            ("known", 1.0, 0.95),
            ("within 5 %", 1.0, 0.95),
            ("unknown", 1.0, 0.8),
            ("known", 0.3, 0.7),
        ):
            rows = [
                one
                for (at, how, much, fault), row in counts.items()
                if (at, how, much) == (states, known, severity) and fault
                for one in row.verdicts
            ]
            if not rows:
                continue
            right = float(np.mean([one.is_right for one in rows]))
            wrong = float(np.mean([one.is_wrong for one in rows]))
            line = f"{states}, speed {known}, severity {severity:g}: {right:.1%} right"
            line += f" (least {least:.0%}), {wrong:.1%} wrong (most 5 %), {len(rows)} diagnoses"
            print(line)
            if right < least or wrong > 0.05:
                found.append(line)
    healthy = [one for key, row in counts.items() if not key[3] for one in row.verdicts]
    nothing = float(np.mean([one.is_empty for one in healthy]))
    line = f"healthy: nothing found in {nothing:.1%} of {len(healthy)} (least 98 %)"
    print(line)
    if nothing < 0.98:
        found.append(line)
    rates = [one.rate_share for row in counts.values() for one in row.verdicts if one.rate_share]
    exact = float(np.mean(np.array(rates) <= RATE_SHARE))
    line = f"rates: {exact:.1%} of {len(rates)} within {RATE_SHARE:.1%}, the worst {max(rates):.2%}"
    print(line)
    if exact < 0.99:
        found.append(line)
    return found
