"""The encoder that ``--encoder`` names, and the evidence that it gives."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from monitor.domain import DoubleArray, FloatArray
from monitor.errors import AuscultError, BadInputError, BundleError, MissingInputError, UsageError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle
from monitor.model.encoder import Encoder, EncoderModel
from monitor.model.encoder_spec import (
    EncoderEvidence,
    EncoderInput,
    EncoderSpec,
    Layout,
    layout_for,
)
from monitor.text.regular_files import read_regular
from training.sound.settings import NetworkSettings

LARGEST_BYTES = 256 * 2**20
"""As for every file of a bundle."""
_TIMED = 3
_LEAST_DEVIATION = 1e-3
"""Of the numbers of a vector, and as a share of the largest one. A tenth of it is still above the
least deviation of the covariance."""
_LEAST_SHARE = 0.1
"""Of the deviation of all numbers of a vector: a number that hardly varies in healthy sound would
otherwise count as a large difference as soon as it varies a little."""


@dataclass(frozen=True, slots=True)
class EncoderFile:
    """An encoder that can be loaded, and how it is called. ``name``: of its file."""

    name: str
    content: bytes = field(repr=False)
    model: EncoderModel = field(repr=False)
    layout: Layout
    evidence: EncoderEvidence


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoder in a training, with the level that windows are brought to."""

    file: EncoderFile
    spec: EncoderSpec
    encoder: Encoder = field(repr=False)

    def evidence(
        self, own: FloatArray, windows_db: FloatArray, levels_db: FloatArray, samples: FloatArray
    ) -> FloatArray:
        """The evidence of windows, as the run time joins it. Shape: ``(n, d)`` to ``(n, d')``.

        ``own``: that of the graph. Raises ``BadInputError`` for NaN and another shape.
        """
        try:
            vectors = self.encoder.vectors(windows_db, levels_db, samples)
        except BundleError as error:
            raise BadInputError(str(error)) from error
        return vectors if self.spec.evidence == "encoder" else np.concatenate((own, vectors), 1)

    def parts(self, own: tuple[slice, ...]) -> tuple[slice, ...]:
        """The parts of the joined evidence that have equal weight in a distance."""
        if self.spec.evidence == "encoder":
            return (slice(0, self.spec.n_numbers),)
        return (*own, slice(own[-1].stop, own[-1].stop + self.spec.n_numbers))

    def least_variance(self, rows: DoubleArray) -> DoubleArray:
        """See :func:`least_variance`. Raises ``BadInputError`` for vectors that hardly vary."""
        vectors = rows[:, -self.spec.n_numbers :]
        deviation, largest = (
            float(np.sqrt(vectors.var(axis=0).mean())),
            float(np.abs(vectors).max()),
        )
        if 0.0 < _LEAST_DEVIATION * largest <= deviation < _LEAST_DEVIATION:
            raise BadInputError(
                f"{self.file.model.where}: gives numbers that vary by only {deviation:.1g} in "
                f"healthy sound, at least {_LEAST_DEVIATION:g} is needed: multiply its output"
            )
        if deviation < _LEAST_DEVIATION * max(1.0, largest):
            raise BadInputError(
                f"{self.file.model.where}: gives almost the same vector for all healthy sound; "
                "is its input another one than --encoder-input states?"
            )
        return least_variance(rows, self.spec.n_numbers)


def least_variance(rows: DoubleArray, n_vector: int) -> DoubleArray:
    """What is added to the variance of each number of the evidence. Shape: ``(n, d)`` to ``(d,)``.

    ``n_vector``: the last numbers, which are from an encoder. Nothing is added to the others.
    """
    added = np.zeros(rows.shape[1])
    added[-n_vector:] = _LEAST_SHARE**2 * rows[:, -n_vector:].var(axis=0).mean()
    return added


def chosen_encoder(
    settings: NetworkSettings, features: LogMelSpec, continued: Bundle | None
) -> EncoderFile | None:
    """The encoder that is asked for, or that of the bundle that is continued.

    Raises ``UsageError`` for options without it, and as :func:`read_encoder`.
    """
    if settings.encoder is not None:
        evidence = settings.evidence or "both"
        return read_encoder(settings.encoder, features, settings.encoder_input, evidence)
    if settings.encoder_input is not None or settings.evidence is not None:
        raise UsageError("--encoder-input and --evidence need --encoder")
    return encoder_of(continued) if continued else None


def read_encoder(
    path: Path, features: LogMelSpec, wanted: EncoderInput | None, evidence: EncoderEvidence
) -> EncoderFile:
    """Load an encoder. Raises ``MissingInputError`` and ``BadInputError`` in one line."""
    where = f"--encoder {path}"
    try:
        content = read_regular(path, LARGEST_BYTES)
    except OSError as error:
        raise MissingInputError(f"{where}: {error.strerror}") from error
    except ValueError as error:
        raise BadInputError(f"--encoder {error}") from error
    model = _loaded(content, where)
    layout = layout_for(model.axes, features, wanted)
    if layout is None:
        axes = ", ".join("any" if axis is None else str(axis) for axis in model.axes)
        raise BadInputError(
            f"{where}: its input has the shape ({axes}), but a window has {features.n_mels} mel "
            f"bands, {features.window_frames} frames and {features.window_samples} samples: change "
            "[features], or name the kind of its input with --encoder-input"
        )
    return EncoderFile(path.name, content, model, layout, evidence)


def encoder_of(bundle: Bundle) -> EncoderFile | None:
    """The encoder of a bundle that is continued; None without any."""
    spec = bundle.manifest.encoder
    if spec is None or bundle.encoder is None:
        return None
    layout = Layout(input=spec.input, shape=spec.shape, transposed=spec.transposed)
    model = _loaded(bundle.encoder, f"{bundle.path}/encoder.onnx")
    return EncoderFile(spec.source, bundle.encoder, model, layout, spec.evidence)


def vector_length(
    file: EncoderFile, features: LogMelSpec, window_db: FloatArray, samples: FloatArray | None
) -> int:
    """Call the encoder for a healthy window, before anything is trained.

    Raises ``BadInputError`` if it needs more time than there is between two windows, gives another
    vector when it is called again, or as ``EncoderModel.first``.
    """
    model = file.model
    unchanged = Encoder(model, _spec(file, 1, 0.0), features)
    values = unchanged.input_of(window_db, 0.0, samples)
    try:
        first = model.first(values)
        seconds = []
        for _ in range(_TIMED):
            began = time.perf_counter()
            again = model.run(values)
            seconds.append(time.perf_counter() - began)
    except AuscultError as error:
        raise BadInputError(str(error)) from error
    if not np.array_equal(first, again):
        raise BadInputError(
            f"{model.where}: gives another vector when it is called again; an encoder must not use "
            "random numbers"
        )
    if min(seconds) > features.window_hop_s:
        raise BadInputError(
            f"{model.where}: needs {min(seconds):.2g} s for a window, and there is a new one every "
            f"{features.window_hop_s:.2g} s: use a faster encoder"
        )
    return len(first)


def begin_encoding(
    file: EncoderFile, features: LogMelSpec, n_numbers: int, levels_db: FloatArray
) -> Encoding:
    """The encoder with the mean level of healthy windows. ``n_numbers``: of its vectors."""
    spec = _spec(file, n_numbers, round(float(levels_db.mean()), 3))
    return Encoding(file, spec, Encoder(file.model, spec, features))


def _spec(file: EncoderFile, n_numbers: int, level_db: float) -> EncoderSpec:
    return EncoderSpec(
        **file.layout.model_dump(),
        n_numbers=n_numbers,
        level_db=level_db,
        evidence=file.evidence,
        source=file.name[:255],
    )


def _loaded(content: bytes, where: str) -> EncoderModel:
    try:
        return EncoderModel(content, where)
    except BundleError as error:
        raise BadInputError(str(error)) from error
