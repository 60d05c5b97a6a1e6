"""Which score this much healthy sound supports, decided without a single fault.

The sharper a score, the more healthy variety it needs. A covariance that has seen too
little of it takes every new healthy recording for a fault. So recordings are left out
and their likelihood under each estimate is compared: if even the left-out ones say that
the covariance describes them better than its diagonal, by more than chance, it is used;
if not, the diagonal; and the plain error where there are too few recordings to leave any out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.model.manifest import ScoreKind
from training.sound.covariance import DIAGONAL, SHRINKAGES
from training.sound.crossfit import HealthySound, fit_statistics, leave_out
from training.sound.recordings import folds

LEAST_FOR_COVARIANCE = 8
LEAST_FOR_DIAGONAL = 3
STANDARD_ERRORS = 2.0
_FOLDS = 5
_UNJUDGED_SHRINKAGE = 0.5


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How well left-out recordings are described, for every shrinkage of ``SHRINKAGES``.

    ``likelihood``: ``(n_recordings, n_shrinkages)``, Gaussian log-likelihood per number of
    evidence; ``distance``: the same shape, squared distance per number, 1 where the
    statistics of the others hold for the recording.
    """

    likelihood: npt.NDArray[np.float64]
    distance: npt.NDArray[np.float64]

    @property
    def best(self) -> int:
        """The index of the most likely shrinkage."""
        return int(np.argmax(self.likelihood.mean(axis=0)))

    @property
    def gain(self) -> tuple[float, float]:
        """The best over the diagonal, in nats per number, and its standard error."""
        gains = self.likelihood[:, self.best] - self.likelihood[:, SHRINKAGES.index(DIAGONAL)]
        return float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))


@dataclass(frozen=True, slots=True)
class Choice:
    """The score to use: ``shrinkage`` is 1 for the diagonal and unused for the plain error."""

    kind: ScoreKind
    shrinkage: float
    use_references: bool
    reason: str


def leave_recordings_out(sound: HealthySound, *, use_references: bool, seed: int) -> LeftOut:
    """Cross-validate over the machine's recordings, of which there are at least two."""
    n_recordings = len(sound.recordings)
    likelihood = np.empty((n_recordings, len(SHRINKAGES)))
    squared = np.empty_like(likelihood)
    for inside in leave_out(folds(n_recordings, _FOLDS, seed)):
        statistics = fit_statistics(sound, inside, use_references=use_references)
        for index in np.flatnonzero(~inside):
            rows = sound.recordings[index].rows
            centred = np.stack([rows - centre for centre in statistics.centres])
            nearest = _nearest(centred / statistics.scatter.deviations)
            own = centred[nearest, np.arange(len(rows))]
            for column, shrinkage in enumerate(SHRINKAGES):
                fit, distance = statistics.scatter.fit_of(own, shrinkage)
                likelihood[index, column] = fit.mean()
                squared[index, column] = distance.mean()
    return LeftOut(likelihood, squared)


def choose_score(sound: HealthySound, seed: int, wanted: ScoreKind | None = None) -> Choice:
    """The score that the healthy sound supports, or the one that is ``wanted``.

    With reference machines, their share in the covariance is decided the same way: it is
    used if it makes left-out recordings of the machine itself more likely.
    """
    if len(sound.recordings) < 2:
        return _too_little(wanted)
    own = leave_recordings_out(sound, use_references=False, seed=seed)
    left_out, use_references, about = own, False, ""
    if sound.references:
        shared = leave_recordings_out(sound, use_references=True, seed=seed)
        gain = _best_likelihood(shared) - _best_likelihood(own)
        n_machines = len(sound.references)
        use_references = gain > 0
        about = (
            f"; the variety of {n_machines} reference machine{'s' if n_machines > 1 else ''} is "
            f"{'used' if use_references else 'not used'} ({gain:+.3f} nats a number)"
        )
        left_out = shared if use_references else own
    kind, shrinkage, reason = _decide(left_out)
    if wanted is not None and wanted != kind:
        reason = f"asked for; the healthy sound would have had {kind}: {reason}"
        kind = wanted
        if kind == "covariance":
            shrinkage = min(SHRINKAGES[left_out.best], SHRINKAGES[-2])
        elif kind == "diagonal":
            shrinkage = DIAGONAL
    return Choice(kind, shrinkage, use_references, reason + about)


def _decide(left_out: LeftOut) -> tuple[ScoreKind, float, str]:
    n_recordings = len(left_out.likelihood)
    shrinkage = SHRINKAGES[left_out.best]
    gain, error = left_out.gain
    figures = (
        f"on {n_recordings} recordings left out in turn, shrinkage {shrinkage:g} is best, "
        f"{gain:.3f} +- {error:.3f} nats a number better than the diagonal"
    )
    if n_recordings < LEAST_FOR_DIAGONAL:
        return "plain", DIAGONAL, f"{n_recordings} recordings are too few to learn what varies"
    if n_recordings < LEAST_FOR_COVARIANCE:
        few = f"{n_recordings} recordings are too few for a covariance"
        return "diagonal", DIAGONAL, f"{few} ({figures})"
    if shrinkage < DIAGONAL and gain > STANDARD_ERRORS * error:
        return "covariance", shrinkage, figures
    return "diagonal", DIAGONAL, f"the sound does not support a covariance: {figures}"


def _too_little(wanted: ScoreKind | None) -> Choice:
    if wanted in (None, "plain"):
        return Choice("plain", DIAGONAL, False, "one recording is too few to learn what varies")
    shrinkage = DIAGONAL if wanted == "diagonal" else _UNJUDGED_SHRINKAGE
    return Choice(wanted, shrinkage, False, "asked for; there is too little sound to judge it")


def _best_likelihood(left_out: LeftOut) -> float:
    return float(left_out.likelihood.mean(axis=0).max())


def _nearest(standardised: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Shape: ``(n_regimes, n, d)`` to ``(n,)``."""
    nearest: npt.NDArray[np.intp] = np.square(standardised).sum(axis=2).argmin(axis=0)
    return nearest
