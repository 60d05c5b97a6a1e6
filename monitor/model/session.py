"""Inference sessions of ONNX Runtime."""

from __future__ import annotations

import onnxruntime

from monitor.errors import BundleError


def inference_session(model: bytes, where: str, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session for a model. ``where``: the file, for messages. Raises ``BundleError``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    # Spinning threads keep a core busy while they wait for the next window.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            model,
            sess_options=options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # a fallback prints to standard output and tries the same again
        )
    except Exception as error:  # ONNX Runtime's exceptions share no other base
        raise BundleError(f"{where}: cannot be loaded ({first_line(error)})") from error


def first_line(error: Exception) -> str:
    """The beginning of an exception of ONNX Runtime."""
    return (str(error) or repr(error)).splitlines()[0][:200]
