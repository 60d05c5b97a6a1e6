"""The training loop: the same weights with and without an interruption."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from monitor.errors import AuscultError, BadInputError, UsageError
from training.device import resolve_device
from training.history import FitResult, HistoryRow, write_history
from training.images.batches import TensorBatches
from training.loop import LoopSettings, fit, learning_rate_at
from training.progress import training_progress

SETTINGS = LoopSettings(epochs=4, learning_rate=0.01)


def examples() -> Tensor:
    """Return 96 random rows."""
    return torch.randn(96, 6, generator=torch.Generator().manual_seed(3))


def network() -> nn.Module:
    """Return a small network with dropout, so that random numbers matter in training."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.Dropout(0.2), nn.Linear(12, 6))


def loss(module: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Return the mean squared error of reconstruction."""
    result: Tensor = (module(batch[0]) - batch[0]).square().mean()
    return result


class Interrupter:
    """Interrupts training after an epoch, like Control-C."""

    def __init__(self, after_epoch: int) -> None:
        self.after_epoch = after_epoch

    def on_step(self, step: int, total_steps: int, loss: float) -> None:
        """Do nothing."""

    def on_epoch(self, row: HistoryRow) -> None:
        """Interrupt after the chosen epoch."""
        if row.epoch == self.after_epoch:
            raise KeyboardInterrupt


def run(
    module: nn.Module,
    checkpoint: Path | None = None,
    settings: LoopSettings = SETTINGS,
    after_epoch: int = 0,
    *,
    keep_checkpoint: bool = False,
) -> FitResult:
    """Train ``module`` on the examples."""
    return fit(
        module,
        TensorBatches(examples(), batch_size=32),
        loss,
        settings,
        validate=lambda m: float(loss(m, (examples(),))),
        checkpoint=checkpoint,
        keep_checkpoint=keep_checkpoint,
        progress=[Interrupter(after_epoch)],
    )


def weights(module: nn.Module) -> Tensor:
    """Return all weights as one row."""
    return torch.cat([tensor.flatten().float() for tensor in module.state_dict().values()])


def test_one_seed_gives_one_result() -> None:
    """Two runs of the same command would give different models."""
    first, second = network(), network()
    run(first)
    torch.rand(100)
    run(second)
    assert torch.equal(weights(first), weights(second))


@pytest.mark.parametrize("after_epoch", [1, 3])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, after_epoch: int
) -> None:
    """An interruption would change the model, or lose finished epochs."""
    whole, broken = network(), network()
    expected = run(whole)
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(broken, checkpoint, after_epoch=after_epoch)
    fresh = network()
    result = run(fresh, checkpoint)
    assert torch.equal(weights(whole), weights(fresh))
    assert [row.train_loss for row in result.history] == [
        row.train_loss for row in expected.history
    ]
    assert not checkpoint.exists()


def test_a_kept_checkpoint_of_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    """An interruption after training would lose the training."""
    whole, again = network(), network()
    checkpoint = tmp_path / "checkpoint.safetensors"
    first = run(whole, checkpoint, keep_checkpoint=True)
    second = run(again, checkpoint)
    assert torch.equal(weights(whole), weights(again))
    assert second.history == first.history
    assert second.earlier_seconds == first.seconds > first.earlier_seconds == 0
    assert not checkpoint.exists()


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    """A run would continue from weights that were trained with other settings."""
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(network(), checkpoint, after_epoch=1)
    with pytest.raises(UsageError, match="learning_rate"):
        run(network(), checkpoint, LoopSettings(epochs=4, learning_rate=0.02))
    checkpoint.write_bytes(b"not a checkpoint")
    with pytest.raises(BadInputError, match="not a checkpoint"):
        run(network(), checkpoint)


def test_the_best_weights_are_kept_and_patience_ends_the_run() -> None:
    """The weights of the last epoch would be kept, although an earlier epoch was better."""
    values = iter([3.0, 1.0, 2.0, 2.5, 0.5])
    seen: list[Tensor] = []

    def validate(module: nn.Module) -> float:
        seen.append(weights(module))
        return next(values)

    module = network()
    batches = TensorBatches(examples(), batch_size=32)
    settings = LoopSettings(epochs=5, learning_rate=0.01, patience_epochs=2)
    result = fit(module, batches, loss, settings, validate=validate)
    assert (result.best_epoch, len(result.history)) == (2, 4)
    assert torch.equal(weights(module), seen[1])
    assert not module.training


def test_a_loss_that_is_not_finite_stops_training() -> None:
    """A model of NaN values would be saved."""
    batches = TensorBatches(examples(), batch_size=32)
    with pytest.raises(AuscultError, match="diverged"):
        fit(network(), batches, lambda m, b: loss(m, b) * math.nan, SETTINGS)


def test_batches_of_an_epoch_are_a_permutation() -> None:
    """Examples would be left out or repeated, or every epoch would have the same order."""
    batches = TensorBatches(torch.arange(64), batch_size=16, seed=1)
    first, again, second = (
        torch.cat([rows for (rows,) in batches.epoch(epoch)]) for epoch in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, torch.arange(64))


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_a_schedule_never_exceeds_its_peak_and_ends_low(schedule: str) -> None:
    """Training would start with too large steps or not converge."""
    rates = [
        learning_rate_at(step, total_steps=100, peak=1.0, schedule=schedule)  # type: ignore[arg-type]  # both are schedules
        for step in range(100)
    ]
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[-1] < 0.01
    assert (rates[0] < 0.1) == (schedule == "one_cycle")


def test_history_is_a_csv_table(tmp_path: Path) -> None:
    """A spreadsheet could not read the history."""
    rows = [HistoryRow(1, 2.0, None, 0.1, 0.5), HistoryRow(2, 1.0, 0.5, 0.1, 0.5)]
    write_history(tmp_path / "history.csv", rows)
    with (tmp_path / "history.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [row["validation_loss"] for row in read] == ["", "0.5"]


def test_no_progress_bar_without_a_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A log file would contain the control characters of a progress bar."""
    with training_progress("training", tensorboard_dir=tmp_path) as progress:
        for each in progress:
            each.on_step(1, 2, 0.5)
            each.on_epoch(HistoryRow(1, 2.0, 1.0, 0.1, 0.5))
    assert capsys.readouterr().err == ""
    assert list(tmp_path.glob("events.*"))


def test_an_unknown_device_is_refused() -> None:
    """A misspelt device would end in a traceback."""
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(UsageError, match="abacus"):
        resolve_device("abacus")
