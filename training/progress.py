"""Progress of training and downloads: progress bars on a terminal, TensorBoard scalars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.text.escaping import one_line

if TYPE_CHECKING:
    # Only for types: a download must not import torch.
    from training.history import HistoryRow, TrainingProgress


@contextmanager
def training_progress(
    description: str, *, tensorboard_dir: Path | None = None
) -> Iterator[tuple[TrainingProgress, ...]]:
    """Give what shows the progress of a run, and close it at the end.

    It is a progress bar if standard error is a terminal, and TensorBoard scalars if
    ``tensorboard_dir`` is given.
    """
    progress: list[TrainingProgress] = []
    bar = None
    board = None
    if sys.stderr.isatty():
        bar = _Bar(description)
        progress.append(bar)
    if tensorboard_dir is not None:
        board = _Board(tensorboard_dir)
        progress.append(board)
    try:
        yield tuple(progress)
    finally:
        if bar is not None:
            bar.close()
        if board is not None:
            board.close()


@contextmanager
def download_bar(name: str, n_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """Give a function to call with the size of each part that was received, of ``n_bytes``.

    There is a bar only if standard error is a terminal. ``n_bytes`` is None for an unknown size.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - only on a terminal
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn  # noqa: PLC0415 - only on a terminal

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=n_bytes)
        yield lambda n: progress.advance(task, n)


class _Bar:
    def __init__(self, description: str) -> None:
        from rich.console import Console  # noqa: PLC0415 - only on a terminal
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - only on a terminal

        self._progress = Progress(
            # Without markup: a data set is named like its folder, and [/x] would be a tag.
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}% {task.fields[losses]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(one_line(description), total=None, losses="")
        self._progress.start()

    def on_step(self, step: int, total_steps: int, loss: float) -> None:
        del loss
        self._progress.update(self._task, completed=step, total=total_steps)

    def on_epoch(self, row: HistoryRow) -> None:
        validation = "" if row.validation_loss is None else f" validation {row.validation_loss:.4g}"
        self._progress.update(
            self._task, losses=f"epoch {row.epoch} loss {row.train_loss:.4g}{validation}"
        )

    def close(self) -> None:
        self._progress.stop()


class _Board:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - slow to import

        self._writer = SummaryWriter(log_dir=str(folder))

    def on_step(self, step: int, total_steps: int, loss: float) -> None:
        del step, total_steps, loss

    def on_epoch(self, row: HistoryRow) -> None:
        for name, value in asdict(row).items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name, value, row.epoch)

    def close(self) -> None:
        self._writer.close()
