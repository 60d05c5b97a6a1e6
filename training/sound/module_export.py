"""A torch module from outside to the operators of an ONNX graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch
from torch import nn

from monitor.errors import UsageError
from training.sound.network_import import in_one_line
from training.sound.onnx_nodes import OPSET


def module_graph(module: nn.Module, size: tuple[int, int], name: str) -> onnx.GraphProto:
    """The operators of a module in evaluation, for any number of windows.

    ``size``: ``(n_bands, n_frames)``. ``name``: of the network. Raises ``UsageError`` for a
    module that cannot be exported.
    """
    windows = torch.zeros(2, 1, *size)
    shapes = ({0: torch.export.Dim("batch")},)
    try:
        import onnxscript  # noqa: F401, PLC0415 - torch's exporter needs it, and nothing else does

        with _quietly():
            program = torch.onnx.export(
                module.cpu().eval(),
                (windows,),
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=shapes,
                verbose=False,
            )
    except ImportError as error:
        raise UsageError(
            f"--network {name}: its export needs the package onnxscript: pip install "
            "'auscult[train]'"
        ) from error
    except Exception as error:
        raise UsageError(
            f"--network {name}: cannot be exported to ONNX for any number of windows: "
            f"{in_one_line(error)}"
        ) from error
    model: onnx.ModelProto = program.model_proto  # type: ignore[union-attr]  # None only without dynamo
    if model.functions:
        raise UsageError(f"--network {name}: its export has functions, which are not supported")
    return model.graph


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter warns and logs about its own parts."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
