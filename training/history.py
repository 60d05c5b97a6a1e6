"""The record of a training run: a row for each epoch, and what shows it while it grows."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One epoch, counted from 1. ``validation_loss`` is None if it is not computed.

    Both losses are in the same quantity.
    """

    epoch: int
    train_loss: float
    validation_loss: float | None
    learning_rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class FitResult:
    """The result of a run.

    ``seconds`` is the time of all epochs. ``earlier_seconds`` is the part of it before the run was
    continued.
    """

    history: tuple[HistoryRow, ...]
    best_epoch: int
    best_loss: float
    seconds: float
    earlier_seconds: float = 0.0


class Validation(NamedTuple):
    """``loss``: in the quantity of the training loss. ``choice``: its least value is kept."""

    loss: float
    choice: float


class TrainingProgress(Protocol):
    """Shows the progress of training. The loop calls it after every step and every epoch."""

    def on_step(self, step: int, total_steps: int, loss: float) -> None: ...

    def on_epoch(self, row: HistoryRow) -> None: ...


def write_history(path: Path, history: Sequence[HistoryRow]) -> None:
    """Write ``history`` to a CSV file with a header; a missing validation loss is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=[f.name for f in fields(HistoryRow)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)
