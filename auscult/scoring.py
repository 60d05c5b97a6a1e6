"""Bundles, and the scores of recordings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from auscult.sound import File, Sound, array_blocks, as_path, given_sound
from monitor.alerts import AlertDraft, AlertKind
from monitor.audio.recordings import recording_files
from monitor.detection.settings import DetectorSettings
from monitor.detection.thresholds import thresholds_of
from monitor.domain import AudioBlock, Score
from monitor.errors import BadInputError, MissingInputError
from monitor.model import bundle as model_bundle
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.offline.ahead import Ahead, ahead_for
from monitor.offline.replay import RecordingSummary, ReplaySinks, replay_recording

_ARRAY = "array"


@dataclass(frozen=True, slots=True)
class ScoredSpan:
    """The score of a few seconds of sound: a row of ``auscult replay --scores``.

    ``start_s``, ``end_s``: where the span is, in seconds since the sound began. ``score``: >= 0,
    higher is more anomalous. ``loss``: the mean squared reconstruction error of the newest window,
    >= 0. ``threshold``: for ``score``. A single score above it is no alert yet.
    """

    start_s: float
    end_s: float
    score: float
    loss: float
    threshold: float

    @property
    def anomalous(self) -> bool:
        """Whether the score is above the threshold."""
        return self.score > self.threshold


@dataclass(frozen=True, slots=True)
class AlertChange:
    """An alert is raised, updated or cleared.

    ``kind``: ``raised``, ``updated`` or ``cleared``. ``at_s``: when, in seconds since the sound
    began. ``score``, ``threshold``: in the same units, whichever score raised the alert.
    ``bands_hz``: the lowest and the highest frequency of each range where the error is largest.
    ``span_s``: seconds of sound in the score. ``reason``: why the alert is cleared, if not because
    the sound is healthy again (``stopped``: the machine was switched off).
    """

    kind: AlertKind
    at_s: float
    score: float
    threshold: float
    bands_hz: tuple[tuple[float, float], ...] = ()
    span_s: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ScoredRecording:
    """A recording and its scores: a row of ``auscult replay --files``, with its spans and alerts.

    ``file``: the path, or ``array``. ``seconds``: its length. ``score``: of the whole recording,
    comparable between recordings of one bundle; None without one, because of ``error`` or because
    the machine is off (``operation``). ``threshold``: for ``score``. ``spans``: in their order.
    ``alerts``: each change of an alert. ``error``: why the recording cannot be scored.
    ``not_judged``: why a part of it was not scored. ``operation``: whether the machine runs, empty
    if the bundle has no operating states.
    """

    file: str
    seconds: float
    score: float | None
    threshold: float
    spans: tuple[ScoredSpan, ...] = field(repr=False)
    alerts: tuple[AlertChange, ...] = field(repr=False)
    error: str = ""
    not_judged: str = ""
    operation: str = ""

    @property
    def anomalous(self) -> bool:
        """Whether the score is above the threshold, or an alert was raised."""
        return self.score is not None and (self.score > self.threshold or bool(self.alerts))


def load_bundle(path: File) -> Bundle:
    """Read a bundle and check the hash of every file in it.

    Raises ``BundleError`` that names the file and its fault.

    >>> bundle = auscult.load_bundle("pump.bundle")
    >>> bundle.spec.sample_rate_hz
    16000
    """
    return model_bundle.load_bundle(Path(path))


def score(bundle: Bundle, sound: Sound, sample_rate_hz: int | None = None) -> ScoredRecording:
    """Score one recording, a file or an array of samples, as ``auscult replay`` does.

    ``sound``: the path of a recording (wav, flac, ogg, mp3, ..., or ``.npy`` with log-mel), or
    samples, float, shape ``(n_samples,)``, full scale +-1. ``sample_rate_hz``: of an array,
    1000 to 768000. All spans of the recording are kept in memory. Raises ``MissingInputError`` for
    a file that is not there, ``BadInputError`` for sound that cannot be scored, ``UsageError`` for
    an array without a rate, and ``BundleError`` for a bundle without a threshold.

    >>> bundle = auscult.load_bundle("pump.bundle")
    >>> result = auscult.score(bundle, "healthy.wav")
    >>> result.anomalous, result.error
    (False, '')
    >>> samples = faulty_sound()  # float32, shape (n_samples,)
    >>> result = auscult.score(bundle, samples, sample_rate_hz=16_000)
    >>> result.anomalous, result.score > result.threshold
    (True, True)
    >>> auscult.score(bundle, samples[:100], sample_rate_hz=16_000)
    Traceback (most recent call last):
    monitor.errors.BadInputError: array: 0.01 s is too short, at least 1.06 s are needed
    """
    network = Network(bundle)
    if isinstance(sound, np.ndarray):
        blocks = list(array_blocks(sound, sample_rate_hz, _ARRAY))
        scored, exit_status = _scored(bundle, network, Path(_ARRAY), blocks=blocks)
    else:
        scored, exit_status = _scored(bundle, network, as_path(sound))
    if scored.error:
        is_missing = exit_status == MissingInputError.exit_status
        raise (MissingInputError if is_missing else BadInputError)(scored.error)
    return scored


def replay(
    bundle: Bundle, recordings: Iterable[File], *, jobs: int = 1
) -> Iterator[ScoredRecording]:
    """Score many recordings, one after the other, each as a stream of its own.

    ``recordings``: files, or folders that are searched recursively. A recording that cannot be
    scored gives a result with an ``error``, and the others are scored. ``jobs``: processes that
    share the work, with the same results; with more than one, call it in the main thread of a
    program without other threads. Raises ``MissingInputError`` for a path that does not exist, and
    for a folder without recordings.

    >>> bundle = auscult.load_bundle("pump.bundle")
    >>> for one in auscult.replay(bundle, ["recordings"]):
    ...     print(one.file, one.error or ("anomalous" if one.anomalous else "normal"))
    recordings/monday.wav normal
    recordings/tuesday.wav anomalous
    """
    files = recording_files([path for path, _ in given_sound(recordings, "recordings")])
    return _replayed(bundle, files, jobs)


def span_of(bundle: Bundle, one: Score, threshold: float) -> ScoredSpan:
    """The span of a score of the pipeline."""
    rate_hz = bundle.spec.sample_rate_hz
    return ScoredSpan(
        one.first_sample / rate_hz, one.end_sample / rate_hz, one.value, one.loss, threshold
    )


def change_of(draft: AlertDraft, at_s: float) -> AlertChange:
    """The change of an alert at ``at_s`` seconds."""
    return AlertChange(
        draft.kind,
        at_s,
        draft.score,
        draft.threshold,
        draft.bands_hz,
        draft.span_s,
        draft.reason,
    )


def _replayed(bundle: Bundle, files: list[Path], jobs: int) -> Iterator[ScoredRecording]:
    network = Network(bundle)
    with ahead_for(bundle, network, files, jobs) as ahead:
        for path in files:
            yield _scored(bundle, network, path, ahead=ahead)[0]


def _scored(
    bundle: Bundle,
    network: Network,
    path: Path,
    *,
    blocks: Iterable[AudioBlock] | None = None,
    ahead: Ahead | None = None,
) -> tuple[ScoredRecording, int]:
    """The result, and the exit status of its error."""
    detector = DetectorSettings()
    threshold = thresholds_of(bundle.calibration, detector).alarm
    spans: list[ScoredSpan] = []
    alerts: list[AlertChange] = []
    summary: RecordingSummary = replay_recording(
        path,
        bundle,
        network,
        detector,
        ReplaySinks(
            lambda _, one: spans.append(span_of(bundle, one, threshold)),
            lambda _, draft, at_s: alerts.append(change_of(draft, at_s)),
        ),
        machine=_ARRAY,
        start_unix_s=0.0,
        ahead=ahead,
        blocks=blocks,
    )
    scored = ScoredRecording(
        summary.file,
        summary.seconds,
        summary.score if summary.is_scored else None,
        summary.threshold,
        tuple(spans),
        tuple(alerts),
        summary.error,
        summary.not_judged,
        summary.operation,
    )
    return scored, summary.exit_status
