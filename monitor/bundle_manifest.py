"""``bundle.json``: what a bundle says about itself."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator

from monitor.calibration_record import Calibration
from monitor.log_mel_spec import LogMelSpec

SCHEMA_VERSION: Final = 1
ScoreKind = Literal["plain", "diagonal", "covariance"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ScoreChoice(BaseModel):
    """Which score the bundle gives, and why the healthy sound supports it.

    ``plain``: the mean reconstruction error over the span. ``diagonal`` and
    ``covariance``: the distance of the averaged evidence from the nearest centre.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ScoreKind
    reason: str = Field(max_length=2000)


class BundleManifest(BaseModel):
    """Everything in ``bundle.json``.

    ``files`` holds the SHA-256 of every other file, ``features_sha256`` that of the
    features the network learned with, so that others put beside it are noticed, and
    ``filterbank_sha256`` that of the mel weights, so that a build that computes another
    filterbank is.
    ``provenance`` is for people: recordings, versions, seeds, controls.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    features: dict[str, Any]
    features_sha256: Sha256
    filterbank_sha256: Sha256
    span_s: FiniteFloat = Field(gt=0, le=3600)
    score: ScoreChoice
    calibration: Calibration | None
    network: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    files: dict[Annotated[str, Field(pattern=r"^[a-z0-9_.]{1,64}$")], Sha256]

    @field_validator("features")
    @classmethod
    def _features_make_a_spec(cls, values: dict[str, Any]) -> dict[str, Any]:
        LogMelSpec.from_dict(values)
        return values

    @property
    def spec(self) -> LogMelSpec:
        """The feature specification, checked when the manifest was read."""
        return LogMelSpec.from_dict(self.features)
