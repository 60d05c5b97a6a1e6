"""Small ONNX encoders, made without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

N_NUMBERS = 6


def write_model(
    path: Path,
    nodes: Sequence[NodeProto],
    shape: Sequence[int | str],
    constants: Mapping[str, Any],
    *,
    kind: int = TensorProto.FLOAT,
) -> Path:
    """A model from ``x`` of a shape to ``y``."""
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


def of_log_mel(path: Path, n_mels: int, n_frames: int, *, n_numbers: int = N_NUMBERS) -> Path:
    """Some mixtures of the mean spectrum, from ``(batch, 1, n_mels, n_frames)``."""
    weights = np.random.default_rng(0).normal(0.0, 0.1, (n_mels, n_numbers)).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["y"]),
    ]
    constants = {"axes": np.array([1, 3], np.int64), "weights": weights}
    return write_model(path, nodes, ["batch", 1, n_mels, n_frames], constants)


def of_samples(path: Path, *, shape: Sequence[int | str] = ("batch", "samples")) -> Path:
    """The logarithm of the power in some frequency bands, from samples."""
    taps = np.arange(64)
    bands = [np.cos(2 * np.pi * taps * (0.5 + n) / 14.0) * np.hanning(64) for n in range(N_NUMBERS)]
    nodes = [
        helper.make_node("Reshape", ["x", "one"], ["channel"]),
        helper.make_node("Conv", ["channel", "bands"], ["filtered"], strides=[16]),
        helper.make_node("Mul", ["filtered", "filtered"], ["power"]),
        helper.make_node("ReduceMean", ["power", "axes"], ["mean"], keepdims=0),
        helper.make_node("Add", ["mean", "floor"], ["floored"]),
        helper.make_node("Log", ["floored"], ["y"]),
    ]
    constants = {
        "one": np.array([1, 1, -1], np.int64),
        "bands": np.array(bands, np.float32)[:, None],
        "axes": np.array([2], np.int64),
        "floor": np.array(1e-9, np.float32),
    }
    return write_model(path, nodes, shape, constants)


def endless(path: Path, n_mels: int, n_frames: int) -> Path:
    """A loop that would run for hours."""
    names = ["x", "x_next"]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["going_on"]),
            helper.make_node("Sin", [names[0]], [names[1]]),
        ],
        "body",
        [
            helper.make_tensor_value_info("number", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info(names[0], TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("going_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info(names[1], TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Identity", ["x"], ["begin"]),
        helper.make_node("Loop", ["times", "yes", "begin"], ["end"], body=body),
        helper.make_node("ReduceMean", ["end", "axes"], ["y"], keepdims=0),
    ]
    constants = {
        "times": np.array(10**12, np.int64),
        "yes": np.array(True),
        "axes": np.array([1, 3], np.int64),
    }
    return write_model(path, nodes, [1, 1, n_mels, n_frames], constants)
