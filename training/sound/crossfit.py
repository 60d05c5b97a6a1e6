"""Cross-fitting: each healthy recording is scored with statistics that were fitted without it.

A recording gets a far too low score if centre and covariance were fitted on it too: with a
threshold from such scores, more than half of new healthy recordings were above it. The network may
have been trained on the recording. Measurements show that this changes healthy scores little,
because a bottleneck of a few numbers cannot memorise recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray
from monitor.model.head import DistanceHead, Head
from training.sound.covariance import Scatter, scatter_of
from training.sound.recording_evidence import RecordingEvidence, all_rows
from training.sound.regimes import find_regimes, nearest


@dataclass(frozen=True, slots=True)
class DayVariation:
    """How changes between days move the evidence of recordings.

    See :mod:`training.sound.day_variation`.

    ``offsets``: shape ``(n, d)``, the mean evidence of an altered copy less that of its
    recording. ``recording``: shape ``(n,)``, the index of the recording. ``change``: shape
    ``(n,)``, the number of the kind and size of the change.
    """

    offsets: DoubleArray = field(repr=False)
    recording: npt.NDArray[np.intp]
    change: npt.NDArray[np.intp]

    def only(self, changes: Sequence[int]) -> DayVariation:
        """Only these changes."""
        kept = np.isin(self.change, changes)
        return DayVariation(self.offsets[kept], self.recording[kept], self.change[kept])

    def scatter(self, inside: npt.NDArray[np.bool_]) -> DoubleArray:
        """The covariance of the changes, from recordings that are ``inside``: ``(d, d)``.

        The changes are independent of each other, so their second moments are added. Zero where
        no recording that was altered is inside.
        """
        total = np.zeros((self.offsets.shape[1],) * 2)
        for change in np.unique(self.change):
            rows = self.offsets[inside[self.recording] & (self.change == change)]
            if len(rows):
                total += rows.T @ rows / len(rows)
        return total


@dataclass(frozen=True, slots=True)
class HealthySound:
    """The recordings of a machine and of its reference machines, and the machine's regimes.

    ``regime``: for each recording, the regime of each row of its ``span_rows``. ``parts``: of
    the evidence, see ``Statistics``. ``variation``: how the recordings would differ on other days.
    ``least_variance``: added to the variance of each number of the evidence.
    """

    recordings: tuple[RecordingEvidence, ...]
    span_rows: tuple[DoubleArray, ...]
    regime: tuple[npt.NDArray[np.intp], ...]
    references: tuple[tuple[RecordingEvidence, ...], ...]
    parts: tuple[slice, ...]
    variation: DayVariation | None = None
    least_variance: DoubleArray | None = None

    @property
    def n_regimes(self) -> int:
        """How many regimes the recordings show."""
        return int(max(labels.max() for labels in self.regime)) + 1


@dataclass(frozen=True, slots=True)
class Statistics:
    """Centres ``(n_regimes, d)`` of the machine and the scatter around them.

    ``parts``: the parts of the evidence with equal weight, see ``Scatter.whitener``.
    """

    centres: DoubleArray
    scatter: Scatter
    parts: tuple[slice, ...]

    def centred(self, rows: DoubleArray) -> DoubleArray:
        """Rows less their nearest centre. Shape: ``(n, d)``, both."""
        return rows - self.centres[nearest(rows, self.centres, self.scatter.deviations)]

    def head(self, shrinkage: float) -> Head:
        """The head for the run time."""
        return DistanceHead(self.centres, self.scatter.whitener(shrinkage, self.parts))


def gather(
    recordings: Sequence[RecordingEvidence],
    references: Sequence[Sequence[RecordingEvidence]],
    span_windows: int,
    *,
    parts: Sequence[slice],
    seed: int,
    regime: Sequence[npt.NDArray[np.intp]] | None = None,
) -> HealthySound:
    """Find the machine's regimes, unless ``regime`` gives them, and collect all evidence."""
    span_rows = tuple(one.spans(span_windows, step=span_windows) for one in recordings)
    return HealthySound(
        tuple(recordings),
        span_rows,
        tuple(find_regimes(span_rows, seed) if regime is None else regime),
        tuple(tuple(reference) for reference in references),
        tuple(parts),
    )


def fit_statistics(
    sound: HealthySound, inside: npt.NDArray[np.bool_], *, use_references: bool
) -> Statistics:
    """Centres and scatter from the recordings that are ``inside`` ``(n_recordings,)``.

    The scatter is pooled over regimes, and over reference machines if they are used, each
    around its own centre: machines of one type are assumed to vary in the same way. A regime
    that no recording inside has keeps its centre from the recordings outside, because without
    a centre its spans cannot be scored.
    """
    kept = np.flatnonzero(inside)
    centres = _centres(sound, kept)
    rows = all_rows([sound.recordings[i] for i in kept])
    deviations = np.maximum(rows.std(axis=0), 1e-4)
    own = nearest(rows, centres, deviations)
    groups = [rows[own == regime] for regime in range(len(centres))]
    groups = [
        group - (group.mean(axis=0) if len(group) > 1 else centre)
        for group, centre in zip(groups, centres, strict=True)
        if len(group)
    ]
    if use_references:
        groups += [_centred(all_rows(reference)) for reference in sound.references]
    added = None if sound.variation is None else sound.variation.scatter(inside)
    if sound.least_variance is not None:
        diagonal = np.diag(sound.least_variance)
        added = diagonal if added is None else added + diagonal
    scatter = scatter_of([group for group in groups if len(group) > 1] or groups, added)
    return Statistics(centres, scatter, sound.parts)


@dataclass(frozen=True, slots=True)
class FoldHead:
    """The head of the recordings that are ``inside`` ``(n_recordings,)``, for the others."""

    inside: npt.NDArray[np.bool_]
    head: Head


def fold_heads(
    sound: HealthySound,
    fold: npt.NDArray[np.intp],
    shrinkage: float,
    *,
    use_references: bool,
) -> list[FoldHead]:
    """A head for each fold of recordings, made without them. ``fold``: ``(n_recordings,)``.

    With one fold only, its head is made from all recordings.
    """
    masks = leave_out(fold) if fold.max() > 0 else [np.ones(len(fold), dtype=bool)]
    return [
        FoldHead(
            inside,
            fit_statistics(sound, inside, use_references=use_references).head(shrinkage),
        )
        for inside in masks
    ]


def head_for(heads: Sequence[FoldHead], index: int) -> Head:
    """The head that was made without recording ``index``, or the only one."""
    for fold in heads:
        if not fold.inside[index]:
            return fold.head
    return heads[0].head


def leave_out(fold: npt.NDArray[np.intp]) -> list[npt.NDArray[np.bool_]]:
    """For each fold, which recordings are inside. Shape: ``(n_recordings,)`` each."""
    return [fold != left_out for left_out in np.unique(fold)]


def _centres(sound: HealthySound, kept: npt.NDArray[np.intp]) -> DoubleArray:
    everything = range(len(sound.recordings))
    centres = []
    for regime in range(sound.n_regimes):
        members = [sound.span_rows[i][sound.regime[i] == regime] for i in kept]
        if not sum(len(rows) for rows in members):
            members = [sound.span_rows[i][sound.regime[i] == regime] for i in everything]
        centres.append(np.concatenate(members).mean(axis=0))
    return np.stack(centres)


def _centred(rows: DoubleArray) -> DoubleArray:
    centred: DoubleArray = rows - rows.mean(axis=0)
    return centred
