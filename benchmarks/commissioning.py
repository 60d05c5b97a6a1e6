"""A simulated machine is learned for three days and monitored for seven.

    python -m benchmarks.commissioning [--seeds 3] [--day-s 600]

The machine starts and stops, its load changes, its pitch wanders by 1 %, people talk and knock
beside it by day, and on the second day there is a fault for one hour. Learning and monitoring are
those of the daemon, with training in a child process. Days are compressed to ``--day-s`` seconds
of sound. After the last day the machine has a fault that must raise an alert. Ends with status 1
if a seed fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks._machine import RATE_HZ, one_thread
from monitor.clock import Clock
from monitor.domain import AudioBlock, FloatArray, SourceStatus
from monitor.learning.journal import folder_of, in_use
from monitor.learning.learner import Learner
from monitor.learning.rule import most_alarms
from monitor.learning.settings import LearningSettings
from monitor.learning.unscored_pipeline import UnscoredPipeline
from monitor.model.bundle import load_bundle
from monitor.pipeline import Pipeline
from monitor.sources.settings import SimulatedFault, SimulatedSettings
from monitor.sources.simulated.machine import SimulatedMachine

LEARNING_DAYS, MONITORED_DAYS = 3, 7
FAULT_DAY = 1.4
"""When the fault of one hour begins."""
LAST_FAULT_S = 400.0
"""The fault is present at a start, so that it must last for ``start_fault_s`` of running."""
_TURN_S = 5.0
_START_UNIX_S = 1_795_000_000.0
_SPEED_HZ, _WANDER, _N_SPEEDS = 24.5, 0.01, 24


class Room:
    """A machine among people. ``cell(index)`` is always the same."""

    def __init__(self, seed: int, day_s: float) -> None:
        random = np.random.default_rng((seed, 1))
        steps = np.clip(np.cumsum(random.normal(0.0, 0.35, _N_SPEEDS)), -1.0, 1.0)
        hour_s = day_s / 24.0
        first_s, last_s = FAULT_DAY * day_s, (LEARNING_DAYS + MONITORED_DAYS) * day_s
        self._machine = SimulatedMachine(
            SimulatedSettings(
                seed=seed,
                unit=seed,
                sample_rate_hz=RATE_HZ,
                realtime=False,
                load_variation=0.2,
                speeds_hz=tuple(_SPEED_HZ * (1.0 + _WANDER * step) for step in steps),
                regime_s=max(2.0, 0.15 * day_s),
                runs_s=0.15 * day_s,
                rests_s=0.05 * day_s,
                faults=(
                    SimulatedFault(kind="bearing", onset_s=first_s, end_s=first_s + hour_s),
                    SimulatedFault(kind="bearing", onset_s=last_s, severity=0.5),
                ),
            )
        )
        self._seed, self._day_s = seed, day_s
        self.cell_samples = self._machine.cell_samples

    def cell(self, index: int) -> FloatArray:
        """0.1 s of sound."""
        sound = self._machine.cell(index)
        day = index * self.cell_samples / RATE_HZ / self._day_s
        if day % 1.0 > 0.5:  # at night nobody is there
            return sound
        episode = np.random.default_rng((self._seed, 2, index // 100))
        if episode.random() > 0.3:
            return sound
        random = np.random.default_rng((self._seed, 3, index))
        noise = random.normal(0.0, 1.0, len(sound) + 8)
        kernel = np.ones(8) / 8.0  # speech has little above 2 kHz
        voice = np.convolve(noise, kernel, "valid")[: len(sound)]
        gain = 0.003 * abs(np.sin(index * 0.9)) * (1.0 + episode.random())
        people = gain * voice
        if random.random() < 0.1:  # a knock
            ring = np.exp(-np.arange(len(sound)) / (0.01 * RATE_HZ))
            people += 0.05 * ring * random.normal(0.0, 1.0, len(sound))
        return np.asarray(np.clip(sound + people, -1.0, 1.0), dtype=np.float32)


@dataclass(slots=True)
class Outcome:
    """What happened with one seed. Days are compressed, times are seconds of sound."""

    bundles: int = 0
    armed_day: float | None = None
    alarms_before: int = 0
    set_aside: int = 0
    wrongly_aside: int = 0
    scored_s: float = 0.0
    false_alarms: int = 0
    detected_after_s: float | None = None

    @property
    def ok(self) -> bool:
        """Whether everything that is promised was kept."""
        return (
            self.armed_day is not None
            and self.false_alarms <= most_alarms(1.0, self.scored_s)
            and self.detected_after_s is not None
            and self.set_aside > 0
        )


def run(seed: int, day_s: float, state: Path) -> Outcome:
    """Learn and monitor one machine."""
    outcome, now_s = Outcome(), [0.0]
    clock = Clock(
        steady_s=lambda: now_s[0],
        unix_s=lambda: _START_UNIX_S + now_s[0] * 86_400.0 / day_s,
        boot_id="simulated",
    )
    settings = LearningSettings(
        days=LEARNING_DAYS,
        first_after_min=0.2 * day_s / 60.0,
        piece_s=4.0,
        every_s=day_s / 80.0,
        trainer="child",
    )
    learner = Learner("m", settings, folder_of(state, "m"), clock=clock, day_s=day_s)
    room = Room(seed, day_s)
    pipeline: Pipeline | UnscoredPipeline = UnscoredPipeline()
    is_new, turn_s = False, 0.0
    monitored_s = (LEARNING_DAYS + MONITORED_DAYS) * day_s
    n_cells = round((monitored_s + LAST_FAULT_S) * RATE_HZ / room.cell_samples)
    fault_s = (FAULT_DAY * day_s, (FAULT_DAY + 1.0 / 24.0) * day_s)
    for index in range(n_cells):
        at_s = index * room.cell_samples / RATE_HZ
        now_s[0] = at_s
        block = AudioBlock(room.cell(index), RATE_HZ, index * room.cell_samples, is_new)
        is_new = False
        output = pipeline.push(block)
        alarm = pipeline.thresholds.alarm if isinstance(pipeline, Pipeline) else 0.0
        learner.push(
            block,
            usable=pipeline.state.status not in {SourceStatus.NO_SIGNAL, SourceStatus.DEGRADED},
            operation=pipeline.operation,
            scores=output.scores,
            decisions=output.decisions,
            starts=sum(change.is_start for change in output.operation),
            alarm_threshold=alarm,
        )
        raised = sum(decision.kind == "raised" for decision in output.decisions)
        if learner.stage != "armed":
            outcome.alarms_before += raised
        elif at_s < monitored_s:
            outcome.false_alarms += raised
            outcome.scored_s += room.cell_samples / RATE_HZ if output.scores else 0.0
        elif raised and outcome.detected_after_s is None:
            outcome.detected_after_s = at_s - monitored_s
        if at_s < turn_s or learner.stage == "armed":
            continue
        turn_s = at_s + _TURN_S
        learner.flush()
        if _turn(learner):
            pipeline, is_new = Pipeline(load_bundle(in_use(state, "m", None).bundles[0])), True
            _show(seed, at_s / day_s, learner)
        status = learner.status()
        if status["stage"] == "armed" and outcome.armed_day is None:
            outcome.armed_day = at_s / day_s
            outcome.bundles = status["bundles"]
    _count_aside(learner, outcome, fault_s)
    learner.stop()
    return outcome


def _turn(learner: Learner) -> bool:
    """What is due, with a training to its end; whether the bundle or the stage has changed."""
    changed = learner.turn()
    while learner.status()["training"]:
        time.sleep(0.2)
        changed |= learner.turn()
    return changed


def _count_aside(learner: Learner, outcome: Outcome, fault_s: tuple[float, float]) -> None:
    """Which pieces were set aside. The name of a piece has its position in milliseconds."""
    for piece in learner.status()["set_aside_pieces"]:
        at_s = int(Path(piece["name"]).stem.rpartition("-")[2]) / 1000.0
        if fault_s[0] - 4.0 <= at_s <= fault_s[1]:
            outcome.set_aside += 1
        else:
            outcome.wrongly_aside += 1


def _show(seed: int, day: float, learner: Learner) -> None:
    status = learner.status()
    text = f"seed {seed}, day {day:.2f}: {status['stage']}, bundle {status['bundle']}, "
    print(text + status["text"], file=sys.stderr, flush=True)


def main() -> int:
    """Run all seeds and print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--day-s", type=float, default=600.0)
    arguments = parser.parse_args()
    one_thread()
    print(
        "| seed | bundles | warnings in 3 days | armed on day | fault pieces set aside "
        "| others set aside | false alarms in 7 days | fault detected after |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    failed = 0
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            one = run(seed, arguments.day_s, Path(folder))
        failed += not one.ok
        armed = "never" if one.armed_day is None else f"{one.armed_day:.1f}"
        after = "never" if one.detected_after_s is None else f"{one.detected_after_s:.0f} s"
        print(
            f"| {seed} | {one.bundles} | {one.alarms_before} | {armed} | {one.set_aside} "
            f"| {one.wrongly_aside} | {one.false_alarms} | {after} |",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
