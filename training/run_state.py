"""The state of a training run, which a checkpoint keeps between two epochs."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monitor.errors import BadInputError
from training.checkpoint import (
    DAMAGED,
    START_AGAIN,
    Checkpoint,
    load_checkpoint,
    module_tensors,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from training.history import HistoryRow

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class RunState:
    """The state of a run, which changes in each epoch."""

    history: list[HistoryRow] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    def finish_epoch(self, row: HistoryRow, module: nn.Module, choice: float) -> None:
        """Add an epoch, and keep the weights if ``choice`` is the smallest so far."""
        self.history.append(row)
        self.seconds += row.seconds
        if choice < self.best_loss or not self.best_weights:
            self.best_epoch, self.best_loss = row.epoch, choice
            self.best_weights = module_tensors(module)


def resume(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    path: Path | None,
    identity: dict[str, Any],
) -> RunState:
    """The state in the checkpoint at ``path``, restored into both; a new one without a file."""
    found = None if path is None else load_checkpoint(path, identity)
    if found is None:
        return RunState()
    try:
        module.load_state_dict(dict(found.best_weights))
        module.load_state_dict(dict(found.weights))
        restore_optimizer(optimizer, found.optimizer)
        run = RunState(
            history=[HistoryRow(**row) for row in found.state["history"]],
            best_epoch=found.state["best_epoch"],
            best_loss=found.state["best_loss"],
            best_weights=dict(found.best_weights),
        )
        run.seconds = sum(row.seconds for row in run.history)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise BadInputError(f"{path}: {DAMAGED} ({reason}); {START_AGAIN}") from error
    logger.info("resuming from epoch %d of %s", len(run.history), path)
    return run


def save(
    path: Path,
    run: RunState,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: dict[str, Any],
) -> None:
    """Write the checkpoint of a run after an epoch."""
    state = {
        "history": [asdict(row) for row in run.history],
        "best_epoch": run.best_epoch,
        "best_loss": run.best_loss,
    }
    tensors = optimizer_tensors(optimizer)
    save_checkpoint(
        path, Checkpoint(identity, state, module_tensors(module), run.best_weights, tensors)
    )
