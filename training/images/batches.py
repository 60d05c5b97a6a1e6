"""Batches of tensors that fit in memory, shuffled by (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from monitor.errors import UsageError


class TensorBatches:
    """Rows of tensors of equal length, in batches of ``batch_size`` rows.

    Rows that do not fill the last batch are left out, because batch statistics of a few rows are
    noise. With fewer rows than ``batch_size`` there is one batch of all rows.
    """

    def __init__(self, *tensors: Tensor, batch_size: int, seed: int = 0) -> None:
        if not tensors or len({len(tensor) for tensor in tensors}) != 1 or len(tensors[0]) == 0:
            raise UsageError("training needs at least one example, and a target for each")
        self._tensors = tensors
        self._batch_size = min(batch_size, len(tensors[0]))
        self._seed = seed

    def __len__(self) -> int:
        return len(self._tensors[0]) // self._batch_size

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield a tuple of ``(batch_size, ...)`` tensors for each batch of epoch ``epoch``."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        order = torch.randperm(len(self._tensors[0]), generator=generator)
        for start in range(0, len(self) * self._batch_size, self._batch_size):
            rows = order[start : start + self._batch_size].to(self._tensors[0].device)
            yield tuple(tensor[rows] for tensor in self._tensors)
