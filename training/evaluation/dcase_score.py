"""The official score of DCASE Task 2 since 2023.

For each section: the area under the ROC curve of the normal clips of one domain against all
anomalous clips of the section, for each of the two domains, and the partial area up to a
false-positive rate of 0.1 over both domains, standardised as in scikit-learn. The official score is
the harmonic mean of these three figures of all sections (Dohi et al. 2023, "Description and
Discussion on DCASE 2023 Challenge Task 2", equations 2 to 4; the areas are those of the organisers'
evaluator).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.domain import DoubleArray
from monitor.offline.roc import Interval, bootstrap_interval, partial_auc, roc_auc

MAX_FPR = 0.1


@dataclass(frozen=True, slots=True)
class SectionScores:
    """The scores of a section's clips with known answers, each of shape ``(n,)``."""

    normal_source: DoubleArray
    normal_target: DoubleArray
    anomalous: DoubleArray

    @property
    def groups(self) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
        """The three groups."""
        return self.normal_source, self.normal_target, self.anomalous


@dataclass(frozen=True, slots=True)
class SectionFigures:
    """The three figures of a section. An area is None if its domain has no normal clips."""

    auc_source: float | None
    auc_target: float | None
    pauc: float

    @property
    def known(self) -> list[float]:
        """The figures that there are."""
        areas = (self.auc_source, self.auc_target, self.pauc)
        return [one for one in areas if one is not None]


def figures_of(scores: SectionScores) -> SectionFigures:
    """The figures of one section. Raises ``UsageError`` without normal or anomalous clips."""
    both = np.concatenate([scores.normal_source, scores.normal_target])
    return SectionFigures(
        _auc(scores.normal_source, scores.anomalous) if len(scores.normal_source) else None,
        _auc(scores.normal_target, scores.anomalous) if len(scores.normal_target) else None,
        partial_auc(*_labelled(both, scores.anomalous), MAX_FPR),
    )


def official_score(figures: Iterable[SectionFigures]) -> float:
    """The harmonic mean of all figures of all sections; 0 if one of them is 0."""
    values = [value for section in figures for value in section.known]
    if min(values) <= 0.0:
        return 0.0
    return len(values) / sum(1.0 / value for value in values)


def official_interval(sections: Sequence[SectionScores], seed: int) -> Interval | None:
    """The interval of 95 % of the official score over resampled clips of each group."""
    groups = [group for section in sections for group in section.groups]
    if any(len(group) == 1 for group in groups):
        return None

    def score(*drawn: DoubleArray) -> float:
        triples = [SectionScores(*drawn[i : i + 3]) for i in range(0, len(drawn), 3)]
        return official_score(figures_of(one) for one in triples)

    return bootstrap_interval(groups, score, resamples=1000, seed=seed)


def _auc(normal: DoubleArray, anomalous: DoubleArray) -> float:
    return roc_auc(*_labelled(normal, anomalous))


def _labelled(normal: DoubleArray, anomalous: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
    labels = np.repeat([0.0, 1.0], [len(normal), len(anomalous)])
    return labels, np.concatenate([normal, anomalous])
