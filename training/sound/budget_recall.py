"""For each budget of false alarms, the share of injected faults that raise an alert.

A low budget needs a high threshold, and with few recordings the threshold is even higher. Without
this figure, users would notice it only when a fault is missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.calibration.threshold import BUDGETS
from monitor.domain import DoubleArray
from monitor.model.long_spans import nominal_s
from monitor.model.manifest import Calibration
from monitor.text.wording import counted
from training.sound.injection import InjectedFaults

Shares = dict[str, dict[str, float]]
"""Kind, level."""
ShareBySpan = dict[str, dict[str, dict[str, float]]]
"""Kind, level, span."""
_SAME_S = 1e-6
_WORTH = 0.7
_MUCH_MORE = 0.1


@dataclass(frozen=True, slots=True)
class BudgetRecall:
    """Which injected faults raise an alert at the thresholds of a calibration.

    ``with_more``: by how many times as many recordings, the calibration for as many. The other
    recordings are taken to be like these.
    """

    faults: InjectedFaults
    with_more: Mapping[int, Calibration]

    @property
    def n_sounds(self) -> int:
        """How many sounds there are of each kind and level."""
        return max(map(len, self.faults.values.values()))

    @property
    def spans(self) -> tuple[str, ...]:
        """The time scales, from the span of the bundle to the longest one: ``2 s``, ``15 min``."""
        return tuple(map(_in_words, self._spans_s))

    @property
    def _spans_s(self) -> list[float]:
        return sorted({key.span_s for key in self.faults.channels})

    def by_span(self, calibration: Calibration) -> ShareBySpan:
        """For each kind and level, the share of the sounds with an alert within each time scale.

        An alert counts for the span of its channel and for every longer one. The thresholds are
        those for the budget of the calibration.
        """
        thresholds = self._thresholds(calibration, calibration.false_alarms_per_week)
        if thresholds is None:
            raise ValueError("a calibration has no threshold for its own budget")
        within = [self._within(span_s) for span_s in self._spans_s]
        shares: ShareBySpan = {}
        for (kind, level), values in self.faults.values.items():
            over = values > thresholds
            shares.setdefault(kind, {})[level] = {
                span: float(over[:, columns].any(axis=1).mean())
                for span, columns in zip(self.spans, within, strict=True)
            }
        return shares

    def by_kind(self, calibration: Calibration) -> Shares:
        """The same for the longest time scale only, by all channels."""
        longest = self.spans[-1]
        return {
            kind: {level: spans[longest] for level, spans in levels.items()}
            for kind, levels in self.by_span(calibration).items()
        }

    def by_budget(self, calibration: Calibration) -> dict[float, float]:
        """The share of all faults for each budget of false alarms a week, the own among them."""
        return self._over(calibration, np.concatenate(list(self.faults.values.values())))

    def healthy_by_budget(self, calibration: Calibration) -> dict[float, float]:
        """The same for the sounds without a fault: these alerts are false."""
        return self._over(calibration, self.faults.healthy)

    def _over(self, calibration: Calibration, values: DoubleArray) -> dict[float, float]:
        budgets = sorted({*BUDGETS, calibration.false_alarms_per_week})
        thresholds = {budget: self._thresholds(calibration, budget) for budget in budgets}
        return {
            budget: float((values > one).any(axis=1).mean())
            for budget, one in thresholds.items()
            if one is not None
        }

    def by_useful_budget(self, calibration: Calibration) -> dict[float, float]:
        """As :meth:`by_budget`, without budgets at which a sound without a fault raises an alert.

        The own budget is always among them.
        """
        found, false = self.by_budget(calibration), self.healthy_by_budget(calibration)
        own = calibration.false_alarms_per_week
        least_false = min((budget for budget, share in false.items() if share), default=np.inf)
        return {budget: s for budget, s in found.items() if budget == own or budget < least_false}

    def record(self, calibration: Calibration) -> dict[str, object]:
        """The shares for the provenance of the bundle."""
        budgets = {f"{b:g}": round(r, 3) for b, r in self.by_budget(calibration).items()}
        grown = {f"{times}": self.by_kind(one) for times, one in self.with_more.items()}
        return {
            "budget_recall": budgets,
            "recall": _rounded(self.by_span(calibration)),
            "recall_growth": _rounded(grown),
        }

    def _thresholds(self, calibration: Calibration, per_week: float) -> DoubleArray | None:
        """The threshold of each channel, infinite for one that raises no alert."""
        first = calibration.threshold_for(per_week)
        if first is None:
            return None
        others = {(one.evidence, one.span_s): one for one in calibration.channels}
        thresholds = [first]
        for key in self.faults.channels[1:]:
            channel = others.get((key.evidence, key.span_s))
            threshold = channel.threshold_for(per_week) if channel is not None else None
            thresholds.append(np.inf if threshold is None else threshold)
        return np.array(thresholds)

    def _within(self, span_s: float) -> npt.NDArray[np.bool_]:
        """The channels whose scores need at most so much sound."""
        return np.array([key.span_s < span_s + _SAME_S for key in self.faults.channels])


def _in_words(span_s: float) -> str:
    """The span that was asked for: spans are whole windows, so they are a little longer."""
    nominal = nominal_s(span_s)
    if nominal >= 60.0:
        return f"{nominal / 60.0:.0f} min"
    return f"{nominal:.0f} s" if nominal >= 1.0 else f"{nominal:.1g} s"


def _rounded(shares: object) -> object:
    if isinstance(shares, dict):
        return {key: _rounded(value) for key, value in shares.items()}
    return round(shares, 3) if isinstance(shares, float) else shares


def budget_line(calibration: Calibration, recalls: Mapping[float, float]) -> str:
    """The first line of a result whose recordings do not support its budget; else empty."""
    if not calibration.provisional:
        return ""
    asked = calibration.false_alarms_per_week
    line = (
        f"The recordings do not support a budget of {counted(asked, 'false alarm')} a week: its "
        f"threshold detects {_percent(recalls[asked])} of the injected faults"
    )
    better = _worth_it(asked, recalls)
    if better is None:
        line += (
            ", and no higher budget at which healthy sound raises no alert detects more than "
            f"{_percent(max(recalls.values()))}"
        )
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


def budget_table(recall: BudgetRecall, calibration: Calibration) -> Sequence[tuple[str, ...]]:
    """Rows for people: false alarms a week, the shares with an alert with and without a fault."""
    healthy = recall.healthy_by_budget(calibration)
    return [
        (f"{budget:g}", _percent(share), _percent(healthy[budget]))
        for budget, share in sorted(recall.by_budget(calibration).items())
    ]


def _percent(share: float) -> str:
    return "none" if share == 0 else f"{share:.0%}"
