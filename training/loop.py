"""The one training loop, for images and for sound alike.

It knows batches, a loss and a score to keep the best weights by; what they mean is the caller's.
Every epoch starts from random numbers that depend on (seed, epoch) only, and the learning rate on
the step only, so a run resumed after an interruption ends with the weights of one never
interrupted.
"""

from __future__ import annotations

import csv
import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from monitor.errors import AuscultError, UsageError
from training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    module_tensors,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from training.schedule import Schedule, learning_rate_at

logger = logging.getLogger(__name__)

BatchT = TypeVar("BatchT")
BatchT_co = TypeVar("BatchT_co", covariant=True)
CHECKPOINT_NAME = "checkpoint.safetensors"


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How to train: ``epochs`` passes of AdamW under a learning-rate ``schedule``.

    ``patience_epochs`` stops after so many epochs without a better validation loss (None: never);
    ``gradient_norm`` clips the gradient's norm (None: not).
    """

    epochs: int
    learning_rate: float = 2e-3
    schedule: Schedule = "one_cycle"
    warmup_fraction: float = 0.25
    weight_decay: float = 0.0
    patience_epochs: int | None = None
    gradient_norm: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise UsageError(f"epochs is {self.epochs}; at least 1 is needed")
        if not self.learning_rate > 0:
            raise UsageError(f"learning rate is {self.learning_rate}; it must be positive")


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One finished epoch (counted from 1). ``validation_loss`` is None where none is computed."""

    epoch: int
    train_loss: float
    validation_loss: float | None
    learning_rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class FitResult:
    """``seconds`` counts the epochs of every leg of a resumed run, ``earlier_seconds`` those of the
    legs before this one.
    """

    history: tuple[HistoryRow, ...]
    best_epoch: int
    best_loss: float
    seconds: float
    earlier_seconds: float = 0.0


class Batches(Protocol[BatchT_co]):
    """A training set in batches; ``len`` is the number of batches an epoch."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int) -> Iterable[BatchT_co]:
        """Yield the batches of epoch ``epoch`` (0-based), the same ones at every call."""


class TrainingProgress(Protocol):
    """Told how training goes: a progress bar, TensorBoard. Called after every step and epoch."""

    def on_step(self, step: int, total_steps: int, loss: float) -> None: ...

    def on_epoch(self, row: HistoryRow) -> None: ...


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device ``name``; ``auto`` is an accelerator where there is one, else the CPU.

    Raises UsageError for a name that torch does not know or a device that is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"device {name!r} is not available; auto, cpu, cuda or mps") from error
    return device


def seed_everything(*numbers: int) -> None:
    """Seed Python's, numpy's and torch's generators from any sequence of non-negative integers."""
    words = np.random.SeedSequence(numbers).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]))


@dataclass(slots=True)
class _Run:
    """What changes from epoch to epoch."""

    history: list[HistoryRow] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    def finish_epoch(self, row: HistoryRow, module: nn.Module) -> None:
        loss = row.train_loss if row.validation_loss is None else row.validation_loss
        self.history.append(row)
        self.seconds += row.seconds
        if loss < self.best_loss or not self.best_weights:
            self.best_epoch, self.best_loss = row.epoch, loss
            self.best_weights = module_tensors(module)


def fit(
    module: nn.Module,
    batches: Batches[BatchT],
    loss: Callable[[nn.Module, BatchT], Tensor],
    settings: LoopSettings,
    *,
    validate: Callable[[nn.Module], float] | None = None,
    checkpoint: Path | None = None,
    keep_checkpoint: bool = False,
    identity: dict[str, Any] | None = None,
    progress: Sequence[TrainingProgress] = (),
) -> FitResult:
    """Train ``module`` in place and leave it in eval mode with the weights of its best epoch.

    ``loss(module, batch)`` is a scalar to minimise; ``validate(module)``, called in eval mode and
    without gradients, is what the best epoch is chosen by (without it, the training loss). The
    caller puts module and batches on one device.

    With ``checkpoint`` the run's state is kept there after every epoch and removed at the end,
    unless ``keep_checkpoint`` leaves that to a caller who has more to do. If the file is there at
    the start the run goes on from it. ``identity`` is JSON that tells this run from others, beside
    the settings.

    Raises UsageError if the checkpoint is another run's, AuscultError if the loss is not finite.
    """
    run_identity = {**(identity or {}), **asdict(settings)}
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    run = _resume(module, optimizer, checkpoint, run_identity)
    earlier_seconds = run.seconds
    while len(run.history) < settings.epochs and not _out_of_patience(run, settings):
        epoch = len(run.history)
        started = time.monotonic()
        seed_everything(settings.seed, epoch)
        train_loss, rate = _train_epoch(
            module, batches, loss, optimizer, settings, epoch=epoch, progress=progress
        )
        row = HistoryRow(
            epoch=epoch + 1,
            train_loss=train_loss,
            validation_loss=None if validate is None else _validation_loss(module, validate),
            learning_rate=rate,
            seconds=time.monotonic() - started,
        )
        run.finish_epoch(row, module)
        if checkpoint is not None:
            _save(checkpoint, run, module, optimizer, run_identity)
        for each in progress:
            each.on_epoch(row)
    module.load_state_dict(run.best_weights)
    module.eval()
    if checkpoint is not None and not keep_checkpoint:
        checkpoint.unlink(missing_ok=True)
    return FitResult(
        tuple(run.history), run.best_epoch, run.best_loss, run.seconds, earlier_seconds
    )


def write_history(path: Path, history: Sequence[HistoryRow]) -> None:
    """Write ``history`` to a CSV file with a header; an absent validation loss is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=[f.name for f in fields(HistoryRow)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)


def _train_epoch(
    module: nn.Module,
    batches: Batches[BatchT],
    loss: Callable[[nn.Module, BatchT], Tensor],
    optimizer: torch.optim.Optimizer,
    settings: LoopSettings,
    *,
    epoch: int,
    progress: Sequence[TrainingProgress],
) -> tuple[float, float]:
    """Take one epoch's steps; return the mean loss of its batches and its last learning rate."""
    steps, total = len(batches), len(batches) * settings.epochs
    losses: list[float] = []
    rate = settings.learning_rate
    module.train()
    for step, batch in enumerate(batches.epoch(epoch), start=epoch * steps):
        rate = learning_rate_at(
            step,
            total_steps=total,
            peak=settings.learning_rate,
            schedule=settings.schedule,
            warmup_fraction=settings.warmup_fraction,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        value = loss(module, batch)
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves this one unannotated
        if settings.gradient_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), settings.gradient_norm)
        optimizer.step()
        losses.append(value.item())
        if not math.isfinite(losses[-1]):
            raise AuscultError(
                f"training diverged: loss {losses[-1]} in epoch {epoch + 1}; "
                f"lower the learning rate (now {settings.learning_rate:g})"
            )
        for each in progress:
            each.on_step(step + 1, total, losses[-1])
    if not losses:
        raise UsageError("no batch to train on: fewer training examples than one batch")
    return float(np.mean(losses)), rate


def _validation_loss(module: nn.Module, validate: Callable[[nn.Module], float]) -> float:
    module.eval()
    with torch.no_grad():
        return float(validate(module))


def _out_of_patience(run: _Run, settings: LoopSettings) -> bool:
    patience = settings.patience_epochs
    return patience is not None and len(run.history) - run.best_epoch >= patience


def _resume(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    path: Path | None,
    identity: dict[str, Any],
) -> _Run:
    found = None if path is None else load_checkpoint(path, identity)
    if found is None:
        return _Run()
    module.load_state_dict(dict(found.weights))
    restore_optimizer(optimizer, found.optimizer)
    run = _Run(
        history=[HistoryRow(**row) for row in found.state["history"]],
        best_epoch=found.state["best_epoch"],
        best_loss=found.state["best_loss"],
        best_weights=dict(found.best_weights),
    )
    run.seconds = sum(row.seconds for row in run.history)
    logger.info("%s: going on after epoch %d", path, len(run.history))
    return run


def _save(
    path: Path,
    run: _Run,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: dict[str, Any],
) -> None:
    state = {
        "history": [asdict(row) for row in run.history],
        "best_epoch": run.best_epoch,
        "best_loss": run.best_loss,
    }
    tensors = optimizer_tensors(optimizer)
    save_checkpoint(
        path, Checkpoint(identity, state, module_tensors(module), run.best_weights, tensors)
    )
