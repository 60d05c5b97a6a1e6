"""What a trainer is given, what it returns, and what every trainer can do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Job:
    """A bundle to train: from the recordings in ``pieces``, for a budget of false alarms.

    ``confirmed``: a folder with further recordings, which a person has confirmed; empty for none.
    ``config``: the file of the daemon, with ``[training]``, ``[features]`` and ``[detector]``;
    empty for the defaults. ``work``: where another unit of systemd puts the result.
    """

    pieces: str
    per_week: float
    config: str = ""
    keep_outliers: bool = False
    work: str = ""
    confirmed: str = ""

    def arguments(self, out: Path | str) -> list[str]:
        """The arguments of ``auscult train audio``."""
        arguments = [self.pieces, "--out", str(out), "--json"]
        arguments += ["--false-alarms-per-week", f"{self.per_week:g}"]
        if self.confirmed:
            arguments += ["--confirmed", self.confirmed]
        if self.config:
            arguments += ["--config", self.config]
        if self.keep_outliers:
            arguments.append("--keep-outliers")
        return arguments


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a training: the folder of the bundle, or what went wrong.

    ``unfit``: names of pieces that the training left out. ``unusable``: why it could not use
    pieces, by their names; it then needs to begin again without them.
    """

    bundle: Path | None = None
    unfit: list[str] = field(default_factory=list)
    error: str = ""
    unusable: dict[str, str] = field(default_factory=dict)


class Trainer(Protocol):
    """Trains one bundle at a time."""

    def start(self, job: Job) -> None:
        """Begin. Raises ``OSError`` where that is not possible."""

    def poll(self) -> Result | None:
        """The result, once; None while there is none. Does not wait."""

    def stop(self) -> None:
        """End the training. Its result is not returned by ``poll`` any more."""

    def close(self) -> None:
        """The daemon ends. A training that is no process of the daemon may continue."""

    @property
    def can_start(self) -> bool:
        """Whether a training may begin now."""

    @property
    def is_running(self) -> bool:
        """Whether a training was started and has no result yet."""

    @property
    def waits_for_a_person(self) -> bool:
        """Whether there is no result unless a person acts."""

    @property
    def advice(self) -> str:
        """What a person must do; empty if nothing."""
