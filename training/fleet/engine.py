"""What every engine does: tasks to results, in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from training.fleet.tasks import Result, Task

THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""The environment of every worker: one thread, so that workers do not wait for each other, and so
that sums have one order."""
ATTEMPTS = 3
"""A task whose worker ends is given to another one, so often in all."""


class Engine(Protocol):
    """Does tasks on several workers."""

    def results(self, tasks: Sequence[Task]) -> Iterator[Result]:
        """The result of every task, in the order in which they end.

        A worker that ends costs the task in flight, which is begun again.
        """

    def close(self) -> None:
        """End the workers."""
