"""``bundle.json``: the content of a bundle and its calibration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    field_validator,
    model_validator,
)

from monitor.errors import BundleError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.spectra import SpectraSpec
from monitor.model.capture import Capture
from monitor.model.channel_calibration import MOST_PARTS, ChannelCalibration, interpolated
from monitor.model.encoder_spec import EncoderSpec
from monitor.model.operation import Operation

MOST_SCORES = 256


class BudgetThreshold(BaseModel):
    """The thresholds for another budget, see ``Calibration``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    false_alarms_per_week: FiniteFloat = Field(gt=0)
    threshold: FiniteFloat = Field(gt=0)
    recording_threshold: FiniteFloat = Field(gt=0)


class Calibration(BaseModel):
    """A threshold, the budget that it was set for, and the sound that it is based on.

    ``threshold`` is for persistent scores, ``recording_threshold`` for the score of
    a whole recording, both for the same budget.
    ``supported_false_alarms_per_week`` is the lowest budget that counting alone supports; a
    lower budget needs the extrapolated tail. ``score_median``: of healthy scores.
    ``score_deviation``: of block values. ``level_low_db`` to ``level_high_db``: the range of
    healthy levels. ``recording_scores``: the scores of whole healthy recordings in rising order,
    a selection of ``MOST_SCORES`` if there are more. ``stretch_scores``: the same for blocks of
    ten seconds. ``budgets``: the thresholds for other budgets, in rising order of the budget.
    ``channels``: what else raises an alert, beside the scores over the span of the bundle.
    ``provisional``: the recordings do not support the budget by counting.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: FiniteFloat = Field(gt=0)
    recording_threshold: FiniteFloat = Field(gt=0)
    false_alarms_per_week: FiniteFloat = Field(gt=0)
    supported_false_alarms_per_week: FiniteFloat = Field(gt=0)
    method: Literal["conformal", "generalised_pareto"]
    healthy_s: FiniteFloat = Field(gt=0)
    recordings: int = Field(ge=1)
    blocks: int = Field(ge=1)
    block_s: FiniteFloat = Field(gt=0)
    persistence_required: int = Field(ge=1)
    persistence_out_of: int = Field(ge=1)
    score_median: FiniteFloat = Field(ge=0)
    score_deviation: FiniteFloat = Field(ge=0)
    level_db: FiniteFloat
    level_low_db: FiniteFloat
    level_high_db: FiniteFloat
    recording_scores: tuple[FiniteFloat, ...] = Field(default=(), max_length=MOST_SCORES)
    stretch_scores: tuple[FiniteFloat, ...] = Field(default=(), max_length=MOST_SCORES)
    budgets: tuple[BudgetThreshold, ...] = Field(default=(), max_length=64)
    channels: tuple[ChannelCalibration, ...] = Field(default=(), max_length=64)
    provisional: bool = False
    note: str = Field(max_length=2000)

    @model_validator(mode="after")
    def _channels_differ(self) -> Self:
        if len({(one.evidence, one.span_s) for one in self.channels}) < len(self.channels):
            raise ValueError("channels: two channels have the same evidence and span_s")
        return self

    def threshold_for(self, false_alarms_per_week: float | None) -> float | None:
        """The threshold for a budget; None where the bundle does not contain it."""
        if false_alarms_per_week in {None, self.false_alarms_per_week}:
            return self.threshold
        return self._interpolated(false_alarms_per_week, "threshold")

    def recording_threshold_for(self, false_alarms_per_week: float | None) -> float | None:
        """The threshold of whole recordings for a budget; None as above."""
        if false_alarms_per_week in {None, self.false_alarms_per_week}:
            return self.recording_threshold
        return self._interpolated(false_alarms_per_week, "recording_threshold")

    def _interpolated(self, per_week: float | None, name: str) -> float | None:
        if per_week is None:
            return None
        pairs = [(one.false_alarms_per_week, getattr(one, name)) for one in self.budgets]
        return interpolated(pairs, per_week)


SCHEMA_VERSION: Final = 1
_MOST_LEVELS = 100
ScoreKind = Literal["plain", "diagonal", "covariance"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ScoreChoice(BaseModel):
    """The kind of score of the bundle, and the reason for it.

    ``plain``: the mean reconstruction error over the span. ``diagonal`` and
    ``covariance``: the distance of the averaged evidence from the nearest centre.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ScoreKind
    reason: str = Field(max_length=2000)


class BundleManifest(BaseModel):
    """Everything in ``bundle.json``.

    ``files``: the SHA-256 of every other file. ``features_sha256``: that of the features that the
    network was trained with, so that edited features are refused. ``filterbank_sha256``: that of
    the mel weights, so that a build with another filterbank refuses the bundle.
    ``spectra``: the specification of the spectra of ``peaks.npz``, None without it.
    ``encoder``: how ``encoder.onnx`` is called, None without it.
    ``provenance`` is for people: recordings, versions, seeds, comparisons.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = SCHEMA_VERSION
    features: dict[str, Any]
    features_sha256: Sha256
    filterbank_sha256: Sha256
    span_s: FiniteFloat = Field(gt=0, le=3600)
    score: ScoreChoice
    calibration: Calibration | None
    capture: Capture | None = None
    operation: Operation | None = None
    spectra: dict[str, Any] | None = None
    encoder: EncoderSpec | None = None
    network: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)
    files: dict[Annotated[str, Field(pattern=r"^[a-z0-9_.]{1,64}$")], Sha256]

    @field_validator("features")
    @classmethod
    def _features_make_a_spec(cls, values: dict[str, Any]) -> dict[str, Any]:
        LogMelSpec.from_dict(values)
        return values

    @field_validator("spectra")
    @classmethod
    def _spectra_make_a_spec(cls, values: dict[str, Any] | None) -> dict[str, Any] | None:
        if values is not None:
            SpectraSpec.from_dict(values)
        return values

    @model_validator(mode="after")
    def _bands_fit_the_features(self) -> Self:
        problem = self.capture.problem(self.spec.n_mels) if self.capture else ""
        if problem:
            raise ValueError(f"capture: {problem}")
        problem = self.operation.problem(self.spec.n_mels) if self.operation else ""
        if problem:
            raise ValueError(f"operation: {problem}")
        own_s = self.spec.seconds_of(self.spec.windows_in(self.span_s))
        for number, one in enumerate(self.calibration.channels if self.calibration else ()):
            if one.span_s - own_s > one.step_s and one.span_s > MOST_PARTS * one.step_s:
                raise ValueError(
                    f"calibration.channels.{number}: span_s must be at most {MOST_PARTS} times "
                    "step_s: more parts need too much memory"
                )
        return self

    @property
    def spec(self) -> LogMelSpec:
        """The feature specification, checked when the manifest is read."""
        return LogMelSpec.from_dict(self.features)


def parse_manifest(path: Path, raw: bytes) -> BundleManifest:
    """The content of ``bundle.json``. Raises ``BundleError`` with the key and its fault."""
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError) as error:
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise BundleError(f"{path}: is not valid JSON{line}: copy the bundle again") from error
    if _is_nested_deeper(values, _MOST_LEVELS):
        raise BundleError(f"{path}: values are nested in more than {_MOST_LEVELS} levels")
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{path}: schema_version is {version!r:.40}, this version of auscult reads "
            f"{SCHEMA_VERSION}; train the bundle again or use the version that made it"
        )
    try:
        return BundleManifest.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        fault = first["msg"].removeprefix("Value error, ")
        if first["type"] == "missing":
            fault = "missing; if the bundle was made by an earlier version, train it again"
        raise BundleError(": ".join(filter(None, (str(path), where, fault)))) from error


def _is_nested_deeper(value: Any, most: int) -> bool:
    """Whether a JSON value has more than ``most`` levels: functions that call themselves fail."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(most):
        inside = [one.values() if isinstance(one, dict) else one for one in level]
        level = [item for one in inside for item in one if isinstance(item, dict | list)]
        if not level:
            return False
    return True
