"""Train on a machine and replay what it was not trained on.

Both take nearly all of the time. So their results are kept on disk as long as the programs that
made them are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from benchmarks.detection.injection import LogMelPiece, Piece, SoundPiece
from benchmarks.detection.mixing import at_level, read
from benchmarks.recall.kept import Arrays, folder_of, kept
from benchmarks.recall.machines import Machine
from monitor.calibration.blocks import WEEK_S
from monitor.calibration.threshold import HealthyRecording, calibrate
from monitor.detection.detector import persistence_of
from monitor.detection.persistent_scores import persistent_scores
from monitor.detection.score_watch import ScoreWatch
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.domain import AudioBlock, FloatArray, LogMelBlock, Score
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.manifest import Calibration
from monitor.model.network import Network
from monitor.pipeline import Pipeline
from training.sound.injected_faults import FAULTS, fault
from training.sound.recordings import read_recording
from training.sound.train import AudioRequest, train_audio

LOUDEST_JOINED_DB = -18.0
"""Louder faults are not mixed into five minutes of sound: they raise an alert within seconds."""
NOMINAL = 0.05
FALSE_CLIPS = 1 / 175
_JOINED_SEED = 1_000
_BLOCK_S = 1.0


@dataclass(frozen=True, slots=True)
class Learned:
    """The bundle of a machine, and figures of its healthy recordings.

    ``supported``: the same bundle with the thresholds for the budget that the recordings support
    by counting. ``nominal``, ``clips``: thresholds for recordings, at ``NOMINAL`` and at
    ``FALSE_CLIPS`` false alarms a recording. ``over_healthy``: the threshold of the scores at one
    false alarm a week over the highest value that it was made from.
    """

    bundle: Bundle
    supported: Bundle
    nominal: float
    clips: float
    over_healthy: float


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay of one sound gives.

    ``role``: ``piece`` or ``joined``, ``unused``, or ``real`` for a real fault. ``source``: the
    number of the piece or recording. ``kind`` and ``level_db``: of the fault that was mixed in.
    ``score``: of the whole sound. ``alerts``: at one false alarm a week, with ``span_s`` of the
    first one, 0 without. ``supported``: the same at the supported budget.
    """

    role: str
    source: int
    kind: str
    level_db: float
    seconds: float
    score: float
    alerts: int
    span_s: float
    supported: int

    def arrays(self) -> Arrays:
        """As it is kept on disk."""
        numbers = (self.source, self.level_db, self.seconds, self.score)
        found = (self.alerts, self.span_s, self.supported)
        return {"label": np.array([self.role, self.kind]), "numbers": np.array([*numbers, *found])}

    @classmethod
    def of(cls, arrays: Arrays) -> Replayed:
        """From what is kept on disk."""
        role, kind = arrays["label"].tolist()
        source, level_db, seconds, score, alerts, span_s, supported = arrays["numbers"].tolist()
        return cls(
            role, int(source), kind, level_db, seconds, score, int(alerts), span_s, int(supported)
        )


def learned(machine: Machine) -> Learned:
    """Train on a machine and calibrate for several budgets."""
    path = folder_of(machine) / "machine.bundle"

    def train() -> Iterator[Arrays]:
        request = AudioRequest(machine.train, path, machine.references, seed=machine.seed)
        result = train_audio(request)
        bundle, healthy = result.bundle, result.healthy
        weekly = _calibrated(bundle, healthy, result.files, 1.0)
        rule = persistence_of(bundle, DetectorSettings())
        highest = max(persistent_scores(one.scores, rule).max() for one in healthy)
        per_week = WEEK_S / float(np.mean([one.seconds for one in healthy]))
        supported = _calibrated(
            bundle, healthy, result.files, weekly.supported_false_alarms_per_week
        )
        yield {
            "supported": np.array(supported.model_dump_json()),
            "nominal": np.array(
                _calibrated(bundle, healthy, result.files, NOMINAL * per_week).recording_threshold
            ),
            "clips": np.array(
                _calibrated(
                    bundle, healthy, result.files, FALSE_CLIPS * per_week
                ).recording_threshold
            ),
            "over_healthy": np.array(bundle.calibration.threshold / highest),
        }

    (figures,) = kept(machine, "learned", train)
    bundle = load_bundle(path)
    supported = Calibration.model_validate_json(str(figures["supported"]))
    return Learned(
        bundle,
        replace(bundle, manifest=bundle.manifest.model_copy(update={"calibration": supported})),
        float(figures["nominal"]),
        float(figures["clips"]),
        float(figures["over_healthy"]),
    )


def _calibrated(
    bundle: Bundle, healthy: Sequence[HealthyRecording], files: Sequence[int], per_week: float
) -> Calibration:
    return calibrate(
        healthy,
        false_alarms_per_week=per_week,
        persistence=persistence_of(bundle, DetectorSettings()),
        hop_s=bundle.spec.window_hop_s,
        span_s=bundle.actual_span_s,
        distances=bundle.head.is_distance,
        files=files,
    )


def replayed(machine: Machine, known: Learned, levels_db: Sequence[float]) -> list[Replayed]:
    """Everything that was not learned: healthy, with real faults, and with mixed-in faults."""
    replays = _Replays(machine, known)
    found = kept(machine, "as it is", partial(_made, replays.as_it_is))
    for level_db in levels_db:
        disturbed = partial(replays.with_faults, level_db)
        found += kept(machine, f"faults at {level_db:g} dB", partial(_made, disturbed))
    return [Replayed.of(arrays) for arrays in found]


class _Replays:
    """Replays the sound of one machine."""

    def __init__(self, machine: Machine, known: Learned) -> None:
        self._machine, self._known = machine, known
        self._network = Network(known.bundle)

    def as_it_is(self) -> Iterator[Replayed]:
        """All sound without a mixed-in fault."""
        machine = self._machine
        for role, paths in (("unused", machine.unused), ("real", machine.faulty)):
            for number, path in enumerate(paths):
                sound = (
                    read_recording(path, self._known.bundle.spec).frames_db
                    if path.suffix == ".npy"
                    else read(path)
                )
                yield self._replayed(role, number, sound)
        for role, number, piece in self._pieces():
            yield self._replayed(role, number, _sound(piece))

    def with_faults(self, level_db: float) -> Iterator[Replayed]:
        """Every piece with every kind of fault, one of its own for each piece."""
        spec = self._known.bundle.spec
        for role, number, piece in self._pieces():
            if role == "joined" and level_db > LOUDEST_JOINED_DB:
                continue
            own = number + _JOINED_SEED if role == "joined" else number
            n_samples = math.ceil(len(piece.frames_db) * spec.hop_length) + spec.n_fft
            for kind in FAULTS:
                added = fault(kind, n_samples, spec.sample_rate_hz, (self._machine.seed, own))
                yield self._replayed(role, number, _sound(piece, added, level_db), kind, level_db)

    def _pieces(self) -> Iterator[tuple[str, int, Piece]]:
        spec = self._known.bundle.spec
        for role, pieces in (("piece", self._machine.pieces), ("joined", self._machine.joined)):
            for number, piece in enumerate(pieces(spec)):
                yield role, number, piece

    def _replayed(
        self, role: str, number: int, sound: FloatArray, kind: str = "", level_db: float = 0.0
    ) -> Replayed:
        known, spec = self._known, self._known.bundle.spec
        whole = known.bundle.recording_score()
        pipeline = Pipeline(known.bundle, network=self._network, whole=whole)
        watch = ScoreWatch(known.supported, DetectorSettings(), OperationSettings())
        raised, supported = [], 0
        for output in (
            *map(pipeline.push, blocks_of(sound, spec.sample_rate_hz)),
            pipeline.finish(),
        ):
            raised += [one for one in output.decisions if one.kind == "raised"]
            for score in sorted((*output.scores, *output.channel_scores), key=_place):
                decision = watch.push(score)
                supported += decision is not None and decision.kind == "raised"
        seconds = len(sound) / (spec.sample_rate_hz if sound.ndim == 1 else spec.frame_rate_hz)
        return Replayed(
            role,
            number,
            kind,
            level_db,
            seconds,
            0.0 if whole.empty else whole.value,
            len(raised),
            raised[0].span_s if raised else 0.0,
            supported,
        )


def _sound(piece: Piece, added: FloatArray | None = None, level_db: float = 0.0) -> FloatArray:
    """Samples, or frames in dB where there are no samples."""
    if isinstance(piece, SoundPiece):
        return piece.samples if added is None else at_level(piece.samples, added, level_db, 0)
    if not isinstance(piece, LogMelPiece):
        raise TypeError(f"a piece of an unknown kind: {type(piece).__name__}")
    return piece.frames_db if added is None else piece.with_sound(added, level_db)


def blocks_of(sound: FloatArray, rate_hz: int) -> Iterator[AudioBlock | LogMelBlock]:
    """A sound, or frames in dB, in the blocks of a replay."""
    if sound.ndim == 2:
        yield LogMelBlock(sound, 0)
        return
    length = round(_BLOCK_S * rate_hz)
    for first in range(0, len(sound), length):
        yield AudioBlock(sound[first : first + length], rate_hz, first)


def _place(score: Score) -> tuple[int, int]:
    return score.end_sample, score.channel


def _made(sounds: Callable[[], Iterator[Replayed]]) -> Iterator[Arrays]:
    return (sound.arrays() for sound in sounds())
