"""The file of a fleet: machines, their recordings, and what they have in common."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from monitor.config.document import read_document
from monitor.config.machine_id import check_machine_id
from monitor.errors import ConfigError, MissingInputError

_TABLES = ("fleet", "recordings", "alerts")
RESERVED = frozenset({"scores", "index.html", *(f"{name}.parquet" for name in _TABLES)})
"""Names in the output folder that no machine may have."""
Share = Literal["none", "type"]
Place = Annotated[str, Field(min_length=1)]
"""A path, a URL or a pattern."""


class Defaults(BaseModel):
    """``[defaults]``: what holds for every machine that does not set it itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = ""
    """Machines of one type are alike, such as pumps of one model."""
    healthy: tuple[Place, ...] = Field(default=("healthy",), min_length=1)
    """Healthy recordings: files, folders or patterns. ``{machine}`` is the id of the machine."""
    archive: tuple[Place, ...] = Field(default=("archive",), min_length=1)
    """The recordings that ``auscult fleet replay`` scores."""
    references: tuple[Place, ...] = ()
    """A file, folder or pattern for each reference machine outside of the fleet."""
    share: Share = "none"
    """``type``: the machines of one type are each other's references."""
    most_references: int = Field(default=8, ge=1, le=1000)
    """With ``share``, so many of them at most."""
    false_alarms_per_week: float = Field(default=1.0, ge=1e-6, le=1e6)
    seed: int = Field(default=0, ge=0, lt=2**32)
    keep_outliers: bool = False
    report: bool = True
    """Whether each bundle gets its ``report.html``, which takes some seconds."""
    config: str = ""
    """A TOML file with ``[training]``, ``[features]`` and ``[detector]``."""

    @field_validator("healthy", "archive", "references", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class MachineEntry(Defaults):
    """``[[machine]]``: one machine by ``id``, or one for each folder of the pattern ``folders``.

    Paths are relative to the folder of the machine with ``folders``, otherwise to that of the file.
    """

    id: str = ""
    folders: str = ""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.id) == bool(self.folders):
            raise ValueError('needs either id = "NAME" or folders = "PATTERN"')
        return self


class FleetFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    defaults: Defaults = Field(default_factory=Defaults)
    machine: tuple[MachineEntry, ...] = Field(min_length=1)


class Machine(BaseModel):
    """One machine of the fleet. ``folder``: what its relative paths begin at."""

    model_config = ConfigDict(frozen=True)

    id: str
    folder: Path
    settings: Defaults

    def patterns(self, name: Literal["healthy", "archive", "references"]) -> list[str]:
        """The paths or patterns of this setting, absolute or URLs."""
        texts: tuple[str, ...] = getattr(self.settings, name)
        return [absolute(text.replace("{machine}", self.id), self.folder) for text in texts]


def absolute(text: str, folder: Path) -> str:
    """A path or pattern relative to ``folder``, of which no part is a pattern. A URL stays."""
    if is_url(text):
        return text
    return str((glob.escape(str(folder)) if glob.has_magic(text) else folder) / Path(text))


def is_url(text: str) -> bool:
    """Whether fsspec reads this, and not the file system."""
    return "://" in text


def read_fleet(path: Path) -> list[Machine]:
    """The machines of a file, or of a folder with ``MACHINE/healthy``, by id.

    Raises ``MissingInputError`` if there is no such file or folder, and ``ConfigError`` with a line
    for each mistake.
    """
    machines = _of_folder(path) if path.is_dir() else list(_of_file(path))
    ids = [machine.id for machine in machines]
    twice = sorted({one for one in ids if ids.count(one) > 1}) if len({*ids}) < len(ids) else []
    if twice:
        raise ConfigError(*(f"{path}: two machines have the id {one}: rename one" for one in twice))
    sharing = [machine.settings for machine in machines if machine.settings.share == "type"]
    if sharing and not any(one.type for one in sharing):
        raise ConfigError(f'{path}: share = "type" without effect: give the machines a type')
    return sorted(machines, key=lambda machine: machine.id)


def _of_folder(path: Path) -> list[Machine]:
    found = sorted(one.parent for one in path.glob("*/healthy"))
    if not found:
        raise MissingInputError(
            f"{path}: no folder MACHINE/healthy in it: put the healthy recordings of each machine "
            "into such a folder, or name a TOML file"
        )
    return [_machine(one.name, one.absolute(), Defaults(), str(one)) for one in found]


def _of_file(path: Path) -> Iterator[Machine]:
    document = read_document(path)
    fleet = document.validated(FleetFile)
    folder = path.absolute().parent
    for number, entry in enumerate(fleet.machine):
        where = document.where(("machine", number))
        own = {name: getattr(entry, name) for name in entry.model_fields_set - {"id", "folders"}}
        settings = fleet.defaults.model_copy(update=own)
        if settings.config:
            settings = settings.model_copy(update={"config": absolute(settings.config, folder)})
        if entry.id:
            yield _machine(entry.id, folder, settings, where)
            continue
        if is_url(entry.folders):
            raise ConfigError(f"{where}: folders must be a pattern of local folders, not a URL")
        pattern = Path(glob.escape(str(folder)), entry.folders)
        root = Path(pattern.anchor)  # patterns of pathlib are relative
        below = sorted(one for one in root.glob(str(pattern.relative_to(root))) if one.is_dir())
        if not below:
            raise ConfigError(f"{where}: no folder matches {entry.folders}")
        for one in below:
            yield _machine(one.name, one, settings, where)


def _machine(name: str, folder: Path, settings: Defaults, where: str) -> Machine:
    try:
        check_machine_id(name)
    except ValueError as error:
        raise ConfigError(f"{where}: the id of a machine {error}") from None
    if name in RESERVED:
        raise ConfigError(f"{where}: no machine can have the id {name}: rename it")
    return Machine(id=name, folder=folder, settings=settings)
