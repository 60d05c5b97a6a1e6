"""The operators of ``model.onnx``, written one by one.

``torch.onnx.export`` gives the same scores, but it takes longer than the training of a small
network, because it traces the module several times. It also keeps every operator of the module. A
window is so small that an operator costs as much as its arithmetic, so this graph has as few of
them as possible (``docs/decisions/0015-lean-graph.md``):

- The graph computes in decibels. One multiplication and one addition at the end turn its numbers
  into standardised ones.
- All numbers of a window are one output, and the reconstruction is the window minus the residual.
- There is no product whose number of rows is the number of windows, and the numbers of a window
  are whole vectors of the processor where this changes the rounding. So the results do not depend
  on how many windows are computed together, for features of a usual size.
"""

from __future__ import annotations

import numpy as np
import onnx

from training.sound.evidence_graph import LEAST_POWER, EvidenceGraph
from training.sound.onnx_networks import reconstruction
from training.sound.onnx_nodes import INPUT, Array, GraphNodes, numbers_of

OUTPUTS = ("row", "residual_db")
_VECTOR = 16
"""Numbers that a processor computes at once. The logarithm of a rest is rounded otherwise."""


def onnx_graph(graph: EvidenceGraph) -> onnx.ModelProto:
    """The computation of ``graph`` in evaluation, with a free batch size.

    Its outputs are described in ``docs/bundles.md``.
    """
    network, layout = graph.network, graph.layout
    n_mels, n_frames = network.spec.n_mels, network.spec.n_frames
    n_bands = layout.n_bands
    out = GraphNodes()
    # Also without a band to cut off: the sums of a copy do not depend on where the input lies.
    windows = out.op("Slice", INPUT, [0], [n_bands], [2])
    level_db = out.op("ReduceMean", windows, [1, 2, 3])
    level_free = out.op("Sub", windows, level_db)

    expected = reconstruction(out, level_free, network)
    residual = out.op("Sub", level_free, expected, to="residual_db")

    mean_residual = out.op("ReduceMean", residual, [3])
    band_residual = mean_residual
    if n_bands < n_mels:
        band_residual = out.op("Pad", mean_residual, [0] * 6 + [n_mels - n_bands, 0])
    parts = (
        out.op("ReduceMean", out.op("Mul", residual, residual), [1, 2, 3]),
        level_db,
        band_residual,
        mean_residual,
        out.op("ReduceMean", level_free, [3]),
        _flutter(out, residual, graph),
    )
    joined = out.op("Concat", *parts, axis=2)
    scales, offsets = _standardisation(graph)
    scaled = out.op("Mul", joined, out.constant(scales[:, None]))
    length = len(scales)
    shifted = out.op("Add", scaled, out.constant(offsets[:, None]))
    out.op("Reshape", shifted, [-1, length], to="row")
    return out.model(
        (1, n_mels, n_frames), {"row": (length,), "residual_db": (1, n_bands, n_frames)}
    )


def _flutter(out: GraphNodes, residual: str, graph: EvidenceGraph) -> str:
    n_groups = graph.layout.n_groups
    unused = -n_groups % _VECTOR
    grouping = np.pad(numbers_of(graph.grouping), ((0, unused), (0, 0)))
    grouped = out.op("MatMul", out.constant(grouping), residual)
    n_frames, deviation_db = graph.network.spec.n_frames, numbers_of(graph.network.deviation_db)
    second_differences = np.zeros((n_frames, n_frames - 2))
    for weight, offset in ((1.0, 0), (-2.0, 1), (1.0, 2)):
        second_differences += weight * np.eye(n_frames, n_frames - 2, -offset)
    changes = out.op("MatMul", grouped, out.constant(second_differences / deviation_db))
    power = out.op("ReduceMean", out.op("Mul", changes, changes), [3])
    logarithm = out.op("Log", out.op("Add", power, out.constant(np.array(LEAST_POWER))))
    return out.op("Slice", logarithm, [0], [n_groups], [2]) if unused else logarithm


def _standardisation(graph: EvidenceGraph) -> tuple[Array, Array]:
    """What a row in decibels is multiplied with, and what is added then. Shape: ``(n,)``, both."""
    network, layout = graph.network, graph.layout
    n_bands, n_unscored = layout.n_bands, network.spec.n_mels - layout.n_bands
    deviation_db = float(network.deviation_db)
    means_db = numbers_of(network.band_mean_db)[:n_bands]
    expected, spread = numbers_of(graph.residual_mean), numbers_of(graph.residual_deviation)
    unscored, each = np.zeros(n_unscored), np.full(n_bands, 1.0 / deviation_db)
    scales = ([deviation_db**-2, 1.0], each / spread, unscored, each, each, [0.5] * layout.n_groups)
    offsets = (
        *([0.0, 0.0], -expected / spread, unscored),
        *(np.zeros(n_bands), -means_db / deviation_db, np.zeros(layout.n_groups)),
    )
    return np.concatenate(scales), np.concatenate(offsets)
