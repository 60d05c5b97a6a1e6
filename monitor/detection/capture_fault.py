"""A fault of the recording chain, from the first window that shows it to the end."""

from __future__ import annotations

from typing import Generic, TypeVar

_T = TypeVar("_T")
_GOOD_WINDOWS = 4


class CaptureFault(Generic[_T]):
    """The value of a fault, such as the frequency of a filter; None without one.

    It ends after four good windows in a row. State: the value, and how many windows since were
    good.
    """

    def __init__(self) -> None:
        self.value: _T | None = None
        self._n_good = 0

    def bad(self, value: _T | None = None) -> None:
        """A window that is not good. ``value``: the new one; None changes nothing."""
        self._n_good = 0
        if value is not None:
            self.value = value

    def good(self) -> None:
        """A window without the fault."""
        self._n_good += 1
        if self._n_good >= _GOOD_WINDOWS:
            self.value = None
