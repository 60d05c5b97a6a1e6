"""The learning of all machines that are configured for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.config.settings import Settings
from monitor.detection.settings import DetectorSettings
from monitor.detection.thresholds import thresholds_of
from monitor.learning.journal import folder_of
from monitor.learning.learner import DAY_S, Learner
from monitor.learning.relearning.labelled_alerts import LabelledAlert
from monitor.learning.relearning.scoring import MonitoredBy
from monitor.learning.settings import LearningSettings
from monitor.model.bundle import load_bundle
from monitor.model.network import Network
from monitor.model.scorer import run_selftest

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a learner depends on."""

    learning: LearningSettings
    monitored_by: MonitoredBy


class Commissioning:
    """A ``Learner`` for each machine with ``[machine.learning]``. Used from the main thread.

    ``day_s``: the length of a day; tests use a shorter one.
    """

    day_s: ClassVar[float] = DAY_S
    RETRY_S: ClassVar[float] = 60.0

    def __init__(
        self,
        state_dir: Path,
        config: Path | None,
        clock: Clock = SYSTEM_CLOCK,
        *,
        labelled: Callable[[str], Sequence[LabelledAlert]] = lambda _machine: (),
    ) -> None:
        """``labelled``: the alerts of a machine."""
        self.state_dir = state_dir
        self._config = config
        self._clock = clock
        self._labelled = labelled
        self._learners: dict[str, tuple[_Wanted, Learner]] = {}
        self._settings: Settings | None = None
        self._retry_s: float | None = None

    def learner(self, machine: str) -> Learner | None:
        """The learner of a machine; None if it is not learned."""
        known = self._learners.get(machine)
        return known[1] if known is not None else None

    def false_alarm_kept(self, machine: str) -> None:
        """Sound of a labelled false alarm was kept after its label."""
        if (learner := self.learner(machine)) is not None:
            learner.labels_changed()

    def apply(self, settings: Settings) -> None:
        """Learn the machines of these settings. A learner whose settings are unchanged goes on."""
        self._settings = settings
        self._retry_s = None
        wanted = {
            machine.id: _Wanted(
                learning,
                MonitoredBy(machine.bundle, settings.detector_of(machine), machine.operation),
            )
            for machine in settings.machines
            if (learning := settings.learning_of(machine)) is not None
        }
        for name in list(self._learners):
            known, learner = self._learners[name]
            if wanted.get(name) != known:
                learner.stop()
                del self._learners[name]
        for name in wanted.keys() - self._learners.keys():
            try:
                self._learners[name] = (wanted[name], self._learner(name, wanted[name]))
            except OSError as error:
                log.error(
                    "the learning cannot begin until the disk can be used: %s",
                    error,
                    extra={"machine": name},
                )
                self._retry_s = self._clock.steady_s() + self.RETRY_S

    def _learner(self, name: str, wanted: _Wanted) -> Learner:
        detector = wanted.monitored_by.detector
        return Learner(
            name,
            wanted.learning,
            folder_of(self.state_dir, name),
            per_week=detector.alarm_per_week or 1.0,
            config=self._config,
            monitored_by=wanted.monitored_by,
            check_bundle=_check_for(detector),
            labelled=partial(self._labelled, name),
            clock=self._clock,
            day_s=self.day_s,
        )

    def turn(self) -> list[str]:
        """Do what is due; returns the machines whose bundle or stage has changed."""
        changed = []
        if self._settings and self._retry_s and self._clock.steady_s() >= self._retry_s:
            before = self._learners.keys() | set()
            self.apply(self._settings)
            changed = sorted(self._learners.keys() - before)
        return changed + [name for name, (_, learner) in self._learners.items() if learner.turn()]

    def stop(self) -> None:
        """End all learners; their progress is kept."""
        for _, learner in self._learners.values():
            learner.stop()
        self._learners.clear()


def _check_for(detector: DetectorSettings) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        bundle = load_bundle(path)
        thresholds_of(bundle.calibration, detector)
        run_selftest(bundle, Network(bundle))

    return check
