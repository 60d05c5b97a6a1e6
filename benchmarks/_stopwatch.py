"""The processor time of single functions within a run, without that of the ones they call."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_CALIBRATION_CALLS = 5_000


class Stopwatch:
    """Adds up the processor time of this thread by the names that functions are measured under.

    ``own_s``: of each name, without the time in functions that are measured under another one,
    and without what the measurement itself takes.
    """

    def __init__(self) -> None:
        self.own_s: defaultdict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since_s = 0.0
        self._inside_s = self._outside_s = 0.0
        self._calibrate()

    def restart(self) -> None:
        """Forget all times."""
        self.own_s.clear()

    def measure(self, place: str, name: str) -> None:
        """Measure a function from now on; of a generator, the time until each of its values.

        ``place``: ``module:function`` or ``module:Class.method``.
        """
        module_name, _, path = place.partition(":")
        holder: Any = importlib.import_module(module_name)
        *outer, attribute = path.split(".")
        for one in outer:
            holder = getattr(holder, one)
        function = inspect.getattr_static(holder, attribute)
        measured = self._measured(function, name)
        setattr(holder, attribute, measured)
        for module in list(sys.modules.values()):
            if not outer and getattr(module, attribute, None) is function:
                setattr(module, attribute, measured)

    def _measured(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def values(*args: Any, **kwargs: Any) -> Iterator[Any]:
                generator = function(*args, **kwargs)
                while True:
                    try:
                        with self._time_of(name):
                            value = next(generator)
                    except StopIteration:
                        return
                    yield value

            return values

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._time_of(name):
                return function(*args, **kwargs)

        return call

    @contextmanager
    def _time_of(self, name: str) -> Iterator[None]:
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()
            self.own_s[name] -= self._inside_s
            if self._running:
                self.own_s[self._running[-1]] -= self._outside_s

    def _switch(self) -> None:
        now_s = time.thread_time()
        if self._running:
            self.own_s[self._running[-1]] += now_s - self._since_s
        self._since_s = now_s

    def _calibrate(self) -> None:
        """How much of the measurement of a call falls on the function, and on its caller."""
        nothing = self._measured(lambda: None, "inner")
        outer = self._measured(lambda: [nothing() for _ in range(_CALIBRATION_CALLS)], "outer")
        outer()
        self.restart()
        outer()
        inside_s = self.own_s["inner"] / _CALIBRATION_CALLS
        outside_s = self.own_s["outer"] / _CALIBRATION_CALLS
        self._inside_s, self._outside_s = inside_s, outside_s
        self.restart()
