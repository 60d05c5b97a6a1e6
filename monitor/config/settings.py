"""``config.toml`` to validated settings.

Values come from the models' defaults, then the file, then ``AUSCULT_`` environment
variables; later values replace earlier ones. Relative paths are relative to the file's
folder. Every mistake is one line that names the file, the line and the key (or the
environment variable) and says what would be right.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from monitor.config.document import ConfigDocument, Model, read_document
from monitor.config.history import HistorySettings
from monitor.config.machine_id import check_machine_id
from monitor.config.notify import SECRET_KEYS as NOTIFY_SECRET_KEYS
from monitor.config.notify import NotifySettings
from monitor.config.toml_lines import KeyPath
from monitor.config.web import WebSettings
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.diagnosis.settings import ShaftSettings
from monitor.errors import ConfigError, UsageError
from monitor.evidence.settings import EvidenceSettings
from monitor.learning.settings import LearningSettings
from monitor.mqtt.settings import SECRET_KEYS, MqttSettings
from monitor.sources.settings import SourceSettings
from monitor.text.regular_files import real_path

TRAINER_TABLES = ("training", "features")
"""Tables of ``auscult train audio --config`` that may be in the same file."""

_TABLES = (
    *("mqtt", "detector", "service", "learning", "history", "evidence", "web", "notify"),
    "machine",
)


class ServiceSettings(BaseModel):
    """``[service]``: settings of the daemon itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state_dir: Path | None = None
    """The folder of the outbox, the operator log and what folder sources have read. Unset:
    ``$STATE_DIRECTORY`` (systemd's ``StateDirectory=``), or else ``state`` beside the
    configuration file."""
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    inference_threads: int = Field(default=1, ge=1, le=64)
    """Threads that one inference may use."""
    stall_limit_s: float = Field(default=30.0, ge=5.0, le=3600.0)
    """After this time without progress, a machine has stalled."""


class MachineSettings(BaseModel):
    """One ``[[machine]]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, AfterValidator(check_machine_id)]
    bundle: Path | None = None
    """Unset: it is learned, see ``learning``."""
    source: SourceSettings
    detector: DetectorSettings | None = None
    """``[machine.detector]``: its keys replace those of ``[detector]`` for this machine."""
    operation: OperationSettings = Field(default_factory=OperationSettings)
    shaft: ShaftSettings = Field(default_factory=ShaftSettings)
    """``[machine.shaft]``: what a diagnosis compares rates with."""
    learning: LearningSettings | None = None
    """``[machine.learning]``: its keys replace those of ``[learning]`` for this machine."""

    @model_validator(mode="after")
    def _has_a_bundle(self) -> Self:
        if self.bundle is None and self.learning is None:
            raise ValueError(
                "has no bundle: set bundle, or add the table [machine.learning] to learn one"
            )
        if self.learning is not None and self.source.kind == "logmel":
            raise ValueError('cannot be learned from kind = "logmel": learning needs sound')
        return self


class Settings(BaseModel):
    """All of ``config.toml``."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_by_alias=True, validate_by_name=True
    )

    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    detector: DetectorSettings = Field(default_factory=DetectorSettings)
    service: ServiceSettings = Field(default_factory=ServiceSettings)
    learning: LearningSettings = Field(default_factory=LearningSettings)
    history: HistorySettings = Field(default_factory=HistorySettings)
    evidence: EvidenceSettings = Field(default_factory=EvidenceSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    notify: tuple[NotifySettings, ...] = Field(default=(), max_length=16)
    machines: tuple[MachineSettings, ...] = Field(alias="machine", min_length=1)

    def machine(self, machine_id: str) -> MachineSettings:
        """The machine with that id. Raises ``UsageError`` that names the configured ones."""
        for machine in self.machines:
            if machine.id == machine_id:
                return machine
        known = ", ".join(machine.id for machine in self.machines)
        raise UsageError(f'no machine "{machine_id}" is configured; configured: {known}')

    def machine_with(self, bundle: Path) -> MachineSettings | None:
        """The first machine that uses this bundle, if there is one."""
        path = real_path(bundle)
        return next(
            (one for one in self.machines if one.bundle and real_path(one.bundle) == path), None
        )

    def detector_of(self, machine: MachineSettings | None) -> DetectorSettings:
        """``[detector]`` with the keys of the machine's own table in their place."""
        if machine is None or machine.detector is None:
            return self.detector
        own = machine.detector
        return self.detector.model_copy(
            update={key: getattr(own, key) for key in own.model_fields_set}
        )

    def learning_of(self, machine: MachineSettings) -> LearningSettings | None:
        """``[learning]`` with the keys of the machine's own table; None without such a table."""
        own = machine.learning
        if own is None:
            return None
        return self.learning.model_copy(
            update={key: getattr(own, key) for key in own.model_fields_set}
        )


def load_config(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and validate a configuration file and the environment.

    Raises ``MissingInputError`` when the file does not exist, and ``ConfigError`` with
    one line for each mistake.
    """
    environ = os.environ if environ is None else environ
    document = read_document(path, TRAINER_TABLES)
    mistakes = _secrets_in(document)
    secrets = {("mqtt", key) for key in SECRET_KEYS}
    document.put_environment(environ, _TABLES, secrets)
    try:
        settings = document.validated(Settings)
        _refuse_repeated_ids(settings, document.where)
        _check_targets(settings, document.where)
    except ConfigError as error:
        raise ConfigError(*mistakes, *error.lines) from None
    if mistakes:
        raise ConfigError(*mistakes)
    return _anchored(settings, path.absolute().parent)


def _refuse_repeated_ids(settings: Settings, where: Callable[[KeyPath], str]) -> None:
    seen: set[str] = set()
    for index, machine in enumerate(settings.machines):
        if machine.id in seen:
            place = where(("machine", index, "id"))
            raise ConfigError(f'{place}: machine id "{machine.id}" is used twice: choose another')
        seen.add(machine.id)


def _check_targets(settings: Settings, where: Callable[[KeyPath], str]) -> None:
    """Refuse a name that is used twice, and machines that are not configured."""
    machines = {machine.id for machine in settings.machines}
    seen: set[str] = set()
    for index, target in enumerate(settings.notify):
        if target.name in seen:
            place = where(("notify", index, "name"))
            raise ConfigError(f'{place}: notify name "{target.name}" is used twice: choose another')
        seen.add(target.name)
        if unknown := [one for one in target.machines if one not in machines]:
            place = where(("notify", index, "machines"))
            raise ConfigError(
                f'{place}: notify "{target.name}": no machine "{unknown[0]}" is configured; '
                f"configured: {', '.join(sorted(machines))}"
            )


def _secrets_in(document: ConfigDocument) -> list[str]:
    """A line for each secret in the file. The secrets are removed from the values."""
    lines = []
    table = document.values.get("mqtt")
    for key in sorted(SECRET_KEYS & set(table)) if isinstance(table, dict) else []:
        del document.values["mqtt"][key]
        lines.append(
            f"{document.where(('mqtt', key))}: mqtt.{key} must not be in this file, which others "
            f"may read: set mqtt.{key}_file or AUSCULT_MQTT__{key.upper()}"
        )
    targets = document.values.get("notify")
    for index, target in enumerate(targets if isinstance(targets, list) else []):
        for key in sorted(NOTIFY_SECRET_KEYS & set(target)) if isinstance(target, dict) else []:
            del target[key]
            lines.append(
                f"{document.where(('notify', index, key))}: notify.{key} must not be in this file, "
                f"which others may read: write it into a file, and set {key}_file to its name"
            )
    return lines


def _anchored(model: Model, folder: Path) -> Model:
    """``model`` with every relative path in it made relative to ``folder``."""
    update = {
        name: anchored
        for name in type(model).model_fields
        if (anchored := _anchor(value := getattr(model, name), folder)) is not value
    }
    return model.model_copy(update=update) if update else model


def _anchor(value: Any, folder: Path) -> Any:
    if isinstance(value, BaseModel):
        return _anchored(value, folder)
    if isinstance(value, Path):
        try:
            expanded = value.expanduser()
        except RuntimeError:
            raise ConfigError(
                f"{value}: there is no home folder for {value.parts[0]}: use the full path"
            ) from None
        return expanded if expanded.is_absolute() else folder / expanded
    if isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        return tuple(_anchor(item, folder) for item in value)
    return value
