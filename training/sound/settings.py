"""The settings of ``auscult train audio`` and the file that they may come from."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from monitor.config.environment import overlay
from monitor.detection.settings import DetectorSettings
from monitor.errors import ConfigError, MissingInputError
from monitor.features.log_mel_spec import LogMelSpec

_DAEMON_TABLES = frozenset({"mqtt", "service", "machine"})


class NetworkSettings(BaseModel):
    """``[training]``: the network, how it is trained, and the span that is scored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    span_s: float = Field(default=2.0, gt=0.0, le=600.0)
    """Seconds of sound that one score is made from."""
    epochs: int = Field(default=10, ge=1, le=10_000)
    most_windows_per_epoch: int = Field(default=2048, ge=16, le=1_000_000)
    """An epoch hears every frame about twice, but no more windows than this."""
    batch_size: int = Field(default=64, ge=2, le=4096)
    learning_rate: float = Field(default=2e-3, gt=0.0, le=1.0)
    weight_decay: float = Field(default=1e-2, ge=0.0, le=1.0)
    channels: tuple[int, ...] = Field(default=(8, 16, 32, 32), min_length=1, max_length=6)
    bottleneck: int = Field(default=8, ge=1)
    machine_weight: float = Field(default=0.1, ge=0.0, le=10.0)
    """Share in the loss of telling reference machines apart."""


class AudioSettings(BaseModel):
    """The whole file: ``[training]``, ``[features]``, and the ``[detector]`` to calibrate for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    training: NetworkSettings = Field(default_factory=NetworkSettings)
    features: dict[str, Any] = Field(default_factory=dict)
    detector: DetectorSettings = Field(default_factory=DetectorSettings)

    @field_validator("features")
    @classmethod
    def _features_make_a_spec(cls, values: dict[str, Any]) -> dict[str, Any]:
        LogMelSpec.from_dict(values)
        return values

    @property
    def spec(self) -> LogMelSpec:
        """The feature specification."""
        return LogMelSpec.from_dict(self.features)


def load_audio_settings(
    path: Path | None, environ: Mapping[str, str] | None = None
) -> AudioSettings:
    """Read the settings; defaults where ``path`` is None. ``AUSCULT_`` variables go over both.

    The daemon's own tables may stand in the same file and are left to the daemon. Raises
    ``MissingInputError`` where the file is not there, ``ConfigError`` naming file and key.
    """
    document = {} if path is None else _read(path)
    document = {name: table for name, table in document.items() if name not in _DAEMON_TABLES}
    environ = os.environ if environ is None else environ
    overlay(document, environ, ("training", "detector"))
    try:
        return AudioSettings.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path or 'environment'}: {key}: {first['msg']}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingInputError(f"{path}: no such configuration file") from None
    except OSError as error:
        raise MissingInputError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
