"""A bundle's graph in ONNX Runtime: log-mel windows to loss and evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from monitor.domain import FloatArray
from monitor.errors import BundleError
from monitor.model.bundle import ENCODER, Bundle
from monitor.model.encoder import Encoder, EncoderModel
from monitor.model.session import inference_session

_INPUT = "windows"
_LEAN = ("row", "residual_db")
_NAMED = ("loss", "level_db", "band_residual", "evidence", "reconstruction")
"""The outputs of bundles of earlier versions and of other programs."""
_BATCHES: Final = (16, 4)
_TEST_NOISE_DB = 3.0
_LOSS, _LEVEL, _BANDS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """The output of the graph for ``n`` windows.

    ``rows``: float32 ``(n, 2 + n_mels + d)``, one row for each window with its loss, level,
    residual of each band, and evidence.
    """

    rows: FloatArray
    n_mels: int = field(repr=False)

    @property
    def loss(self) -> FloatArray:
        """The mean squared reconstruction error, standardised. Shape: ``(n,)``."""
        return self.rows[:, _LOSS]

    @property
    def level_db(self) -> FloatArray:
        """The mean level of each window. Shape: ``(n,)``."""
        return self.rows[:, _LEVEL]

    @property
    def band_residual(self) -> FloatArray:
        """The signed residual in healthy standard deviations. Shape: ``(n, n_mels)``."""
        return self.rows[:, _BANDS : _BANDS + self.n_mels]

    @property
    def evidence(self) -> FloatArray:
        """What the score is computed from. Shape: ``(n, d)``."""
        return self.rows[:, _BANDS + self.n_mels :]


class RunsWindows(Protocol):
    """What a scorer needs of a network."""

    def run(
        self,
        windows_db: FloatArray | Sequence[FloatArray],
        samples: FloatArray | Sequence[FloatArray | None] = (),
    ) -> NetworkOutput:
        """As ``Network.run``."""


class Network:
    """One inference session, which several threads and machines can use.

    ``threads``: the threads of ONNX Runtime; with 1, many machines share a node fairly.

    The results do not depend on how many windows are given together. They are run in batches of
    a few fixed sizes. A size is used only if it is found to give the same bits as one window at
    a time, because a processor may round differently in batches. Graphs without ``row`` are run
    one window at a time.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self._session = inference_session(bundle.model, f"{bundle.path}/model.onnx", threads)
        self._encoder = None
        self._n_mels = bundle.spec.n_mels
        self._tested_db = bundle.selftest.windows_db
        shapes: dict[str, Any] = {
            output.name: output.shape for output in self._session.get_outputs()
        }
        self._is_lean = _LEAN[0] in shapes
        self._outputs = list(_LEAN[:1] if self._is_lean else _NAMED[:-1])
        self._batches: tuple[int, ...] | None = None if self._is_lean else ()
        self._check(bundle, shapes)
        if bundle.encoder is not None and bundle.manifest.encoder is not None:
            model = EncoderModel(bundle.encoder, f"{bundle.path}/{ENCODER}", threads)
            self._encoder = Encoder(model, bundle.manifest.encoder, bundle.spec)
            self._check_encoder(bundle, self._encoder)

    def run(
        self,
        windows_db: FloatArray | Sequence[FloatArray],
        samples: FloatArray | Sequence[FloatArray | None] = (),
    ) -> NetworkOutput:
        """Shape: ``n`` times ``(n_mels, n_frames)`` float32 in dB to ``n`` rows.

        ``samples``: of each window, ``(n_samples,)``; only an encoder of samples needs them.
        """
        if len(windows_db) == 1:
            rows = self._rows(windows_db[0][np.newaxis])
        else:
            rows = np.concatenate([self._rows(np.asarray(p)) for p in self._parts(windows_db)])
        if self._encoder is not None:
            rows = self._with_vectors(rows, windows_db, samples, self._encoder)
        return NetworkOutput(rows, self._n_mels)

    def _with_vectors(
        self,
        rows: FloatArray,
        windows_db: FloatArray | Sequence[FloatArray],
        samples: FloatArray | Sequence[FloatArray | None],
        encoder: Encoder,
    ) -> FloatArray:
        """The rows with the vectors of the encoder, after or instead of the evidence."""
        vectors = encoder.vectors(windows_db, rows[:, _LEVEL], samples)
        is_all = encoder.spec.evidence == "both"
        kept = rows if is_all else rows[:, : _BANDS + self._n_mels]
        return np.concatenate((kept, vectors), axis=1)

    def _check_encoder(self, bundle: Bundle, encoder: Encoder) -> None:
        """Call it for a window of the self-test. Raises ``BundleError``."""
        windows_db, samples = bundle.selftest.windows_db, bundle.selftest.samples
        level_db = float(self._rows(windows_db[:1])[0, _LEVEL])
        encoder.check(windows_db[0], level_db, samples[0] if len(samples) else None)

    def reconstruct(self, window_db: FloatArray) -> FloatArray:
        """The reconstruction in dB of one window. Shape: ``(n_mels, n_frames)`` to the same.

        In bands that are not scored, it is the window itself.
        """
        name = (_LEAN if self._is_lean else _NAMED)[-1]
        (output,) = self._session.run([name], {_INPUT: window_db[np.newaxis, np.newaxis]})
        reconstruction: FloatArray = output[0]
        if self._is_lean:
            residual_db = reconstruction[0]
            reconstruction = window_db.copy()
            reconstruction[: len(residual_db)] -= residual_db
        return reconstruction

    def _parts(
        self, windows_db: FloatArray | Sequence[FloatArray]
    ) -> Iterator[FloatArray | Sequence[FloatArray]]:
        """The windows in batches of sizes that may be used, the largest first."""
        if self._batches is None:
            self._batches = tuple(filter(self._is_exact, _BATCHES))
        first = 0
        for size in (*self._batches, 1):
            while len(windows_db) - first >= size:
                yield windows_db[first : first + size]
                first += size

    def _is_exact(self, size: int) -> bool:
        """Whether a batch of this size gives the same bits as its windows one by one."""
        shape = (size, *self._tested_db.shape[1:])
        noise_db = np.random.default_rng(size).normal(0.0, _TEST_NOISE_DB, shape)
        tested_db = np.resize(self._tested_db, shape) + noise_db.astype(np.float32)
        alone = [self._rows(window[np.newaxis]) for window in tested_db]
        try:
            together = self._rows(tested_db)
        except Exception:  # noqa: BLE001  # a graph for one window only; the classes share no other base
            return False
        return np.array_equal(together, np.concatenate(alone))

    def _rows(self, windows_db: FloatArray) -> FloatArray:
        """One row for each window. Shape: ``(n, n_mels, n_frames)`` to ``(n, length)``."""
        found = self._session.run(self._outputs, {_INPUT: windows_db[:, np.newaxis]})
        if self._is_lean:
            rows: FloatArray = found[0]
            return rows
        loss, level_db, *others = found
        return np.concatenate((loss[:, np.newaxis], level_db[:, np.newaxis], *others), axis=1)

    def _check(self, bundle: Bundle, shapes: dict[str, Any]) -> None:
        """Compare the signature of the graph with the manifest and the head."""
        where = f"{bundle.path}/model.onnx"
        spec = bundle.spec
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else None
        window = [1, spec.n_mels, spec.window_frames]
        if not shape or inputs[0].name != _INPUT or shape[1:] != window:
            raise BundleError(
                f"{where}: takes {shape}, the features make "
                f"(batch, 1, {spec.n_mels}, {spec.window_frames})"
            )
        missing = [name for name in (_LEAN if self._is_lean else _NAMED) if name not in shapes]
        if missing:
            raise BundleError(f"{where}: has no output {missing[0]!r}")
        wanted = bundle.head.centres.shape[1]
        encoder = bundle.manifest.encoder
        if encoder is not None and wanted:
            # None if the evidence of the graph is left out.
            wanted = 0 if encoder.evidence == "encoder" else max(1, wanted - encoder.n_numbers)
        name, before = ("row", _BANDS + spec.n_mels) if self._is_lean else ("evidence", 0)
        if wanted and shapes[name][1:] != [before + wanted]:
            raise BundleError(
                f"{where}: {name} {shapes[name]} does not fit head.npz of {wanted} numbers"
            )
