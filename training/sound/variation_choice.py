"""Which changes between days are added to the healthy covariance, and how large they are.

A change is added only if held-out healthy recordings become more likely by it, by more than
chance. If there are recordings of several days, whole days are held out, and the size is the one
that makes them most likely. Otherwise recordings are held out, and each change has its usual size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray
from monitor.text.wording import counted
from training.sound.crossfit import DayVariation, HealthySound, fit_statistics, leave_out
from training.sound.recordings import folds
from training.sound.score_choice import STANDARD_ERRORS, Choice

_FOLDS = 5
_LEAST_INSIDE = 3
"""Recordings that statistics are made from; fewer show no variation."""


@dataclass(frozen=True, slots=True)
class Change:
    """A kind of change with its size in ``unit``, and its number in ``DayVariation``."""

    name: str
    size: float
    unit: str
    number: int


@dataclass(frozen=True, slots=True)
class KeptChange:
    """A change that is added, and by how much it raises the held-out log-likelihood per value."""

    change: Change
    gain: float


@dataclass(frozen=True, slots=True)
class VariationChoice:
    """The changes that are added, in order of their gain, and the names of the others.

    ``reason``: for people, which sizes were tried and on what, or why there are none.
    """

    reason: str
    kept: tuple[KeptChange, ...] = ()
    left_out: tuple[str, ...] = ()

    def record(self) -> dict[str, object]:
        """For the provenance of the bundle."""
        return {
            "reason": self.reason,
            "kept": [
                {
                    "change": one.change.name,
                    "size": one.change.size,
                    "unit": one.change.unit,
                    "log_likelihood": round(one.gain, 4),
                }
                for one in self.kept
            ],
            "left_out": list(self.left_out),
        }


def day_folds(days: npt.NDArray[np.intp] | None, seed: int) -> npt.NDArray[np.intp] | None:
    """A fold of each recording, each fold whole days. Shape: ``(n_recordings,)`` to the same.

    None if no fold leaves enough recordings of other days.
    """
    if days is None:
        return None
    fold = folds(int(days.max()) + 1, _FOLDS, seed)[days]
    return fold if any(_is_enough(inside) for inside in leave_out(fold)) else None


def choose_variation(
    sound: HealthySound,
    variation: DayVariation,
    changes: Sequence[Change],
    choice: Choice,
    *,
    day_fold: npt.NDArray[np.intp] | None,
    seed: int,
) -> tuple[DayVariation | None, VariationChoice]:
    """The changes that fit the held-out sound, one size of each kind, and what was chosen.

    ``day_fold``: see :func:`day_folds`; None: recordings are held out.
    """
    fold = folds(len(sound.recordings), _FOLDS, seed) if day_fold is None else day_fold
    held_out = [
        _HeldOut.of(sound, inside, choice) for inside in leave_out(fold) if _is_enough(inside)
    ]
    names = tuple(dict.fromkeys(change.name for change in changes))
    if not held_out:
        return None, VariationChoice("too few recordings to hold any out", (), names)
    kept: list[KeptChange] = []
    before = _likelihood(held_out, variation, [])
    rest = list(changes)
    while rest:
        tried = {
            change: _likelihood(held_out, variation, [*(k.change for k in kept), change])
            for change in rest
        }
        certain = [change for change in rest if _is_certain(tried[change] - before)]
        if not certain:
            break
        change = max(certain, key=lambda one: float(tried[one].mean()))
        kept.append(KeptChange(change, float((tried[change] - before).mean())))
        before = tried[change]
        rest = [other for other in rest if other.name != change.name]
    reason = (
        "usual sizes, tried on held-out recordings"
        if day_fold is None
        else f"sizes chosen on recordings of other days ({counted(len(held_out), 'fold')} of days)"
    )
    used = {one.change.name for one in kept}
    left_out = tuple(name for name in names if name not in used)
    chosen = variation.only([one.change.number for one in kept]) if kept else None
    return chosen, VariationChoice(reason, tuple(kept), left_out)


@dataclass(frozen=True, slots=True)
class _HeldOut:
    """Statistics without some recordings, and the rows of these, each around its centre.

    ``inside``: the recordings of the statistics. ``covariance`` ``(d, d)``; ``rows`` ``(n, d)``;
    ``starts``: the first row of each held-out recording.
    """

    inside: npt.NDArray[np.bool_]
    covariance: DoubleArray
    shrinkage: float
    rows: DoubleArray
    starts: npt.NDArray[np.intp]

    @classmethod
    def of(cls, sound: HealthySound, inside: npt.NDArray[np.bool_], choice: Choice) -> _HeldOut:
        """From ``inside``, for the others."""
        statistics = fit_statistics(sound, inside, use_references=choice.use_references)
        parts = [sound.recordings[index].rows for index in np.flatnonzero(~inside)]
        rows = statistics.centred(np.concatenate(parts))
        starts = np.cumsum([0, *map(len, parts[:-1])]).astype(np.intp)
        return cls(inside, statistics.scatter.covariance, choice.shrinkage, rows, starts)

    def likelihood(self, added: DoubleArray) -> DoubleArray:
        """The mean Gaussian log-likelihood per number of each held-out recording."""
        covariance = self.covariance + added
        variance = np.diag(covariance).copy()
        shrunk = (1.0 - self.shrinkage) * covariance
        shrunk[np.diag_indices_from(shrunk)] += self.shrinkage * variance
        factor = np.linalg.cholesky(shrunk)
        squared = np.square(np.linalg.solve(factor, self.rows.T)).sum(axis=0)
        log_volume = 2.0 * np.log(np.diag(factor)).sum()
        n_rows = np.diff([*self.starts, len(self.rows)])
        distance: DoubleArray = np.add.reduceat(squared, self.starts) / n_rows
        likelihood: DoubleArray = -0.5 * (distance + log_volume) / len(variance)
        return likelihood


def _likelihood(
    held_out: Sequence[_HeldOut], variation: DayVariation, changes: Sequence[Change]
) -> DoubleArray:
    """Of each held-out recording, per number."""
    only = variation.only([change.number for change in changes])
    return np.concatenate([one.likelihood(only.scatter(one.inside)) for one in held_out])


def _is_certain(gains: DoubleArray) -> bool:
    """Whether the recordings become more likely by more than chance. Shape: ``(n,)``."""
    error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.inf
    return bool(gains.mean() > STANDARD_ERRORS * error)


def _is_enough(inside: npt.NDArray[np.bool_]) -> bool:
    return int(inside.sum()) >= _LEAST_INSIDE
