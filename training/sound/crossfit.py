"""Healthy scores by statistics that did not see the recording that is scored.

Scores of the recordings that centre and covariance were fitted on are far too small: a
threshold from them gave more than half of unseen healthy recordings for faulty. The network
itself may have heard the recording; measured, that changes healthy scores by little, because
a bottleneck of a few numbers cannot learn recordings by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.model.head import DistanceHead, Head
from training.sound.covariance import Scatter, scatter_of
from training.sound.recording_evidence import Heard, all_rows
from training.sound.regimes import find_regimes, nearest

FloatRows = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HealthySound:
    """A machine's recordings, those of its reference machines, and the machine's regimes.

    ``regime``: for each recording the regime of each of its spans, as the means of
    ``span_rows`` belong to them. ``parts``: of the evidence, see ``Statistics``.
    """

    recordings: tuple[Heard, ...]
    span_rows: tuple[FloatRows, ...]
    regime: tuple[npt.NDArray[np.intp], ...]
    references: tuple[tuple[Heard, ...], ...]
    parts: tuple[slice, ...]

    @property
    def n_regimes(self) -> int:
        """How many regimes the machine was heard in."""
        return int(max(labels.max() for labels in self.regime)) + 1


@dataclass(frozen=True, slots=True)
class Statistics:
    """Centres ``(n_regimes, d)`` of the machine and the scatter around them.

    ``parts``: the parts of the evidence that have an equal say, see ``Scatter.whitener``.
    """

    centres: FloatRows
    scatter: Scatter
    parts: tuple[slice, ...]

    def head(self, shrinkage: float) -> Head:
        """What the runtime compares evidence with."""
        return DistanceHead(self.centres, self.scatter.whitener(shrinkage, self.parts))


def gather(
    recordings: Sequence[Heard],
    references: Sequence[Sequence[Heard]],
    span_windows: int,
    *,
    parts: Sequence[slice],
    seed: int,
    regime: Sequence[npt.NDArray[np.intp]] | None = None,
) -> HealthySound:
    """Find the machine's regimes, where they are not known, and keep everything together."""
    span_rows = tuple(heard.spans(span_windows, step=span_windows) for heard in recordings)
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

    The scatter is pooled over regimes, and over reference machines where they are used,
    each around its own centre: what varies within a machine is taken to be the same for
    machines of one type. A regime that no recording inside has keeps the centre of those
    that have it, because without it there would be nothing to compare with.
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
    scatter = scatter_of([group for group in groups if len(group) > 1] or groups)
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
    """A head for each fold of recordings, made without them. Shape: ``(n_recordings,)``.

    Where there is only one fold, its head is made from everything: nothing can be left out.
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
    """The head that was made without recording ``index``; the only one where there is one."""
    for fold in heads:
        if not fold.inside[index]:
            return fold.head
    return heads[0].head


def leave_out(fold: npt.NDArray[np.intp]) -> list[npt.NDArray[np.bool_]]:
    """For each fold, which recordings are inside. Shape: ``(n_recordings,)`` each."""
    return [fold != left_out for left_out in np.unique(fold)]


def _centres(sound: HealthySound, kept: npt.NDArray[np.intp]) -> FloatRows:
    everything = range(len(sound.recordings))
    centres = []
    for regime in range(sound.n_regimes):
        members = [sound.span_rows[i][sound.regime[i] == regime] for i in kept]
        if not sum(len(rows) for rows in members):
            members = [sound.span_rows[i][sound.regime[i] == regime] for i in everything]
        centres.append(np.concatenate(members).mean(axis=0))
    return np.stack(centres)


def _centred(rows: FloatRows) -> FloatRows:
    centred: FloatRows = rows - rows.mean(axis=0)
    return centred
