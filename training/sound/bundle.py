"""A trained sound model to a bundle's folder, and back to continue its training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from monitor.domain import FloatArray
from monitor.errors import BundleError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import MANIFEST, Bundle, SelfTest, save_bundle
from monitor.model.capture import Capture
from monitor.model.hash_check import read_verified
from monitor.model.head import Head
from monitor.model.manifest import Calibration, ScoreChoice
from monitor.model.operation import Operation
from monitor.model.peak_evidence import PeakEvidence
from training.run_folder import versions
from training.sound.controls import Control
from training.sound.evidence_graph import EvidenceGraph
from training.sound.module_network import MODULE
from training.sound.network import SoundAutoencoder
from training.sound.network_kinds import described_network, description_of
from training.sound.onnx_export import export_onnx
from training.sound.request import AudioRequest, TrainingData
from training.sound.score_choice import Choice

WEIGHTS = "weights.safetensors"
_VERSIONS_OF = ("torch", "numpy", "onnxruntime", "onnx")


@dataclass(frozen=True, slots=True)
class SoundModel:
    """Everything that computes a score, and its calibration."""

    graph: EvidenceGraph
    spec: LogMelSpec
    span_s: float
    choice: Choice
    head: Head
    calibration: Calibration
    capture: Capture | None = None
    operation: Operation | None = None
    peaks: PeakEvidence | None = None


def write_bundle(
    path: Path,
    model: SoundModel,
    sample_db: FloatArray,
    samples: FloatArray,
    provenance: Mapping[str, Any],
) -> Bundle:
    """Export, check and save. ``sample_db``: ``(n, n_mels, n_frames)``, one span of windows.

    ``samples``: of these windows, ``(n, n_samples)``, for an encoder of samples; otherwise empty.

    The bundle contains no time of its making: the same recordings, seed and versions give the
    same numbers.
    """
    graph = model.graph.cpu().eval()
    return save_bundle(
        path,
        spec=model.spec,
        span_s=model.span_s,
        score=ScoreChoice(kind=model.choice.kind, reason=model.choice.reason),
        calibration=model.calibration,
        capture=model.capture,
        operation=model.operation,
        model=export_onnx(graph, sample_db),
        head=model.head,
        peaks=model.peaks,
        encoder=(graph.encoding.spec, graph.encoding.file.content) if graph.encoding else None,
        selftest=_selftest(graph, sample_db, samples, model),
        network={
            **description_of(graph.network),
            "parameters": sum(p.numel() for p in _weights(graph.network).values()),
        },
        provenance={**provenance, "versions": versions(*_VERSIONS_OF)},
        extra_files={WEIGHTS: save(_weights(graph.network))},
    )


def network_of(bundle: Bundle, imported: str | None = None) -> SoundAutoencoder:
    """The network of a bundle. Raises ``BundleError`` if the bundle does not contain it.

    ``imported``: where the code of a network from outside is, see ``described_network``.
    """
    shape = {k: v for k, v in bundle.manifest.network.items() if k != "parameters"}
    made, spec = (shape.get("n_mels"), shape.get("n_frames")), bundle.spec
    if made != (spec.n_mels, spec.window_frames):
        raise BundleError(
            f"{bundle.path / MANIFEST}: network: n_mels and n_frames are {made}, the features make "
            f"{(spec.n_mels, spec.window_frames)}"
        )
    weights = _stored_weights(bundle)
    try:
        if shape.get("kind") != MODULE:
            # First without memory: a wrong description could need more than there is.
            with torch.device("meta"):
                described_network(shape, imported).load_state_dict(weights, assign=True)
        network = described_network(shape, imported)
        network.load_state_dict(weights)
    except BundleError as error:
        raise BundleError(f"{bundle.path / MANIFEST}: {error}") from error
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise BundleError(
            f"{bundle.path / WEIGHTS}: does not match the network in bundle.json ({reason})"
        ) from error
    return network


def _stored_weights(bundle: Bundle) -> dict[str, torch.Tensor]:
    """The tensors of ``weights.safetensors``. Raises ``BundleError``."""
    path = bundle.path / WEIGHTS
    if WEIGHTS not in bundle.manifest.files:
        raise BundleError(f"{bundle.path}: has no {WEIGHTS}, so its training cannot be continued")
    try:
        weights = load(read_verified(path, bundle.manifest.files[WEIGHTS], MANIFEST))
    except SafetensorError as error:
        raise BundleError(f"{path}: not a file of weights ({error})") from error
    if not all(tensor.isfinite().all() for tensor in weights.values()):
        raise BundleError(f"{path}: the weights must be finite numbers")
    return weights


def reconstruct_db(graph: EvidenceGraph, windows_db: FloatArray) -> FloatArray:
    """The reconstruction of windows. Shape: ``(n, n_mels, n_frames)`` in dB, both."""
    with torch.no_grad():
        output = graph(torch.from_numpy(np.ascontiguousarray(windows_db[:, None])))
    reconstruction: FloatArray = output.reconstruction.numpy()
    return reconstruction


def _weights(network: SoundAutoencoder) -> dict[str, torch.Tensor]:
    """The tensors of the bundle: all but the machine head, which only training uses."""
    return {
        name: tensor.detach().cpu().contiguous().clone()  # safetensors refuses shared memory
        for name, tensor in network.state_dict().items()
        if not name.startswith("machine_head")
    }


def _selftest(
    graph: EvidenceGraph, windows_db: FloatArray, samples: FloatArray, model: SoundModel
) -> SelfTest:
    with torch.no_grad():
        output = graph(torch.from_numpy(windows_db[:, None]))
    loss, evidence = output.loss.numpy(), output.evidence.numpy()
    if graph.encoding is not None:
        levels_db = output.level_db.numpy()
        evidence = graph.encoding.evidence(evidence, windows_db, levels_db, samples)
    score = model.head.score(evidence.mean(axis=0, dtype=np.float64), float(loss.mean()))
    return SelfTest(windows_db, loss, evidence, score, samples)


def provenance_of(
    request: AudioRequest,
    data: TrainingData,
    choice: Choice,
    n_regimes: int,
    held_out_ratios: Sequence[float | None],
) -> dict[str, Any]:
    """What the manifest states about the recordings and the settings of a training.

    ``held_out_ratios``: of each recording, see :mod:`training.sound.held_out`.
    """
    spec = data.spec
    return {
        "recordings": [
            {
                "name": r.name,
                "seconds": round(r.seconds(spec), 2),
                "held_out_ratio": None if ratio is None else round(ratio, 3),
            }
            for r, ratio in zip(data.recordings, held_out_ratios, strict=True)
        ],
        "references": [
            {
                "name": reference.name,
                "recordings": len(machine),
                "seconds": round(sum(r.seconds(spec) for r in machine), 2),
            }
            for reference, machine in zip(request.reference_machines, data.references, strict=True)
        ],
        "continued": data.continued.sha256 if data.continued else None,
        "seed": request.seed,
        "training": request.settings.training.model_dump(mode="json"),
        "shrinkage": choice.shrinkage,
        "references_used": choice.use_references,
        "regimes": n_regimes,
        "score_details": choice.details,
    }


def controls_record(controls: Sequence[Control], benefit: str) -> dict[str, Any]:
    """What the manifest states about the comparison of scores."""
    return {
        "verdict": benefit,
        "controls": [
            {
                "name": control.name,
                "score": control.kind,
                "auc": {name: round(auc, 4) for name, auc in control.auc.items()},
            }
            for control in controls
        ],
    }
