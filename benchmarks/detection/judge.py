"""One case trained and judged: the score, the plain error and the no-network control."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.covariance import LedoitWolf

from benchmarks.detection.cases import Case
from monitor.bundle import Bundle
from monitor.calibration import WEEK_S, HealthyRecording, calibrate
from monitor.detector_settings import DetectorSettings
from monitor.domain import FloatArray
from monitor.network import Network
from monitor.persistence import Persistence
from monitor.recording_score import RecordingScore
from monitor.replay import ReplaySinks, replay_recording
from training.audio import AudioRequest, train_audio
from training.evaluation import partial_auc, roc_auc
from training.recordings import read_machine, read_recording

NOMINAL = 0.05
GAINS_DB = (0.0, 3.0, -3.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one case with one seed. AUC and partial AUC by score."""

    group: str
    machine: str
    score_kind: str
    auc: dict[str, float]
    pauc: dict[str, float]
    false_rate: dict[float, float]
    false_alarms: int
    healthy_hours: float
    false_per_day_budget: int
    alerted: float
    train_s: float
    cost_ratio: float
    reason: str = field(default="", repr=False)


def judge(case: Case, seed: int, out: Path) -> Verdict:
    """Train on the case's healthy recordings and judge the ones that were left out."""
    started = time.perf_counter()
    result = train_audio(AudioRequest(case.train, out, references=case.references, seed=seed))
    train_s = time.perf_counter() - started
    bundle = result.bundle
    network = Network(bundle)
    labels = np.array([0] * len(case.healthy) + [1] * len(case.faulty))
    heard = [_Heard(path, bundle, network) for path in (*case.healthy, *case.faulty)]
    scores = {
        "auscult": np.array([one.score(bundle) for one in heard]),
        "plain error": np.array([float(one.loss.mean()) for one in heard]),
        "no network": _without_network(case, bundle, [one.spectrum for one in heard]),
    }
    nominal = _threshold_at(NOMINAL, result.healthy, bundle)
    n_healthy = len(case.healthy)
    rates = {
        gain_db: float(
            np.mean(
                [h.with_gain(gain_db, network).score(bundle) > nominal for h in heard[:n_healthy]]
            )
        )
        for gain_db in GAINS_DB
    }
    alerts = [_alerts(path, bundle, network) for path in (*case.healthy, *case.faulty)]
    daily = _rethresholded(bundle, result.healthy, 7.0)
    return Verdict(
        case.group,
        case.machine,
        bundle.manifest.score.kind,
        {name: roc_auc(labels, values) for name, values in scores.items()},
        {name: partial_auc(labels, values) for name, values in scores.items()},
        rates,
        sum(alerts[:n_healthy]),
        sum(h.seconds for h in heard[:n_healthy]) / 3600,
        sum(_alerts(path, daily, network) for path in case.healthy),
        float(np.mean([count > 0 for count in alerts[n_healthy:]])),
        train_s,
        _cost_ratio(case.healthy[0], bundle, network),
        bundle.manifest.score.reason,
    )


class _Heard:
    """One recording after the graph of a bundle."""

    def __init__(self, path: Path, bundle: Bundle, network: Network, gain_db: float = 0.0) -> None:
        recording = read_recording(path, bundle.spec)
        windows_db = recording.windows(bundle.spec) + np.float32(gain_db)
        output = network.run(windows_db)
        self._path, self._bundle = path, bundle
        self.evidence, self.loss = output.evidence, output.loss
        self.seconds = recording.seconds(bundle.spec)
        self.spectrum = spectrum_of(recording.frames_db)

    def with_gain(self, gain_db: float, network: Network) -> _Heard:
        return _Heard(self._path, self._bundle, network, gain_db) if gain_db else self

    def score(self, bundle: Bundle) -> float:
        whole = RecordingScore(bundle.spec, bundle.manifest.score.kind, bundle.head)
        for evidence, loss in zip(self.evidence, self.loss, strict=True):
            whole.push(evidence, float(loss))
        return whole.value


def spectrum_of(frames_db: FloatArray) -> npt.NDArray[np.float64]:
    """The mean log-mel without its level. Shape: ``(n_frames, n_mels)`` to ``(n_mels,)``."""
    mean = frames_db.mean(axis=0, dtype=np.float64)
    return np.asarray(mean - mean.mean())


def _without_network(
    case: Case, bundle: Bundle, spectra: Sequence[npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """Mahalanobis distance of the mean spectrum, references centred on themselves."""

    def rows(paths: Sequence[Path]) -> npt.NDArray[np.float64]:
        return np.stack([spectrum_of(r.frames_db) for r in read_machine(paths, bundle.spec)])

    own = rows(case.train)
    centre = own.mean(axis=0)
    machines = [own, *(rows([reference]) for reference in case.references)]
    centred = np.concatenate([machine - machine.mean(axis=0) for machine in machines])
    precision = LedoitWolf(assume_centered=True).fit(centred).precision_
    offsets = np.stack(spectra) - centre
    return np.asarray(np.einsum("nd,de,ne->n", offsets, precision, offsets))


def _threshold_at(share: float, healthy: Sequence[HealthyRecording], bundle: Bundle) -> float:
    """The threshold for whole recordings that this share of healthy ones should pass."""
    seconds = float(np.mean([recording.seconds for recording in healthy]))
    return _rethresholded(bundle, healthy, share * WEEK_S / seconds).calibration.recording_threshold


def _rethresholded(bundle: Bundle, healthy: Sequence[HealthyRecording], budget: float) -> Bundle:
    """The bundle as it would be with another budget of false alarms a week."""
    settings, spec = DetectorSettings(), bundle.spec
    rule = Persistence.lasting(
        settings.min_fault_s, settings.persistence_share, bundle.span_s, spec.window_hop_s
    )
    calibration = calibrate(
        healthy,
        false_alarms_per_week=budget,
        persistence=rule,
        hop_s=spec.window_hop_s,
        span_s=bundle.span_s,
    )
    manifest = bundle.manifest.model_copy(update={"calibration": calibration})
    return Bundle(
        bundle.path, manifest, spec, bundle.head, bundle.selftest, bundle.model, bundle.sha256
    )


def _alerts(path: Path, bundle: Bundle, network: Network) -> int:
    sinks = ReplaySinks(lambda _name, _score: None, lambda _name, _alert: None)
    summary = replay_recording(
        path, bundle, network, DetectorSettings(), sinks, machine="m", start_unix_s=0.0
    )
    return summary.alerts


def _cost_ratio(path: Path, bundle: Bundle, network: Network) -> float:
    """Processor time of replaying with the bundle's score over that with the plain error."""
    score = bundle.manifest.score.model_copy(update={"kind": "plain"})
    plain = Bundle(
        bundle.path,
        bundle.manifest.model_copy(update={"score": score}),
        bundle.spec,
        bundle.head,
        bundle.selftest,
        bundle.model,
        bundle.sha256,
    )

    def cost(chosen: Bundle) -> float:
        started = time.process_time()
        _alerts(path, chosen, network)
        return time.process_time() - started

    return float(np.median([cost(bundle) / cost(plain) for _ in range(5)]))
