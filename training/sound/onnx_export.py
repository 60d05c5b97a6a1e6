"""A torch module to ``model.onnx``, compared with torch before it is used."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import torch
from torch.export import Dim

from monitor.domain import FloatArray
from monitor.errors import AuscultError
from training.sound.evidence_graph import EvidenceGraph, WindowEvidence

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
    example = windows[: min(2, len(windows))].repeat(2 if len(windows) == 1 else 1, 1, 1, 1)
    with _quiet_exporter():
        program = torch.onnx.export(
            graph,
            (example,),
            dynamo=True,
            input_names=["windows"],
            output_names=list(OUTPUTS),
            dynamic_shapes={"windows": {0: Dim("batch")}},
            verbose=False,
        )
    if program is None:
        raise AuscultError("torch.onnx.export returned no program")
    proto = program.model_proto
    _remove_traces(proto)
    model: bytes = proto.SerializeToString()
    _require_parity(model, graph, windows)
    return model


def _remove_traces(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes of each node: names of files and lines of this computer.

    Without it the same training gives the same hash in every folder, and no bundle shows the
    folders of its user.
    """
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        for node in graph.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        value.ClearField("metadata_props")
    model.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")


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


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Suppress the exporter's progress and its warnings about itself and missing packages."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(disabled)
