"""Encoders: an ONNX model from outside that gives a vector for each window.

A model from outside may do anything: give NaN, give another shape, or never end. So it is loaded
and called for the first time with a time limit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import onnxruntime

from monitor.domain import FloatArray
from monitor.errors import BundleError, FormatFault, SourceFault
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.encoder_spec import MOST_NUMBERS, EncoderSpec
from monitor.model.session import first_line, inference_session

LIMIT_S = 10.0
"""For loading an encoder, and for its first window. Usual encoders need milliseconds."""
_ENDS_S = 1.0

ResultT = TypeVar("ResultT")


class EncoderModel:
    """A loaded model. ``where``: its file, for messages. ``axes``: of its input, None if free."""

    def __init__(self, content: bytes, where: str, threads: int = 1) -> None:
        """Raises ``BundleError`` for a model that cannot be loaded in ``LIMIT_S``."""
        self.where = where
        self._session = _within(
            lambda _: inference_session(content, where, threads), f"{where}: is not loaded"
        )
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)":
            kinds = ", ".join(f"{one.name}: {one.type}" for one in inputs)
            raise BundleError(
                f"{where}: takes {kinds or 'nothing'}; an encoder must take one input of "
                "float32 numbers"
            )
        self.axes = tuple(n if isinstance(n, int) and n > 0 else None for n in inputs[0].shape)
        self._input, self._output = inputs[0].name, outputs[0].name

    def first(self, values: FloatArray) -> FloatArray:
        """As :meth:`run`, for the first window. Raises ``BundleError``, also after ``LIMIT_S``."""
        try:
            return _within(
                lambda options: self.run(values, options),
                f"{self.where}: the encoder has no result for a window",
            )
        except SourceFault as error:
            raise BundleError(str(error)) from error

    def run(self, values: FloatArray, options: onnxruntime.RunOptions | None = None) -> FloatArray:
        """The vector of one window, ``(n_numbers,)``.

        Raises ``BundleError`` for a result that is not one vector, and ``SourceFault`` for NaN and
        infinite numbers.
        """
        try:
            (found,) = self._session.run([self._output], {self._input: values}, options)
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            raise BundleError(f"{self.where}: cannot be run ({first_line(error)})") from error
        is_numbers = isinstance(found, np.ndarray) and found.dtype.kind == "f"
        if not is_numbers or found.size != max(found.shape, default=0):
            shape = f"the shape {found.shape}" if is_numbers else "something other than numbers"
            raise BundleError(
                f"{self.where}: gives {shape} for a window; an encoder must give one vector, "
                "(1, n_numbers)"
            )
        if not 1 <= found.size <= MOST_NUMBERS:
            raise BundleError(
                f"{self.where}: gives {found.size} numbers for a window; 1 to {MOST_NUMBERS} are "
                "possible"
            )
        vector: FloatArray = found.reshape(-1).astype(np.float32)
        if not np.isfinite(vector).all():
            raise SourceFault(f"{self.where}: the encoder gives NaN or infinite numbers")
        return vector


class Encoder:
    """The vectors of windows. One window is run at a time, so a batch never changes a bit."""

    def __init__(self, model: EncoderModel, spec: EncoderSpec, features: LogMelSpec) -> None:
        """Raises ``BundleError`` for an input that these features do not give."""
        if problem := spec.problem(features):
            raise BundleError(f"{model.where}: {problem}")
        self.spec = spec
        self._model = model

    def check(self, window_db: FloatArray, level_db: float, samples: FloatArray | None) -> None:
        """Call it for one window. Raises ``BundleError`` for what cannot be used."""
        vector = self._model.first(self.input_of(window_db, level_db, samples))
        self._require_length(vector)

    def vectors(
        self,
        windows_db: Sequence[FloatArray] | FloatArray,
        levels_db: FloatArray,
        samples: Sequence[FloatArray | None] | FloatArray,
    ) -> FloatArray:
        """Shape: ``n`` windows ``(n_mels, n_frames)`` and levels ``(n,)`` to ``(n, n_numbers)``.

        ``samples``: ``n`` times ``(n_samples,)``, needed for an encoder of samples only. Raises
        ``SourceFault`` if they are missing, or for NaN and infinite numbers.
        """
        found = np.empty((len(windows_db), self.spec.n_numbers), dtype=np.float32)
        for index, window_db in enumerate(windows_db):
            own = samples[index] if len(samples) else None
            vector = self._model.run(self.input_of(window_db, float(levels_db[index]), own))
            self._require_length(vector)
            found[index] = vector
        return found

    def input_of(
        self, window_db: FloatArray, level_db: float, samples: FloatArray | None
    ) -> FloatArray:
        """What the model receives for a window."""
        spec = self.spec
        change_db = spec.level_db - level_db
        if spec.input == "log-mel":
            values = window_db + np.float32(change_db)
            return np.ascontiguousarray(values.T if spec.transposed else values).reshape(spec.shape)
        if samples is None:
            raise FormatFault("the encoder of the bundle needs sound, log-mel is not enough")
        gain = np.float32(10.0 ** (change_db / 20.0))
        return np.ascontiguousarray(samples[-spec.size :] * gain).reshape(spec.shape)

    def _require_length(self, vector: FloatArray) -> None:
        if len(vector) != self.spec.n_numbers:
            raise BundleError(
                f"{self._model.where}: gives {len(vector)} numbers for a window, the bundle has "
                f"statistics of {self.spec.n_numbers}"
            )


def _within(work: Callable[[onnxruntime.RunOptions], ResultT], problem: str) -> ResultT:
    """The result of ``work``, which takes at most ``LIMIT_S``. Raises ``BundleError`` after that.

    The work is then ended between two operators. A single operator that runs on does so in a
    thread that nothing waits for.
    """
    options = onnxruntime.RunOptions()
    options.log_severity_level = 4  # it would print that it was ended
    results: list[ResultT] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(work(options))
        except Exception as error:  # noqa: BLE001 - raised again below, in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, name="encoder", daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    if thread.is_alive():
        options.terminate = True
        thread.join(_ENDS_S)
        raise BundleError(f"{problem} after {LIMIT_S:g} s: use a faster encoder")
    if errors:
        raise errors[0]
    return results[0]
