"""Train and evaluate one case: the score, the plain error and the no-network control."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.detection.cases import Case
from benchmarks.detection.control import SpectrumDistance
from benchmarks.detection.evidence import evidence_of_file, peaks_of_file
from monitor.calibration.blocks import WEEK_S, block_values
from monitor.calibration.threshold import HealthyRecording
from monitor.detection.detector import persistence_of
from monitor.detection.settings import DetectorSettings
from monitor.domain import FloatArray
from monitor.model.bundle import Bundle
from monitor.model.head import LossHead
from monitor.model.network import Network
from monitor.model.recording_score import combined
from monitor.offline.recalibrate import calibration_of
from monitor.offline.replay import RecordingSummary, ReplaySinks, replay_recording
from training.metrics import partial_auc, roc_auc
from training.sound.recording_evidence import RecordingEvidence, score_evidence
from training.sound.train import AudioRequest, train_audio

NOMINAL = 0.05
GAINS_DB = (0.0, 3.0, -3.0)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The results of one case with one seed. AUC and partial AUC by score.

    ``false_rate`` and ``false_decisions``, by gain: the share of healthy recordings over the
    threshold for whole recordings, and of their stretches that would have raised an alert,
    both at a nominal ``NOMINAL``. Means are weighted by ``n_healthy`` and
    ``n_blocks``.
    """

    group: str
    machine: str
    score_kind: str
    auc: dict[str, float]
    pauc: dict[str, float]
    false_rate: dict[float, float]
    n_healthy: int
    false_decisions: dict[float, float]
    n_blocks: int
    healthy_hours: float
    false_alarms: int
    alerted: float
    false_alarms_daily: int
    alerted_daily: float
    train_s: float
    cost_ratio: float
    reason: str


def judge(case: Case, seed: int, out: Path) -> CaseResult:
    """Train on the case's healthy recordings and evaluate the left-out ones."""
    started = time.perf_counter()
    result = train_audio(AudioRequest(case.train, out, references=case.references, seed=seed))
    train_s = time.perf_counter() - started
    bundle = result.bundle
    network = Network(bundle)
    labels = np.array([0] * len(case.healthy) + [1] * len(case.faulty))
    paths = (*case.healthy, *case.faulty)
    evidence = [evidence_of_file(path, bundle, network) for path in paths]
    replayed = [replay(path, bundle, network) for path in paths]
    control = SpectrumDistance(case, bundle.spec)
    scores = {
        "auscult": np.array([summary.score for summary in replayed]),
        "plain error": np.array([float(one.loss.mean()) for one in evidence]),
        "no network": np.array([control.of_file(path) for path in paths]),
    }
    n_healthy = len(case.healthy)
    by_gain = {
        gain_db: [evidence_of_file(path, bundle, network, gain_db) for path in case.healthy]
        if gain_db
        else evidence[:n_healthy]
        for gain_db in GAINS_DB
    }
    nominal, decision = _nominal_thresholds(result.healthy, bundle)
    peaks = [peaks_of_file(path, bundle) for path in case.healthy]  # whatever the level
    rates = {gain_db: _share_over(by_gain[gain_db], peaks, bundle, nominal) for gain_db in GAINS_DB}
    blocks = {
        gain_db: np.concatenate([_block_values(one, bundle) for one in by_gain[gain_db]])
        for gain_db in GAINS_DB
    }
    weekly = [summary.alerts for summary in replayed]
    daily_bundle = _rethresholded(bundle, result.healthy, 7.0)
    daily = [replay(path, daily_bundle, network).alerts for path in paths]
    return CaseResult(
        group=case.group,
        machine=case.machine,
        score_kind=bundle.manifest.score.kind,
        auc={name: roc_auc(labels, values) for name, values in scores.items()},
        pauc={name: partial_auc(labels, values) for name, values in scores.items()},
        false_rate=rates,
        n_healthy=n_healthy,
        false_decisions={g: float(np.mean(values > decision)) for g, values in blocks.items()},
        n_blocks=len(blocks[0.0]),
        healthy_hours=sum(one.seconds for one in evidence[:n_healthy]) / 3600,
        false_alarms=sum(weekly[:n_healthy]),
        alerted=float(np.mean([count > 0 for count in weekly[n_healthy:]])),
        false_alarms_daily=sum(daily[:n_healthy]),
        alerted_daily=float(np.mean([count > 0 for count in daily[n_healthy:]])),
        train_s=train_s,
        cost_ratio=_cost_ratio(case.healthy[0], bundle, network),
        reason=bundle.manifest.score.reason,
    )


def _block_values(recording: RecordingEvidence, bundle: Bundle) -> npt.NDArray[np.float64]:
    """The values that the detector compares with its threshold, one for each block."""
    spec = bundle.spec
    scores = score_evidence(recording, spec, bundle.span_windows, bundle.head).scores
    per_block = round(bundle.calibration.block_s / spec.window_hop_s)
    return block_values(scores, persistence_of(bundle, DetectorSettings()), per_block)


def whole_score(
    evidence: FloatArray, loss: FloatArray, bundle: Bundle, peaks: Sequence[float] = ()
) -> float:
    """The bundle's score of a recording of ``n`` windows. Shape: ``(n, d)`` and ``(n,)``.

    ``peaks``: the scores of its spectra, of which the rest of the recording is independent.
    """
    whole = bundle.recording_score()
    whole.extend(evidence, loss)
    weights = bundle.peaks.recording_weights if bundle.peaks is not None else ()
    weighted = [weight * peak for weight, peak in zip(weights, peaks, strict=False)]
    return combined([whole.value, *weighted])


def _nominal_thresholds(healthy: Sequence[HealthyRecording], bundle: Bundle) -> tuple[float, float]:
    """The thresholds that a share ``NOMINAL`` of healthy recordings and blocks should exceed."""
    seconds = float(np.mean([recording.seconds for recording in healthy]))
    by_recording = _rethresholded(bundle, healthy, NOMINAL * WEEK_S / seconds)
    by_block = _rethresholded(bundle, healthy, NOMINAL * WEEK_S / bundle.calibration.block_s)
    return by_recording.calibration.recording_threshold, by_block.calibration.threshold


def _share_over(
    recordings: Sequence[RecordingEvidence],
    peaks: Sequence[Sequence[float]],
    bundle: Bundle,
    threshold: float,
) -> float:
    scores = [
        whole_score(one.evidence, one.loss, bundle, own)
        for one, own in zip(recordings, peaks, strict=True)
    ]
    return float(np.mean([score > threshold for score in scores]))


def _rethresholded(bundle: Bundle, healthy: Sequence[HealthyRecording], budget: float) -> Bundle:
    """The bundle with the threshold for another budget of false alarms a week."""
    rule = persistence_of(bundle, DetectorSettings())
    calibration = calibration_of(bundle, healthy, rule, false_alarms_per_week=budget)
    manifest = bundle.manifest.model_copy(update={"calibration": calibration})
    return replace(bundle, manifest=manifest)


def replay(path: Path, bundle: Bundle, network: Network) -> RecordingSummary:
    """A replay of the recording: its score, and the number of its alerts."""
    sinks = ReplaySinks(lambda *_: None, lambda *_: None)
    return replay_recording(
        path, bundle, network, DetectorSettings(), sinks, machine="m", start_unix_s=0.0
    )


def _cost_ratio(path: Path, bundle: Bundle, network: Network) -> float:
    """Processor time of replaying with the bundle's score over that with the plain error."""
    plain = replace(bundle, head=LossHead.for_evidence(bundle.head.centres.shape[1]))

    def cost(chosen: Bundle) -> float:
        started = time.process_time()
        replay(path, chosen, network)
        return time.process_time() - started

    return float(np.median([cost(bundle) / cost(plain) for _ in range(5)]))
