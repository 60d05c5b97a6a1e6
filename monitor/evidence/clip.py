"""A piece of sound around one moment, as it is collected."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from monitor.evidence.names import Moment, PieceName, evidence_id
from monitor.evidence.sound_memory import Rows, joined
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle
from monitor.model.network import Network


@dataclass(frozen=True, slots=True)
class Judge:
    """By what the machine is judged. ``network``: None if it is not known any more."""

    spec: LogMelSpec
    sha256: str
    bundle: Bundle | None = field(default=None, repr=False)
    network: Network | None = field(default=None, repr=False)

    @classmethod
    def of(cls, bundle: Bundle, network: Network) -> Judge:
        """The judge of a bundle."""
        return cls(bundle.spec, bundle.sha256, bundle, network)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be kept.

    ``at``: the time of the decision, RFC 3339. ``at_s``: its position in the stream, in seconds.
    ``began_s``: where the fault began. ``operation``: whether the machine runs, if that is known.
    """

    machine: str
    alert_id: str
    number: int
    moment: Moment
    at: str
    at_s: float
    began_s: float
    ratio: float
    judge: Judge
    operation: str | None = None

    @property
    def evidence_id(self) -> str:
        """The id of the piece."""
        return evidence_id(self.alert_id, self.number)

    @property
    def stem(self) -> str:
        """The beginning of the names of its files."""
        return PieceName(self.number, self.moment).stem


@dataclass(slots=True)
class Clip:
    """Sound or log-mel frames, with the scores and the gaps in it.

    ``rows``: int16 or int32 (24 bits) ``(n,)``, or float32 ``(n_frames, n_mels)`` without sound.
    ``rate_hz``: rows per second. ``first_s``: its position in the stream. ``scores``: position in
    the clip, score, threshold. ``gaps``: position in the clip and length, in seconds.
    ``incomplete``: why it is shorter than asked for; empty if it is not.
    """

    rows: Rows
    rate_hz: float
    first_s: float
    scores: list[tuple[float, float, float]] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    incomplete: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether it is sound, and not log-mel frames."""
        return self.rows.ndim == 1

    @property
    def seconds(self) -> float:
        """The length."""
        return len(self.rows) / self.rate_hz


@dataclass(slots=True)
class GrowingClip:
    """A clip whose end has not arrived yet.

    ``first``, ``end``: the rows that belong to it, by their position in the stream.
    ``reserved_bytes``: the memory that was taken for it. ``waits_s``: by which time of the
    monotonic clock it must be complete. ``next``: the position of the row that comes next.
    """

    request: Request
    rate_hz: float
    first: int
    end: int
    reserved_bytes: int
    waits_s: float
    parts: list[Rows]
    next: int

    @property
    def is_complete(self) -> bool:
        """Whether all sound has arrived."""
        return self.next >= self.end

    @property
    def n_bytes(self) -> int:
        """The memory that the sound takes so far."""
        return sum(part.nbytes for part in self.parts)

    def push(self, rows: Rows) -> None:
        """Take the rows that follow."""
        wanted = rows[: max(0, self.end - self.next)]
        self.next += len(rows)
        if len(wanted):
            self.parts.append(wanted)

    def clip(
        self,
        scores: list[tuple[float, float, float]],
        gaps: list[tuple[float, float]],
        incomplete: str = "",
    ) -> Clip:
        """What has arrived. ``scores``, ``gaps``: with positions in the stream."""
        rows = joined(self.parts)
        first_s, seconds = self.first / self.rate_hz, len(rows) / self.rate_hz
        return Clip(
            rows,
            self.rate_hz,
            first_s,
            [
                (at_s - first_s, score, threshold)
                for at_s, score, threshold in scores
                if 0.0 <= at_s - first_s <= seconds
            ],
            [
                (max(0.0, at_s - first_s), length_s - max(0.0, first_s - at_s))
                for at_s, length_s in gaps
                if at_s + length_s > first_s and at_s < first_s + seconds
            ],
            incomplete,
        )


def rows_of(at_s: float, before_s: float, after_s: float, rate_hz: float) -> tuple[int, int]:
    """The rows from ``before_s`` before a position to ``after_s`` after it."""
    return (
        max(0, math.floor((at_s - before_s) * rate_hz + 0.5)),
        math.ceil((at_s + after_s) * rate_hz - 0.5),
    )
