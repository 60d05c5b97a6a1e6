"""One stream through a pipeline: its states, its starts and its alerts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from monitor.detection.operation import OperationStatus
from monitor.domain import AudioBlock, Decision, FloatArray
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.pipeline import Pipeline

RATE_HZ = 16_000
BLOCK_S = 0.1


@dataclass(slots=True)
class Followed:
    """What happened in one or more streams.

    ``time_in``: blocks in each state, without the first seconds, in which it is not known.
    ``n_starts``, ``n_stops``: changes to running and off after the first known state.
    """

    time_in: Counter[OperationStatus] = field(default_factory=Counter)
    decisions: list[Decision] = field(default_factory=list)
    n_starts: int = 0
    n_stops: int = 0

    def share(self, status: OperationStatus) -> float:
        """Of the time, 0 to 1."""
        return self.time_in[status] / max(1, self.time_in.total())

    @property
    def n_alerts(self) -> int:
        """Alerts raised."""
        return sum(decision.kind == "raised" for decision in self.decisions)

    def add(self, other: Followed) -> None:
        """Take another stream's events."""
        self.time_in += other.time_in
        self.decisions += other.decisions
        self.n_starts += other.n_starts
        self.n_stops += other.n_stops


def followed(bundle: Bundle, network: Network, cells: Iterable[FloatArray]) -> Followed:
    """Push one stream at 16 kHz in blocks of any size."""
    pipeline = Pipeline(bundle, network=network)
    result = Followed()
    first_sample = 0
    for samples in cells:
        known = pipeline.operation is not None
        output = pipeline.push(AudioBlock(samples, RATE_HZ, first_sample))
        first_sample += len(samples)
        result.decisions += output.decisions
        for change in output.operation:
            result.n_starts += change.is_start
            result.n_stops += known and change.status is OperationStatus.OFF
            known = True
        if pipeline.operation is not None:
            result.time_in[pipeline.operation] += 1
    result.decisions += pipeline.finish().decisions
    return result


def cut(samples: FloatArray) -> list[FloatArray]:
    """A recording in blocks as a microphone gives them."""
    step = round(BLOCK_S * RATE_HZ)
    return [samples[at : at + step] for at in range(0, len(samples), step)]


def joined(parts: Iterable[FloatArray]) -> FloatArray:
    """Recordings one after another."""
    return np.concatenate(list(parts))
