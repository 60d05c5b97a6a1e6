"""Arrays for intermediate results that all streams of the process use in turns.

New arrays for each call would take more time than the sums in them. Arrays for each stream would
take a megabyte for each machine, and would not be in the processor's cache.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Generic, ParamSpec, TypeVar

Shape = ParamSpec("Shape")
Arrays = TypeVar("Arrays")

_KEPT = 16


class Workspace(Generic[Arrays]):
    """Arrays that belong to one thread during a ``with`` block."""

    def __init__(self, arrays: Arrays) -> None:
        self._lock = threading.Lock()
        self._arrays = arrays

    def __enter__(self) -> Arrays:
        self._lock.acquire()
        return self._arrays

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()


def workspaces(make: Callable[Shape, Arrays]) -> Callable[Shape, Workspace[Arrays]]:
    """One workspace for each shape. ``make``: the arrays of a shape."""

    @lru_cache(maxsize=_KEPT)
    def of_shape(*args: Shape.args, **kwargs: Shape.kwargs) -> Workspace[Arrays]:
        return Workspace(make(*args, **kwargs))

    return of_shape  # type: ignore[return-value]  # mypy does not know that shapes are hashable
