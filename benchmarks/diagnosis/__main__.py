"""Measure whether a diagnosis names the right cause, and nothing where nothing is certain.

    python -m benchmarks.diagnosis [--seeds N] [--only simulated|recorded|healthy|cost]

- simulated machines: all faults, three types, severities 1, 0.6 and 0.3, one and two speeds, the
  speed known, known within 5 %, and unknown. The first finding must have the right kind and name
  the right cause. The true rates are in ``truth.py``, which the diagnosis does not see.
- recordings with a fault, and healthy ones: the findings and their spectra are printed
- cost: the processor time of a diagnosis of 30 s

Exits with status 1 if one of the simulated figures is not as it must be.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from benchmarks._machine import one_thread
from benchmarks.diagnosis import recorded, simulated
from benchmarks.diagnosis.truth import settings


def cost() -> list[str]:
    """Print the processor time of a diagnosis, and as a multiple of one Fourier transform."""
    from benchmarks._machine import sound_of
    from monitor.diagnosis.diagnose import compared
    from monitor.diagnosis.healthy_sound import HealthySound
    from monitor.diagnosis.segments import SegmentPlan

    sound = sound_of(settings("pump", 1, simulated.SECONDS, (24.5,), fault="bearing"))
    plan = SegmentPlan.for_sound(simulated.SECONDS, simulated.RATE_HZ)
    healthy = [sound_of(settings("pump", n, simulated.SECONDS, (24.5,))) for n in range(2, 8)]
    reference = HealthySound.of(healthy, plan, simulated.SECONDS)
    shaft = simulated.shafts((24.5,))["known"]

    def seconds(task: object, repeats: int = 7) -> float:
        times = []
        for _ in range(repeats):
            begin = time.process_time()
            task()  # type: ignore[operator]  # any function without arguments
            times.append(time.process_time() - begin)
        return float(np.median(times))

    diagnosis_s = seconds(lambda: compared(sound, plan, reference, shaft))
    transform_s = seconds(lambda: np.fft.rfft(sound.astype(np.float64)))
    print(
        f"a diagnosis of {simulated.SECONDS:g} s takes {diagnosis_s * 1000:.0f} ms of processor "
        f"time, {diagnosis_s / transform_s:.0f} times a Fourier transform of the same sound"
    )
    return [] if diagnosis_s < 0.2 else ["a diagnosis takes more than 200 ms"]


def main() -> None:
    """Run the parts and print the tables."""
    one_thread()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", choices=["simulated", "recorded", "healthy", "cost"])
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--states", choices=list(simulated.STATES))
    parser.add_argument("--machine", choices=simulated.MACHINES)
    options = parser.parse_args()
    wrong: list[str] = []
    if options.only in {None, "simulated"}:
        counts = simulated.measured(
            range(options.first_seed, options.first_seed + options.seeds),
            [options.states] if options.states else list(simulated.STATES),
            [options.machine] if options.machine else simulated.MACHINES,
        )
        print("\n".join(simulated.table(counts)))
        wrong += simulated.problems(counts)
    if options.only in {None, "cost"}:
        wrong += cost()
    if options.only in {None, "recorded"}:
        recorded.suspects()
    if options.only in {None, "healthy"}:
        recorded.healthy_ones()
    print(f"{len(wrong)} of these are not as they must be")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
