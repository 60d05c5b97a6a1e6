"""Small real bundles, made without torch: a constant reconstruction per band.

The graph removes the level of the window, reconstructs every frame as the mean healthy
spectrum, and gives the standardised residual of each band as evidence. It is the simplest
graph that detects a fault, and it has every output of a trained one.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from monitor.calibration.threshold import HealthyRecording, calibrate
from monitor.detection.detector import persistence_of
from monitor.detection.settings import DetectorSettings
from monitor.domain import FloatArray, LogMelWindow
from monitor.features.log_mel import log_mel_windows
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle, SelfTest, load_bundle, save_bundle, write_manifest
from monitor.model.head import DistanceHead, LossHead
from monitor.model.manifest import ScoreChoice, ScoreKind
from monitor.model.network import Network
from monitor.model.scorer import Scorer

SPEC = LogMelSpec()
SPAN_S = 4.0
_LONGEST_KEPT_S = 30.0
"""Longer sound is made each time: it would fill the memory."""


def machine_sound(seconds: float, *, seed: int = 0, fault: float = 0.0) -> FloatArray:
    """A hum with harmonics in noise at 16 kHz; ``fault`` is the amplitude of a tone at 3 kHz."""
    if seconds > _LONGEST_KEPT_S:
        return _machine_sound.__wrapped__(seconds, seed, fault)
    return _machine_sound(seconds, seed, fault).copy()


@lru_cache(maxsize=32)
def _machine_sound(seconds: float, seed: int, fault: float) -> FloatArray:
    rng = np.random.default_rng(seed)
    t_s = np.arange(int(seconds * SPEC.sample_rate_hz)) / SPEC.sample_rate_hz
    sound = rng.normal(0, 0.02, len(t_s))
    for harmonic in (1, 2, 3, 5):
        sound += 0.05 / harmonic * np.sin(2 * np.pi * 120 * harmonic * t_s + seed)
    return (sound + fault * np.sin(2 * np.pi * 3000 * t_s)).astype(np.float32)


def graph(mean_db: FloatArray, deviation_db: FloatArray, spec: LogMelSpec) -> bytes:
    """The ONNX graph. Shapes: ``(n_mels,)`` each, level-free."""
    constants = {
        "mean": mean_db.reshape(1, 1, -1, 1),
        "deviation": deviation_db.reshape(1, 1, -1, 1),
    }
    nodes = [
        helper.make_node("ReduceMean", ["windows"], ["level"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("ReduceMean", ["windows"], ["level_db"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Sub", ["windows", "level"], ["level_free"]),
        helper.make_node("Sub", ["mean", "level_free"], ["difference"]),
        helper.make_node("Div", ["difference", "deviation"], ["residual"]),
        helper.make_node("Mul", ["residual", "residual"], ["squared"]),
        helper.make_node("ReduceMean", ["squared"], ["loss"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("ReduceMean", ["residual"], ["evidence"], axes=[1, 3], keepdims=0),
        helper.make_node("Identity", ["evidence"], ["band_residual"]),
        helper.make_node("Add", ["difference", "windows"], ["filled"]),
        helper.make_node("ReduceMean", ["filled"], ["reconstruction"], axes=[1], keepdims=0),
    ]
    n, mels, frames = "batch", spec.n_mels, spec.window_frames
    outputs = {
        "loss": [n],
        "evidence": [n, mels],
        "band_residual": [n, mels],
        "level_db": [n],
        "reconstruction": [n, mels, frames],
    }
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "constant",
            [helper.make_tensor_value_info("windows", TensorProto.FLOAT, [n, 1, mels, frames])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in outputs.items()
            ],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def as_windows(values: FloatArray, spec: LogMelSpec) -> list[LogMelWindow]:
    hop, length = spec.window_hop_samples, spec.window_samples
    return [LogMelWindow(v, i * hop, i * hop + length) for i, v in enumerate(values)]


def make_bundle(
    path: Path,
    healthy: Sequence[FloatArray] | None = None,
    *,
    spec: LogMelSpec = SPEC,
    kind: ScoreKind = "diagonal",
    span_s: float = SPAN_S,
    false_alarms_per_week: float = 1.0,
) -> Bundle:
    """A bundle for ``healthy`` sound, by default eight recordings of :func:`machine_sound`."""
    if healthy is None:
        made = _made_before(spec, kind, span_s, false_alarms_per_week)
        shutil.copytree(made, path, dirs_exist_ok=True)
        return load_bundle(path)
    windows = [log_mel_windows(samples, spec) for samples in healthy]
    level_free = [w - w.mean(axis=(1, 2), keepdims=True) for w in windows]
    frames = np.concatenate([w.transpose(0, 2, 1).reshape(-1, spec.n_mels) for w in level_free])
    mean, deviation = frames.mean(axis=0), frames.std(axis=0) + np.float32(1e-3)
    evidence = [((mean[:, None] - w) / deviation[:, None]).mean(axis=2) for w in level_free]
    centre = np.concatenate(evidence).mean(axis=0)
    spread = np.concatenate(evidence).std(axis=0) + 1e-3
    plain = kind == "plain"
    head = (
        LossHead.for_evidence(spec.n_mels)
        if plain
        else DistanceHead(
            centre[None].astype(np.float32).astype(np.float64),
            np.diag(1 / spread).astype(np.float32).astype(np.float64),
        )
    )
    n_test = min(4, len(windows[0]))
    tested = (mean[:, None] - level_free[0][:n_test]) / deviation[:, None]
    loss = np.square(tested).mean(axis=(1, 2))
    score = head.score(tested.mean(axis=2).mean(axis=0), float(loss.mean()))
    selftest = SelfTest(windows[0][:n_test], loss, tested.mean(axis=2), score)
    bundle = save_bundle(
        path,
        spec=spec,
        span_s=span_s,
        score=ScoreChoice(kind=kind, reason="made for a test"),
        calibration=None,
        model=graph(mean, deviation, spec),
        head=head,
        selftest=selftest,
        network={"kind": "constant"},
        provenance={},
    )
    network = Network(bundle)
    scored = []
    for samples, values in zip(healthy, windows, strict=True):
        whole = bundle.recording_score()
        scorer = Scorer(bundle, network, whole)
        scores = scorer.push(as_windows(values, spec)) + scorer.flush()
        scored.append(
            HealthyRecording(
                np.array([s.value for s in scores]),
                np.array([s.level_db for s in scores]),
                len(samples) / spec.sample_rate_hz,
                whole.value,
                whole.stretches,
            )
        )
    calibration = calibrate(
        scored,
        false_alarms_per_week=false_alarms_per_week,
        persistence=persistence_of(bundle, DetectorSettings()),
        hop_s=spec.window_hop_s,
        span_s=bundle.actual_span_s,
        distances=True,
    )
    write_manifest(path, bundle.manifest.model_copy(update={"calibration": calibration}))
    return load_bundle(path)


@cache
def _made_before(spec: LogMelSpec, kind: ScoreKind, span_s: float, per_week: float) -> Path:
    """The bundle for the default sound, which each process makes once."""
    folder = tempfile.mkdtemp(prefix="auscult-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "bundle"
    healthy = [machine_sound(15.0, seed=seed) for seed in range(8)]
    make_bundle(path, healthy, spec=spec, kind=kind, span_s=span_s, false_alarms_per_week=per_week)
    return path
