"""The training loop, for images and for sound.

The caller gives batches, a loss and a validation loss. The random numbers of an epoch depend on
(seed, epoch) only, and the learning rate on the step only. A run that was interrupted and continued
therefore ends with the same weights as an uninterrupted one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from monitor.errors import AuscultError, UsageError
from training.device import seed_everything
from training.history import FitResult, HistoryRow, TrainingProgress, Validation
from training.run_state import RunState, resume, save

BatchT = TypeVar("BatchT")
BatchT_co = TypeVar("BatchT_co", covariant=True)
CHECKPOINT_NAME = "checkpoint.safetensors"
Schedule = Literal["one_cycle", "cosine", "constant"]

_START_FRACTION = 0.04
_END_FRACTION = 1e-3


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


class PartialLoss(NamedTuple):
    """``total`` is minimised. ``reported`` is the part of it that is also validated."""

    total: Tensor
    reported: Tensor


class _TrainedEpoch(NamedTuple):
    """The means of the batches of an epoch, and its last learning rate."""

    total: float
    loss: float
    learning_rate: float


class Batches(Protocol[BatchT_co]):
    """A training set in batches; ``len`` is the number of batches in an epoch."""

    def __len__(self) -> int: ...

    def epoch(self, epoch: int) -> Iterable[BatchT_co]:
        """Yield the batches of epoch ``epoch`` (from 0), the same ones at every call."""


def fit(
    module: nn.Module,
    batches: Batches[BatchT],
    loss: Callable[[nn.Module, BatchT], Tensor | PartialLoss],
    settings: LoopSettings,
    *,
    validate: Callable[[nn.Module], float | Validation] | None = None,
    checkpoint: Path | None = None,
    keep_checkpoint: bool = False,
    identity: dict[str, Any] | None = None,
    progress: Sequence[TrainingProgress] = (),
) -> FitResult:
    """Train ``module`` in place; afterwards it has the weights of the best epoch, in eval mode.

    ``loss(module, batch)`` is a scalar to minimise. ``validate(module)`` is called in eval mode and
    without gradients; the best epoch has its smallest value (without it, the smallest training
    loss). It must be in the quantity of the training loss; where another value chooses the epoch,
    it is a ``Validation``. Module and batches must be on one device.

    With ``checkpoint``, the state of the run is written there after every epoch, and the run
    continues from an existing file. At the end the file is removed, unless ``keep_checkpoint`` is
    set. ``identity`` is JSON that identifies the run, in addition to the settings.

    Raises UsageError for a checkpoint of another run, AuscultError if the loss is not finite.
    """
    run_identity = {**(identity or {}), **asdict(settings)}
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    run = resume(module, optimizer, checkpoint, run_identity)
    earlier_seconds = run.seconds
    while len(run.history) < settings.epochs and not _out_of_patience(run, settings):
        epoch = len(run.history)
        started = time.monotonic()
        seed_everything(settings.seed, epoch)
        trained = _train_epoch(
            module, batches, loss, optimizer, settings, epoch=epoch, progress=progress
        )
        validation = None if validate is None else _validation(module, validate)
        row = HistoryRow(
            epoch=epoch + 1,
            train_loss=trained.loss,
            validation_loss=None if validation is None else validation.loss,
            learning_rate=trained.learning_rate,
            seconds=time.monotonic() - started,
        )
        run.finish_epoch(row, module, trained.total if validation is None else validation.choice)
        if checkpoint is not None:
            save(checkpoint, run, module, optimizer, run_identity)
        for each in progress:
            each.on_epoch(row)
    module.load_state_dict(run.best_weights)
    module.eval()
    if checkpoint is not None and not keep_checkpoint:
        checkpoint.unlink(missing_ok=True)
    return FitResult(
        tuple(run.history), run.best_epoch, run.best_loss, run.seconds, earlier_seconds
    )


def _train_epoch(
    module: nn.Module,
    batches: Batches[BatchT],
    loss: Callable[[nn.Module, BatchT], Tensor | PartialLoss],
    optimizer: torch.optim.Optimizer,
    settings: LoopSettings,
    *,
    epoch: int,
    progress: Sequence[TrainingProgress],
) -> _TrainedEpoch:
    """Train for one epoch."""
    steps, total = len(batches), len(batches) * settings.epochs
    losses: list[float] = []
    shown: list[float] = []
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
        found = loss(module, batch)
        value, reported = found if isinstance(found, PartialLoss) else (found, found)
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves this one unannotated
        if settings.gradient_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), settings.gradient_norm)
        optimizer.step()
        losses.append(value.item())
        shown.append(reported.item())
        if not math.isfinite(losses[-1]):
            raise AuscultError(
                f"training diverged: the loss is {losses[-1]} in epoch {epoch + 1}; "
                f"lower the learning rate (now {settings.learning_rate:g})"
            )
        for each in progress:
            each.on_step(step + 1, total, losses[-1])
    if not losses:
        raise UsageError("nothing to train on: there are fewer examples than one batch needs")
    return _TrainedEpoch(float(np.mean(losses)), float(np.mean(shown)), rate)


def _validation(
    module: nn.Module, validate: Callable[[nn.Module], float | Validation]
) -> Validation:
    module.eval()
    with torch.no_grad():
        found = validate(module)
    return found if isinstance(found, Validation) else Validation(float(found), float(found))


def _out_of_patience(run: RunState, settings: LoopSettings) -> bool:
    patience = settings.patience_epochs
    return patience is not None and len(run.history) - run.best_epoch >= patience


def learning_rate_at(
    step: int,
    *,
    total_steps: int,
    peak: float,
    schedule: Schedule = "one_cycle",
    warmup_fraction: float = 0.25,
) -> float:
    """Return the learning rate of optimiser step ``step`` (0-based) out of ``total_steps``.

    ``one_cycle`` rises along a half cosine for ``warmup_fraction`` of the steps and falls along
    another nearly to zero (Smith & Topin 2018). ``cosine`` only falls. ``constant`` is ``peak``.
    """
    if schedule == "constant":
        return peak
    warmup_steps = warmup_fraction * total_steps if schedule == "one_cycle" else 0.0
    if step < warmup_steps:
        return _half_cosine(_START_FRACTION * peak, peak, step / warmup_steps)
    return _half_cosine(
        peak, _END_FRACTION * peak, (step - warmup_steps) / max(total_steps - warmup_steps, 1.0)
    )


def _half_cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(fraction, 1.0)))
