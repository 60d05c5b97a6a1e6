"""The settings of ``auscult train audio``, from a file and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails

from monitor.config.document import read_document
from monitor.detection.settings import DetectorSettings
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.encoder_spec import EncoderEvidence, EncoderInput

_DAEMON_TABLES = frozenset(
    {"mqtt", "service", "learning", "history", "evidence", "web", "notify", "machine"}
)


class NetworkSettings(BaseModel):
    """``[training]``: the network, how it is trained, and the span that is scored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    span_s: float = Field(default=2.0, gt=0.0, le=600.0)
    """Seconds of sound that one score is made from."""
    scored_share: float = Field(default=0.95, gt=0.0, le=1.0)
    """Bands above this share of the lowest Nyquist frequency are not scored."""
    epochs: int = Field(default=40, ge=1, le=10_000)
    most_windows_per_epoch: int = Field(default=2048, ge=16, le=1_000_000)
    """An epoch covers the sound of the machine with the least once, with no more windows than this.
    """
    batch_size: int = Field(default=64, ge=2, le=4096)
    learning_rate: float = Field(default=2e-3, gt=0.0, le=1.0)
    weight_decay: float = Field(default=1e-2, ge=0.0, le=1.0)
    channels: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        default=(32, 32), min_length=1, max_length=6
    )
    bottleneck: int = Field(default=8, ge=1)
    network: str | None = Field(default=None, max_length=200)
    """``module:function`` of a network to use instead of that of Auscult, see
    ``docs/networks.md``. ``channels`` and ``bottleneck`` are then not used."""
    encoder: Path | None = None
    """An ONNX model from log-mel windows or samples to vectors, which are evidence too."""
    encoder_input: EncoderInput | None = None
    """What the encoder receives; by default found from the shape of its input."""
    evidence: EncoderEvidence | None = None
    """Whether the vectors are the evidence, or both they and that of Auscult are (the default)."""
    day_variation: bool = True
    """Whether altered copies of the recordings add variation between days to the covariance, where
    held-out recordings become more likely by it."""
    machine_weight: float = Field(default=0.1, ge=0.0, le=10.0)
    """Weight in the loss of the classifier that distinguishes the machine and its references."""


class FeatureSettings(BaseModel):
    """``[features]``: the fields of ``LogMelSpec``, with its limits."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sample_rate_hz: int = LogMelSpec.sample_rate_hz
    n_fft: int = LogMelSpec.n_fft
    hop_length: int = LogMelSpec.hop_length
    n_mels: int = LogMelSpec.n_mels
    f_min_hz: float = LogMelSpec.f_min_hz
    f_max_hz: float = LogMelSpec.f_max_hz
    power_floor: float = LogMelSpec.power_floor
    window_frames: int = LogMelSpec.window_frames
    window_hop_frames: int = LogMelSpec.window_hop_frames

    @model_validator(mode="wrap")
    @classmethod
    def _every_mistake(
        cls, values: Any, handler: ModelWrapValidatorHandler[FeatureSettings]
    ) -> FeatureSettings:
        """Report types, unknown keys and impossible values at once."""
        mistakes: list[InitErrorDetails] = []
        settings = None
        try:
            settings = handler(values)
        except ValidationError as error:
            mistakes = [
                InitErrorDetails(
                    type=detail["type"],
                    loc=detail["loc"],
                    input=detail["input"],
                    ctx=detail.get("ctx", {}),
                )
                for detail in error.errors()
            ]
        known = {name: values[name] for name in cls.model_fields if name in values}
        reported = {mistake["loc"] for mistake in mistakes}
        mistakes += [
            InitErrorDetails(
                type="value_error",
                loc=(name,),
                input=known.get(name),
                ctx={"error": problem if name in known else f"need another {name}: it {problem}"},
            )
            for name, problem in LogMelSpec.problems(known).items()
            if (name,) not in reported
        ]
        if settings is None or mistakes:
            raise ValidationError.from_exception_data(cls.__name__, mistakes)
        return settings


class AudioSettings(BaseModel):
    """The whole file: ``[training]``, ``[features]``, and the ``[detector]`` to calibrate for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    training: NetworkSettings = Field(default_factory=NetworkSettings)
    features: FeatureSettings = Field(default_factory=FeatureSettings)
    detector: DetectorSettings = Field(default_factory=DetectorSettings)

    @property
    def spec(self) -> LogMelSpec:
        """The feature specification."""
        return LogMelSpec(**self.features.model_dump())


def load_audio_settings(
    path: Path | None, environ: Mapping[str, str] | None = None
) -> AudioSettings:
    """The settings of a file, or the defaults; ``AUSCULT_`` variables replace values of both.

    The tables of the daemon may be in the same file and are ignored. Raises
    ``MissingInputError`` when the file is not there and ``ConfigError``, a line for each
    mistake, when it cannot be used.
    """
    document = read_document(path, _DAEMON_TABLES)
    environ = os.environ if environ is None else environ
    document.put_environment(environ, ("training", "detector"))
    return document.validated(AudioSettings)


def settings_with(path: Path | None, **given: float | str | Path | None) -> AudioSettings:
    """The settings of the file and the environment, with values of ``[training]`` that are given.

    Raises as :func:`load_audio_settings`. The given values are not checked.
    """
    settings = load_audio_settings(path)
    chosen = {name: value for name, value in given.items() if value is not None}
    training = settings.training.model_copy(update=chosen)
    return settings.model_copy(update={"training": training})
