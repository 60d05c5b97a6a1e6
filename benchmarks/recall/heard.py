"""Train on a machine and hear what it was not trained on.

Training and the network take nearly all of the time. So their results are kept on disk, and
thresholds can be studied without training again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from benchmarks.detection.evidence import evidence_of_file
from benchmarks.detection.injection import Piece
from benchmarks.recall.faults import FAULTS, fault
from benchmarks.recall.kept import Arrays, folder_of, kept
from benchmarks.recall.machines import Machine
from monitor.calibration.threshold import HealthyRecording
from monitor.domain import FloatArray
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.network import Network
from training.sound.recording_evidence import RecordingEvidence, score_evidence
from training.sound.recordings import Recording
from training.sound.train import AudioRequest, train_audio

LOUDEST_JOINED_DB = -18.0
"""Louder faults are not mixed into five minutes of sound: they raise an alert within seconds."""
_JOINED_SEED = 1_000


@dataclass(frozen=True, slots=True)
class Heard:
    """The network's output for the ``n`` windows of one sound.

    ``role``: ``piece`` or ``joined``, ``unheard``, or ``real`` for a real fault. ``source``: the
    number of the piece or recording. ``kind`` and ``level_db``: of the fault that was mixed in.
    Shape: ``evidence`` is ``(n, d)``, ``loss`` and ``window_level_db`` are ``(n,)``.
    """

    role: str
    source: int
    kind: str
    level_db: float
    seconds: float
    evidence: FloatArray = field(repr=False)
    loss: FloatArray = field(repr=False)
    window_level_db: FloatArray = field(repr=False)

    def scored(self, bundle: Bundle) -> HealthyRecording:
        """The scores that the bundle gives."""
        no_rows = np.empty((0, self.evidence.shape[1]))
        recording = RecordingEvidence(
            self.role, self.seconds, self.evidence, self.loss, self.window_level_db, no_rows
        )
        return score_evidence(recording, bundle.spec, bundle.span_windows, bundle.head)

    def arrays(self) -> Arrays:
        """As it is kept on disk."""
        return {
            "label": np.array([self.role, self.kind]),
            "numbers": np.array([self.source, self.level_db, self.seconds]),
            "evidence": self.evidence,
            "loss": self.loss,
            "level_db": self.window_level_db,
        }

    @classmethod
    def of(cls, arrays: Arrays) -> Heard:
        """From what is kept on disk."""
        role, kind = arrays["label"].tolist()
        source, level_db, seconds = arrays["numbers"].tolist()
        rows = (arrays["evidence"], arrays["loss"], arrays["level_db"])
        return cls(role, int(source), kind, level_db, seconds, *rows)


def learned(machine: Machine) -> tuple[Bundle, list[HealthyRecording]]:
    """The bundle of a machine, and the scores of its recordings by statistics without them."""
    bundle = folder_of(machine) / "machine.bundle"

    def train() -> Iterator[Arrays]:
        request = AudioRequest(machine.train, bundle, machine.references, seed=machine.seed)
        for one in train_audio(request).healthy:
            yield {
                "scores": one.scores,
                "levels_db": one.levels_db,
                "numbers": np.array([one.seconds, one.whole]),
                "stretches": one.stretches,
            }

    healthy = [
        HealthyRecording(
            scores=one["scores"],
            levels_db=one["levels_db"],
            seconds=float(one["numbers"][0]),
            whole=float(one["numbers"][1]),
            stretches=one["stretches"],
        )
        for one in kept(machine, "learned", train)
    ]
    return load_bundle(bundle), healthy


def heard(machine: Machine, bundle: Bundle, levels_db: Sequence[float]) -> list[Heard]:
    """Everything that was not learned: healthy, with real faults, and with mixed-in faults."""
    hearing = _Hearing(machine, bundle)
    found = kept(machine, "as it is", partial(_made, hearing.as_it_is))
    for level_db in levels_db:
        disturbed = partial(hearing.with_faults, level_db)
        found += kept(machine, f"faults at {level_db:g} dB", partial(_made, disturbed))
    return [Heard.of(arrays) for arrays in found]


class _Hearing:
    """Runs the sound of one machine through the network of its bundle."""

    def __init__(self, machine: Machine, bundle: Bundle) -> None:
        self._machine, self._bundle = machine, bundle
        self._network = Network(bundle)

    def as_it_is(self) -> Iterator[Heard]:
        """All sound without a mixed-in fault."""
        machine = self._machine
        for role, paths in (("unheard", machine.unheard), ("real", machine.faulty)):
            for number, path in enumerate(paths):
                evidence = evidence_of_file(path, self._bundle, self._network)
                yield _heard(role, number, evidence)
        for role, number, piece in self._pieces():
            yield _heard(role, number, self._evidence(piece.frames_db))

    def with_faults(self, level_db: float) -> Iterator[Heard]:
        """Every piece with every kind of fault, one of its own for each piece."""
        spec = self._bundle.spec
        for role, number, piece in self._pieces():
            if role == "joined" and level_db > LOUDEST_JOINED_DB:
                continue
            own = number + _JOINED_SEED if role == "joined" else number
            n_samples = math.ceil(len(piece.frames_db) * spec.hop_length) + spec.n_fft
            for kind in FAULTS:
                sound = fault(kind, n_samples, spec.sample_rate_hz, (self._machine.seed, own))
                evidence = self._evidence(piece.with_sound(sound, level_db))
                yield _heard(role, number, evidence, kind, level_db)

    def _pieces(self) -> Iterator[tuple[str, int, Piece]]:
        spec = self._bundle.spec
        for role, pieces in (("piece", self._machine.pieces), ("joined", self._machine.joined)):
            for number, piece in enumerate(pieces(spec)):
                yield role, number, piece

    def _evidence(self, frames_db: FloatArray) -> RecordingEvidence:
        spec = self._bundle.spec
        recording = Recording("piece", frames_db)
        output = self._network.run(recording.windows(spec))
        return RecordingEvidence.of(
            recording, spec, evidence=output.evidence, loss=output.loss, level_db=output.level_db
        )


def _heard(
    role: str, number: int, evidence: RecordingEvidence, kind: str = "", level_db: float = 0.0
) -> Heard:
    rows = (evidence.evidence, evidence.loss, evidence.level_db)
    return Heard(role, number, kind, level_db, evidence.seconds, *rows)


def _made(sounds: Callable[[], Iterator[Heard]]) -> Iterator[Arrays]:
    return (sound.arrays() for sound in sounds())
