"""A bundle's graph in ONNX Runtime: log-mel windows to loss and evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import onnxruntime

from monitor.domain import FloatArray
from monitor.errors import BundleError
from monitor.model.bundle import Bundle

_OUTPUTS = ("loss", "evidence", "band_residual", "level_db")


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """The output of the graph for ``n`` windows.

    ``loss``: float32 ``(n,)``, mean squared reconstruction error, standardised.
    ``evidence``: float32 ``(n, d)``. ``band_residual``: float32 ``(n, n_mels)``, the
    signed residual in healthy standard deviations. ``level_db``: float32 ``(n,)``.
    """

    loss: FloatArray
    evidence: FloatArray
    band_residual: FloatArray
    level_db: FloatArray


class Network:
    """One inference session.

    ``threads``: the threads of ONNX Runtime; with 1, many machines share a node fairly. Windows
    are run one by one, because some kernels round differently for other batch sizes and live
    sound arrives in other batches than a recording.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False
        # Spinning threads keep a core busy while they wait for the next window.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.model,
                sess_options=options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # a fallback prints to standard output and tries the same again
            )
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            reason = (str(error) or repr(error)).splitlines()[0][:200]
            raise BundleError(f"{bundle.path}/model.onnx: cannot be loaded ({reason})") from error
        self._check(bundle)

    def run(self, windows_db: FloatArray | Sequence[FloatArray]) -> NetworkOutput:
        """Shape: ``n`` times ``(n_mels, n_frames)`` float32 in dB to arrays of ``n`` rows."""
        rows = [
            self._session.run(list(_OUTPUTS), {"windows": window[np.newaxis, np.newaxis]})
            for window in windows_db
        ]
        if len(rows) == 1:
            return NetworkOutput(*rows[0])
        return NetworkOutput(*(np.concatenate(arrays) for arrays in zip(*rows, strict=True)))

    def reconstruct(self, window_db: FloatArray) -> FloatArray:
        """The reconstruction in dB of one window. Shape: ``(n_mels, n_frames)`` to the same."""
        (reconstruction,) = self._session.run(
            ["reconstruction"], {"windows": window_db[np.newaxis, np.newaxis]}
        )
        return cast("FloatArray", reconstruction[0])

    def _check(self, bundle: Bundle) -> None:
        """Compare the signature of the graph with the manifest and the head."""
        where = f"{bundle.path}/model.onnx"
        spec = bundle.spec
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else None
        if not shape or inputs[0].name != "windows" or shape[1:] != _window_shape(bundle):
            raise BundleError(
                f"{where}: takes {shape}, the features make "
                f"(batch, 1, {spec.n_mels}, {spec.window_frames})"
            )
        shapes: dict[str, Any] = {
            output.name: output.shape for output in self._session.get_outputs()
        }
        missing = [name for name in (*_OUTPUTS, "reconstruction") if name not in shapes]
        if missing:
            raise BundleError(f"{where}: has no output {missing[0]!r}")
        wanted = bundle.head.centres.shape[1]
        if wanted and shapes["evidence"][1:] != [wanted]:
            raise BundleError(
                f"{where}: evidence {shapes['evidence']} does not fit head.npz of {wanted} numbers"
            )


def _window_shape(bundle: Bundle) -> list[int]:
    return [1, bundle.spec.n_mels, bundle.spec.window_frames]
