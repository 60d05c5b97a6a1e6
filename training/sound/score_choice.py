"""Choice of the score: covariance, diagonal or plain error, from healthy recordings alone.

A more sensitive score needs more varied healthy sound: a covariance from too little sound gives
every new healthy recording a high score. So recordings are left out, and their likelihood under
each estimate is compared. The covariance is used if held-out recordings are more likely under it
than under its diagonal, by more than chance. Otherwise the diagonal is used, and the plain error
if there are too few recordings to leave any out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.model.manifest import ScoreKind
from monitor.text.wording import counted
from training.sound.covariance import DIAGONAL, SHRINKAGES
from training.sound.crossfit import HealthySound, fit_statistics, leave_out
from training.sound.recordings import folds

LEAST_FOR_COVARIANCE = 8
LEAST_FOR_DIAGONAL = 3
STANDARD_ERRORS = 2.0
_FOLDS = 5
_UNTESTED_SHRINKAGE = 0.5
_RECORD_MORE = "record at least 8 times, or 2 minutes without a break"
_TOO_LITTLE = f"too little sound to learn how the machine varies: {_RECORD_MORE}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """How well the statistics fit held-out recordings, for each of ``SHRINKAGES``.

    ``likelihood``: ``(n_recordings, n_shrinkages)``, Gaussian log-likelihood per number of
    evidence; ``distance``: the same shape, squared distance per number, about 1 if the
    statistics of the other recordings fit the recording.
    """

    likelihood: npt.NDArray[np.float64]
    distance: npt.NDArray[np.float64]

    @property
    def best(self) -> int:
        """The index of the most likely shrinkage."""
        return int(np.argmax(self.likelihood.mean(axis=0)))

    @property
    def gain(self) -> tuple[float, float]:
        """Log-likelihood (ln) per value of the best less the diagonal, and its standard error."""
        gains = self.likelihood[:, self.best] - self.likelihood[:, SHRINKAGES.index(DIAGONAL)]
        return float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(len(gains)))


@dataclass(frozen=True, slots=True)
class Choice:
    """The score to use: ``shrinkage`` is 1 for the diagonal and unused for the plain error.

    ``reason``: for people, in a few words. ``details``: the figures behind it.
    """

    kind: ScoreKind
    shrinkage: float
    use_references: bool
    reason: str
    details: str = ""


def leave_recordings_out(sound: HealthySound, *, use_references: bool, seed: int) -> LeftOut:
    """Cross-validate over the machine's recordings, at least two."""
    n_recordings = len(sound.recordings)
    likelihood = np.empty((n_recordings, len(SHRINKAGES)))
    squared = np.empty_like(likelihood)
    for inside in leave_out(folds(n_recordings, _FOLDS, seed)):
        statistics = fit_statistics(sound, inside, use_references=use_references)
        for index in np.flatnonzero(~inside):
            own = statistics.centred(sound.recordings[index].rows)
            for column, shrinkage in enumerate(SHRINKAGES):
                log_likelihood, distance = statistics.scatter.likelihood_of(own, shrinkage)
                likelihood[index, column] = log_likelihood.mean()
                squared[index, column] = distance.mean()
    return LeftOut(likelihood, squared)


def choose_score(sound: HealthySound, seed: int, wanted: ScoreKind | None = None) -> Choice:
    """The score that suits the healthy sound, or ``wanted``.

    Reference machines contribute to the covariance if that makes held-out recordings of the
    machine itself more likely.
    """
    if len(sound.recordings) < 2:
        return _without_left_out(wanted)
    own = leave_recordings_out(sound, use_references=False, seed=seed)
    left_out, use_references, about = own, False, ""
    if sound.references:
        shared = leave_recordings_out(sound, use_references=True, seed=seed)
        gain = _best_likelihood(shared) - _best_likelihood(own)
        use_references = gain > 0
        about = (
            f" {counted(len(sound.references), 'reference machine')} "
            f"{'used' if use_references else 'not used'} for the covariance: "
            f"log-likelihood {gain:+.3f} per value."
        )
        left_out = shared if use_references else own
    kind, shrinkage, reason = _decide(left_out)
    if wanted is not None and wanted != kind:
        reason = f"chosen with --score; the recordings would give {kind}: {reason}"
        kind = wanted
        if kind == "covariance":
            shrinkage = min(SHRINKAGES[left_out.best], SHRINKAGES[-2])
        elif kind == "diagonal":
            shrinkage = DIAGONAL
    return Choice(kind, shrinkage, use_references, reason, _figures(left_out) + about)


def _decide(left_out: LeftOut) -> tuple[ScoreKind, float, str]:
    n_recordings = len(left_out.likelihood)
    shrinkage = SHRINKAGES[left_out.best]
    gain, error = left_out.gain
    if n_recordings < LEAST_FOR_DIAGONAL:
        return "plain", DIAGONAL, _TOO_LITTLE
    if n_recordings < LEAST_FOR_COVARIANCE:
        return "diagonal", DIAGONAL, f"too little sound for a covariance: {_RECORD_MORE}"
    if shrinkage < DIAGONAL and gain > STANDARD_ERRORS * error:
        return "covariance", shrinkage, "fits the held-out recordings best"
    return "diagonal", DIAGONAL, "a covariance does not fit the held-out recordings better"


def _figures(left_out: LeftOut) -> str:
    gain, error = left_out.gain
    does = "describes" if gain > STANDARD_ERRORS * error else "does not describe"
    compared = f"The covariance {does} held-out recordings better than the diagonal does."
    return (
        f"{compared} Shrinkage {SHRINKAGES[left_out.best]:g}. Difference of "
        f"log-likelihood per value: {gain:.3f} +- {error:.3f}."
    )


def _without_left_out(wanted: ScoreKind | None) -> Choice:
    if wanted in (None, "plain"):
        return Choice("plain", DIAGONAL, False, _TOO_LITTLE)
    shrinkage = DIAGONAL if wanted == "diagonal" else _UNTESTED_SHRINKAGE
    return Choice(wanted, shrinkage, False, "chosen with --score; too little sound to test it")


def _best_likelihood(left_out: LeftOut) -> float:
    return float(left_out.likelihood.mean(axis=0).max())
