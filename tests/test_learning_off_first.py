"""A machine that is off when its learning begins, with real trainings of its pieces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.detection.operation import OperationStatus
from monitor.domain import AudioBlock, FloatArray
from monitor.learning.journal import folder_of, in_use
from monitor.learning.learner import Learner
from monitor.learning.settings import LearningSettings
from monitor.learning.trainers.protocol import Job, Result
from monitor.learning.unscored_pipeline import UnscoredPipeline
from monitor.model.bundle import load_bundle
from monitor.pipeline import Pipeline
from monitor.sources.settings import SimulatedSettings
from monitor.sources.simulated.machine import SimulatedMachine
from tests.clocks import FakeClock
from tests.tiny_sound import SETTINGS
from training.sound.request import AudioRequest
from training.sound.train import train_audio

pytestmark = pytest.mark.slow

RATE_HZ, DAY_S, OFF_S = 16_000, 600.0, 75.0


class InThisProcess:
    """Trains at once, because a process of its own would need much longer to start."""

    advice, can_start, is_running, waits_for_a_person = "", True, False, False

    def __init__(self, work: Path) -> None:
        self._work = work
        self._results: list[Result] = []

    def start(self, job: Job) -> None:
        out = self._work / str(len(list(self._work.iterdir())))
        train_audio(AudioRequest((Path(job.pieces),), out, settings=SETTINGS))
        self._results.append(Result(out))

    def poll(self) -> Result | None:
        return self._results.pop() if self._results else None

    def stop(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing runs."""


class OffAtFirst:
    """A simulated machine that stands still for ``OFF_S``, with people beside it."""

    def __init__(self) -> None:
        self._machine = SimulatedMachine(
            SimulatedSettings(
                seed=3, sample_rate_hz=RATE_HZ, realtime=False, runs_s=60.0, rests_s=30.0
            )
        )
        self.cell_s = self._machine.cell_samples / RATE_HZ

    def cell(self, index: int) -> FloatArray:
        if index * self.cell_s >= OFF_S:
            return self._machine.cell(index - round(OFF_S / self.cell_s))
        random = np.random.default_rng((1, index))
        noise = random.normal(0.0, 10 ** (-66 / 20), self._machine.cell_samples)
        if index // 100 % 3 == 0:  # somebody talks
            voice = random.normal(0.0, 1.0, len(noise) + 7)
            noise += 0.004 * abs(np.sin(index)) * np.convolve(voice, np.ones(8) / 8, "valid")
        return noise.astype(np.float32)


@pytest.fixture
def learner(tmp_path: Path) -> Iterator[Learner]:
    (tmp_path / "work").mkdir()
    settings = LearningSettings(first_after_min=1.0, piece_s=3.0, every_s=5.0)
    trainer = InThisProcess(tmp_path / "work")
    one = Learner(
        "m", settings, folder_of(tmp_path, "m"), trainer=trainer, clock=FakeClock(), day_s=DAY_S
    )
    yield one
    one.stop()


def test_the_first_bundle_of_a_machine_that_is_off_is_soon_replaced(
    tmp_path: Path, learner: Learner
) -> None:
    """The sound of the room is learned as the machine, and the machine itself raises alarms."""
    room = OffAtFirst()
    pipeline: Pipeline | UnscoredPipeline = UnscoredPipeline()
    shown: list[OperationStatus | None] = []
    is_new = False
    made: list[float] = []
    for index in range(round((OFF_S + 130.0) / room.cell_s)):
        at_s = index * room.cell_s
        samples = room.cell(index)
        block = AudioBlock(samples, RATE_HZ, index * len(samples), is_new)
        output, is_new = pipeline.push(block), False
        alarm = pipeline.thresholds.alarm if isinstance(pipeline, Pipeline) else 0.0
        learner.push(
            block,
            usable=True,
            operation=pipeline.operation,
            scores=output.scores,
            decisions=output.decisions,
            starts=sum(change.is_start for change in output.operation),
            alarm_threshold=alarm,
        )
        if len(made) == 2:
            shown.append(pipeline.operation)
        if index % 50 == 0:
            learner.flush()
            if learner.turn():
                made.append(at_s)
                pipeline = Pipeline(load_bundle(in_use(tmp_path, "m", None).bundles[0]))
                is_new = True
    assert learner.stage == "provisional"  # so that an alarm was only a warning
    assert len(made) == 2
    assert made[0] < OFF_S < made[1] < OFF_S + 90.0
    assert isinstance(pipeline, Pipeline)
    assert pipeline.bundle.manifest.operation is not None
    first, *others = pipeline.bundle.manifest.operation.states
    assert not first.is_off
    assert first.level_db > -30.0
    assert others
    assert all(state.is_off for state in others)
    assert {OperationStatus.RUNNING, OperationStatus.OFF} <= set(shown)
    assert learner.status()["set_aside"] == 0
