"""A torch module to ``model.onnx``, compared with torch before it is used."""

from __future__ import annotations

import logging

import numpy as np
import onnxruntime
import torch

from monitor.domain import FloatArray
from monitor.errors import AuscultError
from training.sound.evidence_graph import EvidenceGraph, WindowEvidence
from training.sound.onnx_graph import OUTPUTS, onnx_graph
from training.sound.onnx_nodes import INPUT

logger = logging.getLogger(__name__)

PARITY = 1e-5
_ROUNDING = 0.1


def export_onnx(graph: EvidenceGraph, check_windows_db: FloatArray) -> bytes:
    """The graph as ONNX, with a free batch size.

    ``check_windows_db``: ``(n, n_mels, n_frames)``, on which ONNX Runtime and torch must
    agree to 1e-5 of the size of each output, one window at a time and all together. If the
    division by a deviation makes the rounding of the windows larger than that size, they must
    agree to 1e-5 of the rounding. Raises ``AuscultError`` if they differ.
    """
    graph = graph.cpu().eval()
    windows = torch.from_numpy(np.ascontiguousarray(check_windows_db[:, None]))
    model: bytes = onnx_graph(graph).SerializeToString(deterministic=True)
    _require_parity(model, graph, windows)
    return model


def outputs_of(
    session: onnxruntime.InferenceSession, windows_db: FloatArray, n_evidence: int
) -> WindowEvidence:
    """What a session of :func:`export_onnx` computes. Shape: ``(B, 1, n_mels, n_frames)``."""
    row, residual_db = session.run(list(OUTPUTS), {INPUT: windows_db})
    loss, level_db, bands, evidence = np.split(row, [1, 2, row.shape[1] - n_evidence], axis=1)
    reconstruction = windows_db[:, 0].copy()
    reconstruction[:, : residual_db.shape[2]] -= residual_db[:, 0]
    parts = (loss[:, 0], evidence, bands, level_db[:, 0], reconstruction)
    return WindowEvidence(*map(torch.from_numpy, parts))


def _require_parity(model: bytes, graph: EvidenceGraph, windows: torch.Tensor) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected: WindowEvidence = graph(windows)
    length = graph.layout.length
    together = outputs_of(session, windows.numpy(), length)
    singly = [outputs_of(session, window[None], length) for window in windows.numpy()]
    alone = WindowEvidence(*map(torch.cat, zip(*singly, strict=True)))
    rounding = float(windows.abs().max()) * _ROUNDING / float(graph.network.deviation_db)
    for index, name in enumerate(WindowEvidence._fields):
        scale = max(1.0, float(expected[index].abs().max()), rounding)
        if name == "band_residual":
            scale = max(scale, rounding / float(graph.residual_deviation.min()))
        for actual in (together[index], alone[index]):
            worst = float((actual - expected[index]).abs().max()) / scale
            if not worst <= PARITY:
                raise AuscultError(
                    f"the exported graph's {name} differs from torch's by {worst:.1e}, "
                    f"more than {PARITY:.0e}: install other versions of torch or ONNX Runtime"
                )
    logger.debug("exported graph agrees with torch on %d windows", len(windows))
