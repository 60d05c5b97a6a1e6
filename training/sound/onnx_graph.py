"""The operators of ``model.onnx``, written one by one.

``torch.onnx.export`` gives the same scores, but it takes longer than the training of a small
network, because it traces the module several times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from training.layers import CutToSize
from training.sound.evidence_graph import LEAST_POWER, EvidenceGraph
from training.sound.network import SoundAutoencoder

INPUT = "windows"
_OPSET = 20
"""The first with ``Gelu``."""
_IR_VERSION = 9
_Array = npt.NDArray[np.floating[Any]]
_END = np.iinfo(np.int64).max


def onnx_graph(graph: EvidenceGraph) -> onnx.ModelProto:
    """The computation of ``graph`` in evaluation, with a free batch size.

    Its outputs have the names of ``WindowEvidence``. Raises ``TypeError`` for an unknown layer.
    """
    network, spec = graph.network, graph.network.spec
    n_bands = graph.layout.n_bands
    out = _Graph()
    level_db = out.op(
        "ReduceMean", out.cut(INPUT, 2, 0, n_bands), [1, 2, 3], keepdims=0, to="level_db"
    )
    level_free = out.op("Sub", INPUT, out.op("Unsqueeze", level_db, [1, 2, 3]))
    band_mean_db = out.constant(network.band_mean_db[:, None])
    deviation_db = out.constant(network.deviation_db)
    centred = out.op("Sub", level_free, band_mean_db)
    standardised = _only_scored(out, out.op("Div", centred, deviation_db), network)

    latent = out.layers(standardised, [*network.encoder, network.squeeze])
    decoded = out.layers(latent, [network.expand, *network.decoder])
    reconstructed = out.op("Squeeze", _only_scored(out, decoded, network), [1])

    scored = out.cut(out.op("Squeeze", standardised, [1]), 1, 0, n_bands)
    residual = out.op("Sub", scored, out.cut(reconstructed, 1, 0, n_bands))
    mean_residual = out.op("ReduceMean", residual, [2], keepdims=0)
    mean_scored = out.op("ReduceMean", scored, [2], keepdims=0)
    parts = (mean_residual, mean_scored, _flutter(out, residual, graph))
    out.op("Concat", *parts, axis=1, to="evidence")
    out.op("ReduceMean", out.op("Mul", residual, residual), [1, 2], keepdims=0, to="loss")
    shifted = out.op("Sub", mean_residual, out.constant(graph.residual_mean))
    n_unscored = spec.n_mels - n_bands
    band_residual = out.op("Div", shifted, out.constant(graph.residual_deviation))
    out.op("Pad", band_residual, [0, 0, 0, n_unscored], to="band_residual")
    with_means = out.op("Add", out.op("Mul", reconstructed, deviation_db), band_mean_db)
    out.op("Add", with_means, out.op("Unsqueeze", level_db, [1, 2]), to="reconstruction")

    sizes = {
        "loss": (),
        "evidence": (graph.layout.length,),
        "band_residual": (spec.n_mels,),
        "level_db": (),
        "reconstruction": (spec.n_mels, spec.n_frames),
    }
    return out.model((1, spec.n_mels, spec.n_frames), sizes)


def _only_scored(out: _Graph, values: str, network: SoundAutoencoder) -> str:
    spec = network.spec
    if spec.scored_bands is None:
        return values
    unscored = [0, 0, 0, 0, 0, 0, spec.n_mels - spec.n_scored, 0]
    return out.op("Pad", out.cut(values, 2, 0, spec.n_scored), unscored)


def _flutter(out: _Graph, values: str, graph: EvidenceGraph) -> str:
    grouped = out.op("MatMul", out.constant(graph.grouping), values)
    middle = out.op("Mul", out.cut(grouped, 2, 1, -1), np.float32(2.0))
    outer = out.op("Sub", out.cut(grouped, 2, 2, _END), middle)
    second_differences = out.op("Add", outer, out.cut(grouped, 2, 0, -2))
    squared = out.op("Mul", second_differences, second_differences)
    power = out.op("Add", out.op("ReduceMean", squared, [2], keepdims=0), np.float32(LEAST_POWER))
    return out.op("Mul", out.op("Log", power), np.float32(0.5))


class _Graph:
    """Nodes and constants under construction."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def op(
        self, kind: str, *inputs: str | list[int] | np.float32, to: str = "", **attributes: Any
    ) -> str:
        """Add an operator; the name of its output, which is ``to`` if that is given."""
        names = [value if isinstance(value, str) else self._number(value) for value in inputs]
        to = to or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, names, [to], **attributes))
        return to

    def constant(self, values: Tensor | _Array) -> str:
        """Add an array of 32-bit numbers; its name."""
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        name = f"constant_{len(self._constants)}"
        array = np.ascontiguousarray(array, dtype=np.float32).reshape(array.shape)
        self._constants[name] = numpy_helper.from_array(array, name)
        return name

    def cut(self, values: str, axis: int, first: int, end: int) -> str:
        """A part of one axis."""
        return self.op("Slice", values, [first], [end], [axis])

    def layers(self, values: str, modules: Iterable[nn.Module]) -> str:
        """One layer after the other. Batch normalisation becomes part of its convolution."""
        found = list(modules)
        for module, following in zip(found, [*found[1:], None], strict=True):
            values = self.layer(values, module, following)
        return values

    def layer(self, values: str, module: nn.Module, following: nn.Module | None) -> str:
        """One layer in evaluation. Raises ``TypeError`` for one that is not known."""
        match module:
            case nn.Conv2d() | nn.ConvTranspose2d():
                return self._convolution(values, module, following)
            case nn.BatchNorm2d():  # in the weights of the convolution before it
                return values
            case nn.GELU(approximate="none"):
                return self.op("Gelu", values)
            case nn.Upsample(mode="nearest", scale_factor=factor):
                scales = self.constant(np.array([1.0, 1.0, factor, factor], dtype=np.float32))
                return self.op(
                    "Resize",
                    *(values, "", scales),
                    mode="nearest",
                    nearest_mode="floor",
                    coordinate_transformation_mode="asymmetric",
                )
            case nn.PixelShuffle(upscale_factor=factor):
                return self.op("DepthToSpace", values, blocksize=factor, mode="CRD")
            case CutToSize(size=(height, width)):
                return self.op("Slice", values, [0, 0], [height, width], [2, 3])
        raise TypeError(f"{type(module).__name__} has no operators here")

    def _convolution(
        self, values: str, module: nn.Conv2d | nn.ConvTranspose2d, following: nn.Module | None
    ) -> str:
        weight = module.weight.detach().double().numpy()
        n_out_axis = 1 if isinstance(module, nn.ConvTranspose2d) else 0
        bias = np.zeros(weight.shape[n_out_axis])
        if module.bias is not None:
            bias = module.bias.detach().double().numpy()
        if isinstance(following, nn.BatchNorm2d):
            gain, offset = _normalisation(following)
            weight = weight * np.expand_dims(
                gain, [axis for axis in range(4) if axis != n_out_axis]
            )
            bias = bias * gain + offset
        return self.op(
            "Conv" if isinstance(module, nn.Conv2d) else "ConvTranspose",
            *(values, self.constant(weight), self.constant(bias)),
            kernel_shape=list(module.kernel_size),
            strides=list(module.stride),
            pads=[int(n) for n in module.padding] * 2,
        )

    def model(self, size: Sequence[int], outputs: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
        """The whole model, for windows of ``size`` and with these outputs."""
        return helper.make_model(
            helper.make_graph(
                self._nodes,
                "evidence",
                [_value(INPUT, size)],
                [_value(name, of) for name, of in outputs.items()],
                list(self._constants.values()),
            ),
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="auscult",
        )

    def _number(self, value: list[int] | np.float32) -> str:
        array = np.array(value, dtype=np.int64 if isinstance(value, list) else np.float32)
        name = f"number_{'_'.join(str(n) for n in array.ravel())}_{array.dtype.kind}{array.ndim}"
        self._constants.setdefault(name, numpy_helper.from_array(array, name))
        return name


def _normalisation(layer: nn.BatchNorm2d) -> tuple[_Array, _Array]:
    """Gain and offset of each channel, by the running mean and variance."""
    parts = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    weight, bias, mean, variance = (
        part.detach().double().numpy() for part in parts if part is not None
    )
    gain = weight / np.sqrt(variance + layer.eps)
    return gain, bias - mean * gain


def _value(name: str, size: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *size])
