"""The training loop, for images and for sound.

The caller gives batches, a loss and a validation loss. The random numbers of an epoch depend on
(seed, epoch) only, and the learning rate on the step only. A run that was interrupted and continued
therefore ends with the same weights as an uninterrupted one.
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
    """Settings of a run: ``epochs`` passes of AdamW with a learning-rate ``schedule``.

    After ``patience_epochs`` epochs without a smaller validation loss the run stops (None: never).
    ``gradient_norm`` is the largest norm of the gradient (None: no limit).
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
    """One epoch, counted from 1. ``validation_loss`` is None if it is not computed."""

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


class Batches(Protocol[BatchT_co]):
    """A training set in batches; ``len`` is the number of batches in an epoch."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int) -> Iterable[BatchT_co]:
        """Yield the batches of epoch ``epoch`` (from 0), the same ones at every call."""


class TrainingProgress(Protocol):
    """Shows the progress of training. The loop calls it after every step and every epoch."""

    def on_step(self, step: int, total_steps: int, loss: float) -> None: ...

    def on_epoch(self, row: HistoryRow) -> None: ...


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device ``name``; ``auto`` is an accelerator if there is one, otherwise the CPU.

    Raises UsageError for an unknown name or a device that is not available.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"device {name!r} is not available; use auto, cpu, cuda or mps") from error
    return device


def seed_everything(*numbers: int) -> None:
    """Seed Python's, numpy's and torch's generators from any sequence of non-negative integers."""
    words = np.random.SeedSequence(numbers).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]))


@dataclass(slots=True)
class _Run:
    """The state of a run, which changes in each epoch."""

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
    """Train ``module`` in place; afterwards it has the weights of the best epoch, in eval mode.

    ``loss(module, batch)`` is a scalar to minimise. ``validate(module)`` is called in eval mode and
    without gradients; the best epoch has its smallest value (without it, the smallest training
    loss). Module and batches must be on one device.

    With ``checkpoint``, the state of the run is written there after every epoch, and the run
    continues from an existing file. At the end the file is removed, unless ``keep_checkpoint`` is
    set. ``identity`` is JSON that identifies the run, in addition to the settings.

    Raises UsageError for a checkpoint of another run, AuscultError if the loss is not finite.
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
    """Write ``history`` to a CSV file with a header; a missing validation loss is an empty cell."""
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
    """Train for one epoch; return the mean loss of its batches and the last learning rate."""
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
                f"training diverged: the loss is {losses[-1]} in epoch {epoch + 1}; "
                f"lower the learning rate (now {settings.learning_rate:g})"
            )
        for each in progress:
            each.on_step(step + 1, total, losses[-1])
    if not losses:
        raise UsageError("nothing to train on: there are fewer examples than one batch needs")
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
    logger.info("%s: continuing after epoch %d", path, len(run.history))
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
