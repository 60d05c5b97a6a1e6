"""For each budget of false alarms, the share of injected disturbances that raise an alert.

A low budget needs a high threshold, and with few recordings the threshold is even higher. Without
this figure, users would notice it only when a fault is missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.calibration.threshold import BUDGETS
from monitor.detection.persistence import Persistence, persistent_scores
from monitor.domain import DoubleArray
from monitor.model.manifest import Calibration
from monitor.text.wording import counted
from training.sound.controls import Scoring, Trial
from training.sound.crossfit import head_for
from training.sound.disturbances import DISTURBANCES
from training.sound.recording_evidence import score_evidence

SIZES = (1.0, 3.0, 9.0)
"""Of the disturbances, in multiples of those that scores are compared with."""
_MOST_RECORDINGS = 16
_WORTH = 0.7
_MUCH_MORE = 0.1


@dataclass(frozen=True, slots=True)
class BudgetRecall:
    """The value that raises an alert, for each disturbed recording.

    ``values``: shape ``(n_recordings,)`` for each kind and size.
    """

    values: Mapping[tuple[str, float], DoubleArray]

    def at(self, threshold: float) -> float:
        """The share of all disturbed recordings that raise an alert."""
        return float(np.mean(np.concatenate(list(self.values.values())) > threshold))

    def by_kind(self, threshold: float) -> dict[str, float]:
        """The share for each kind and size, for example ``knocking, 2 times``."""
        return {
            f"{kind}, {size:g} times" if size != 1.0 else kind: float(np.mean(found > threshold))
            for (kind, size), found in self.values.items()
        }

    def by_budget(self, calibration: Calibration) -> dict[float, float]:
        """The share for each budget of false alarms a week, the bundle's own among them."""
        budgets = sorted({*BUDGETS, calibration.false_alarms_per_week})
        thresholds = {budget: calibration.threshold_for(budget) for budget in budgets}
        return {budget: self.at(one) for budget, one in thresholds.items() if one is not None}

    def record(self, calibration: Calibration) -> dict[str, object]:
        """The share for each budget, for the provenance of the bundle."""
        recalls = self.by_budget(calibration)
        return {"budget_recall": {f"{b:g}": round(r, 3) for b, r in recalls.items()}}


def budget_recall(scoring: Scoring, trial: Trial, rule: Persistence) -> BudgetRecall:
    """Disturb healthy recordings that the statistics do not know, and score them."""
    excerpts = trial.excerpts()
    indices = list(excerpts)
    chosen = np.linspace(0, len(indices) - 1, min(len(indices), _MOST_RECORDINGS)).astype(int)
    found: dict[tuple[str, float], list[float]] = {}
    for index in (indices[i] for i in chosen):
        head = head_for(scoring.heads, index)
        for kind, disturb in DISTURBANCES.items():
            for size in SIZES:
                rng = np.random.default_rng((trial.seed, index))
                disturbed = replace(
                    excerpts[index], frames_db=disturb(excerpts[index].frames_db, rng, size)
                )
                evidence = scoring.evidence_of(disturbed)
                scores = score_evidence(evidence, trial.spec, trial.span_windows, head).scores
                value = float(persistent_scores(scores, rule).max())
                found.setdefault((kind, size), []).append(value)
    return BudgetRecall({key: np.array(values) for key, values in found.items()})


def budget_line(calibration: Calibration, recalls: Mapping[float, float]) -> str:
    """The first line of a result whose recordings do not support its budget; else empty."""
    if not calibration.provisional:
        return ""
    asked = calibration.false_alarms_per_week
    line = (
        f"The recordings do not support a budget of {counted(asked, 'false alarm')} a week: its "
        f"threshold detects {_percent(recalls[asked])} of the injected disturbances"
    )
    better = _worth_it(asked, recalls)
    if better is None:
        line += f", and no higher budget detects more than {_percent(max(recalls.values()))}"
    else:
        line += (
            f", and the threshold for {better:g} a week detects {_percent(recalls[better])} "
            f"(--false-alarms-per-week {better:g})"
        )
    return f"{line}. Record on more days"


def _worth_it(asked: float, recalls: Mapping[float, float]) -> float | None:
    """The lowest budget that detects most of what the highest one detects, if that is much more."""
    highest = max(recalls.values())
    if highest < recalls[asked] + _MUCH_MORE:
        return None
    wanted = max(_WORTH * highest, recalls[asked] + _MUCH_MORE)
    return next(b for b, recall in sorted(recalls.items()) if b > asked and recall >= wanted)


def budget_table(recalls: Mapping[float, float]) -> Sequence[tuple[str, str]]:
    """Rows for people: false alarms a week, share of the disturbances that raise an alert."""
    return [(f"{budget:g}", _percent(recall)) for budget, recall in sorted(recalls.items())]


def _percent(share: float) -> str:
    return "none" if share == 0 else f"{share:.0%}"
