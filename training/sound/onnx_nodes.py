"""The nodes and constants of an ONNX graph that is made operator by operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

INPUT = "windows"
OPSET = 20
"""The first with ``Gelu``."""
_IR_VERSION = 9
_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)

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

    def include(self, graph: onnx.GraphProto, values: str) -> str:
        """Add the operators of another graph, with ``values`` as its input; its first output.

        Names are made unique, and what the graph states about its source is left out.
        """
        prefix = f"included_{len(self._nodes)}_"
        names = {"": "", graph.input[0].name: values}

        def name_of(name: str) -> str:
            return names.setdefault(name, prefix + name)

        for constant in graph.initializer:
            included = onnx.TensorProto()
            included.CopyFrom(constant)
            included.name = name_of(constant.name)
            del included.metadata_props[:]
            self._constants[included.name] = included
        for node in graph.node:
            self._nodes.append(_renamed(node, name_of))
        return name_of(graph.output[0].name)

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
            opset_imports=[helper.make_opsetid("", OPSET)],
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


def _renamed(node: onnx.NodeProto, name_of: Callable[[str], str]) -> onnx.NodeProto:
    """A copy with other names of values, also in the graphs of its branches and loops."""
    renamed = onnx.NodeProto()
    renamed.CopyFrom(node)
    renamed.ClearField("name")
    renamed.ClearField("doc_string")
    del renamed.metadata_props[:]
    renamed.input[:] = map(name_of, node.input)
    renamed.output[:] = map(name_of, node.output)
    for attribute in renamed.attribute:
        for graph in (attribute.g, *attribute.graphs) if attribute.type in _GRAPHS else ():
            nodes = [_renamed(one, name_of) for one in graph.node]
            del graph.node[:], graph.value_info[:]
            graph.node.extend(nodes)
            for value in (*graph.input, *graph.output, *graph.initializer):
                value.name = name_of(value.name)
    return renamed


def _value(name: str, size: Sequence[int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *size])
