"""Healthy recordings, cut into pieces and sorted by operating state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.diagnosis.healthy import Healthy
from monitor.diagnosis.healthy_files import FEW
from monitor.diagnosis.running import quietest_db
from monitor.diagnosis.segments import LEAST_S, SegmentPlan, levels_of, transforms
from monitor.diagnosis.sound import LEAST_SEGMENTS, SoundSegments, Spectra, segments_of
from monitor.diagnosis.states import IntArray, States, signatures_of
from monitor.domain import DoubleArray, FloatArray

LONGEST_S = 60.0
"""Of the sound of an alert, and of each healthy piece."""
MOST_PIECES = 60


@dataclass(frozen=True)
class HealthySound:
    """The references of a machine: one for all states together, and one for each state.

    ``states``: None if the healthy sound is all alike. ``by_state``: only those with enough sound.
    ``quiet_db``: of the quietest healthy second, see ``running``.
    """

    everything: Healthy
    quiet_db: DoubleArray
    states: States | None = None
    by_state: dict[int, Healthy] = field(default_factory=dict)

    @classmethod
    def of(
        cls, recordings: Sequence[FloatArray], plan: SegmentPlan, length_s: float
    ) -> HealthySound | None:
        """From recordings at the rate of ``plan``; None if all are too short.

        ``length_s``: of the alert's sound; longer recordings are cut into pieces of about that.
        """
        pieces = _pieces(recordings, plan, length_s)
        if not pieces:
            return None
        signatures = [signatures_of(levels_of(transforms(piece, plan)), plan) for piece in pieces]
        states = States.among(np.concatenate(signatures))
        everything: list[Spectra] = []
        by_state: dict[int, list[Spectra]] = {}
        for piece, signature in zip(pieces, signatures, strict=True):
            segments = segments_of(piece, plan)
            if segments is None:
                continue
            everything.append(segments.averaged())
            if states.count > 1:
                for state, spectra in _each_state(segments, states.of(signature)):
                    by_state.setdefault(state, []).append(spectra)
        references = {
            state: Healthy(spectra) for state, spectra in by_state.items() if len(spectra) >= FEW
        }
        quiet_db = quietest_db(pieces, plan.rate_hz)
        return cls(Healthy(everything), quiet_db, states if references else None, references)

    def matched(self, segments: SoundSegments) -> tuple[Spectra, Healthy]:
        """The part of a sound that is in its most frequent state, and the reference for it."""
        if self.states is not None:
            labels = self.states.of(signatures_of(segments.density_db, segments.plan))
            for state in np.argsort(-np.bincount(labels)):
                chosen = labels == state
                if int(state) in self.by_state and chosen.sum() >= LEAST_SEGMENTS:
                    return segments.averaged(chosen), self.by_state[int(state)]
        return segments.averaged(), self.everything


def _pieces(
    recordings: Sequence[FloatArray], plan: SegmentPlan, length_s: float
) -> list[FloatArray]:
    """At most ``MOST_PIECES``, from all recordings. Shape: ``(n_samples,)`` each, views."""
    length_s = min(max(length_s, LEAST_S), LONGEST_S)
    pieces = []
    for samples in recordings:
        count = max(1, round(len(samples) / plan.rate_hz / length_s))
        pieces += [
            part
            for part in np.array_split(samples, count)
            if plan.count(len(part)) >= LEAST_SEGMENTS
        ]
    if len(pieces) <= MOST_PIECES:
        return pieces
    chosen = np.linspace(0, len(pieces) - 1, MOST_PIECES).round().astype(int)
    return [pieces[number] for number in chosen]


def _each_state(segments: SoundSegments, labels: IntArray) -> list[tuple[int, Spectra]]:
    """The states in which a piece is for long enough, and its spectra there."""
    return [
        (int(state), segments.averaged(labels == state))
        for state in np.unique(labels)
        if (labels == state).sum() >= LEAST_SEGMENTS
    ]
