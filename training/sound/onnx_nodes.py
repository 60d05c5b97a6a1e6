"""The nodes and constants of an ONNX graph that is made operator by operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

INPUT = "windows"
_OPSET = 20
"""The first with ``Gelu``."""
_IR_VERSION = 9

Array = npt.NDArray[np.floating[Any]]
Normalisation = nn.BatchNorm1d | nn.BatchNorm2d


class GraphNodes:
    """The graph so far."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str | list[int], to: str = "", **attributes: Any) -> str:
        """Add an operator; the name of its output, which is ``to`` if that is given."""
        names = [value if isinstance(value, str) else self._number(value) for value in inputs]
        to = to or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, names, [to], **attributes))
        return to

    def convolution(
        self,
        values: str,
        kernel: Array,
        bias: Array,
        *,
        strides: Sequence[int] = (1, 1),
        padding: int = 0,
        kind: str = "Conv",
    ) -> str:
        """Add a convolution. Shape of ``kernel``: ``(n_out, n_in, height, width)``."""
        return self.op(
            kind,
            *(values, self.constant(kernel), self.constant(bias)),
            kernel_shape=list(kernel.shape[2:]),
            strides=list(strides),
            pads=[padding] * 4,
        )

    def constant(self, values: Array) -> str:
        """Add an array as 32-bit numbers; its name."""
        name = f"constant_{len(self._constants)}"
        array = np.ascontiguousarray(values, dtype=np.float32).reshape(values.shape)
        self._constants[name] = numpy_helper.from_array(array, name)
        return name

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

    def _number(self, value: list[int]) -> str:
        array = np.array(value, dtype=np.int64)
        name = f"numbers_{'_'.join(map(str, value))}"
        self._constants.setdefault(name, numpy_helper.from_array(array, name))
        return name


def numbers_of(values: Tensor | None) -> Array:
    """A tensor as 64-bit numbers. Raises ``ValueError`` without one."""
    if values is None:
        raise ValueError("a layer of the network has no such numbers")
    array: Array = values.detach().cpu().double().numpy()
    return array


def gain_and_offset(layer: Normalisation) -> tuple[Array, Array]:
    """Of each channel, by the running mean and variance."""
    gain = numbers_of(layer.weight) / np.sqrt(numbers_of(layer.running_var) + layer.eps)
    return gain, numbers_of(layer.bias) - numbers_of(layer.running_mean) * gain


def _value(name: str, size: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *size])
