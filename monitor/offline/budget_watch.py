"""The alerts of one stream of scores for several budgets of false alarms at once."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.calibration.threshold import BUDGETS
from monitor.detection.score_watch import ScoreWatch
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.domain import Decision, Score
from monitor.model.bundle import Bundle
from monitor.model.manifest import Calibration


def budgets_of(calibration: Calibration) -> tuple[float, ...]:
    """The budgets for which the calibration has thresholds, rising, its own among them."""
    return tuple(
        budget
        for budget in sorted({*BUDGETS, calibration.false_alarms_per_week})
        if calibration.threshold_for(budget) is not None
        and calibration.recording_threshold_for(budget) is not None
    )


class BudgetWatch(ScoreWatch):
    """Follows the scores for the bundle's own budget, and counts the alerts for others beside it.

    It is used in a pipeline in place of a ``ScoreWatch``. Its decisions are those for the own
    budget. For another budget, an alert after the first one of a recording may differ from a
    replay at that budget, because the long spans begin anew when an alert of the own budget ends.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: DetectorSettings,
        operation: OperationSettings,
        budgets: Iterable[float],
    ) -> None:
        super().__init__(bundle, settings, operation)
        self._others = {
            budget: ScoreWatch(bundle, _for_budget(settings, budget), operation)
            for budget in budgets
            if budget != self.thresholds.alarm_per_week
        }
        self.n_raised = dict.fromkeys([self.thresholds.alarm_per_week, *self._others], 0)

    @property
    def least_levels(self) -> dict[int, float]:
        """The lowest of all budgets: below it, a score changes the alerts of none of them."""
        levels = [super().least_levels, *(one.least_levels for one in self._others.values())]
        numbers = {number for one in levels for number in one}
        return {number: min(one[number] for one in levels if number in one) for number in numbers}

    def push(self, score: Score) -> Decision | None:
        """The decision for the own budget."""
        for budget, other in self._others.items():
            self._count(budget, other.push(score))
        return self._count(self.thresholds.alarm_per_week, super().push(score))

    def without_spectra(self) -> None:
        for other in self._others.values():
            other.without_spectra()
        super().without_spectra()

    def gap(self) -> None:
        for other in self._others.values():
            other.gap()
        super().gap()

    def machine_stopped(self, at_sample: int) -> Decision | None:
        for other in self._others.values():
            other.machine_stopped(at_sample)
        return super().machine_stopped(at_sample)

    def machine_started(self, at_sample: int) -> None:
        for other in self._others.values():
            other.machine_started(at_sample)
        super().machine_started(at_sample)

    def _count(self, budget: float, decision: Decision | None) -> Decision | None:
        if decision is not None and decision.kind == "raised":
            self.n_raised[budget] += 1
        return decision


def _for_budget(settings: DetectorSettings, budget: float) -> DetectorSettings:
    """Alerts only: a warning begins below an alarm, and is not counted here."""
    return settings.model_copy(update={"alarm_per_week": budget, "warning_per_week": budget})
