"""A torch module to ``model.onnx``, compared with torch before it is used."""

from __future__ import annotations

import logging

import numpy as np
import onnxruntime
import torch

from monitor.domain import FloatArray
from monitor.errors import AuscultError
from training.sound.evidence_graph import EvidenceGraph, WindowEvidence
from training.sound.onnx_graph import onnx_graph

logger = logging.getLogger(__name__)

PARITY = 1e-5
_ROUNDING = 0.1
OUTPUTS = WindowEvidence._fields


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


def _require_parity(model: bytes, graph: EvidenceGraph, windows: torch.Tensor) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = [output.numpy() for output in graph(windows)]
    together = session.run(list(OUTPUTS), {"windows": windows.numpy()})
    singly = [session.run(list(OUTPUTS), {"windows": w[None]}) for w in windows.numpy()]
    rounding = float(windows.abs().max()) * _ROUNDING / float(graph.network.deviation_db)
    for index, name in enumerate(OUTPUTS):
        scale = max(1.0, float(np.abs(expected[index]).max()), rounding)
        if name == "band_residual":
            scale = max(scale, rounding / float(graph.residual_deviation.min()))
        alone = np.concatenate([row[index] for row in singly])
        for actual in (together[index], alone):
            worst = float(np.abs(actual - expected[index]).max()) / scale
            if not worst <= PARITY:
                raise AuscultError(
                    f"the exported graph's {name} differs from torch's by {worst:.1e}, "
                    f"more than {PARITY:.0e}: install other versions of torch or ONNX Runtime"
                )
    logger.debug("exported graph agrees with torch on %d windows", len(windows))
