"""What one machine gives to the history."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from monitor.clock import SYSTEM_CLOCK, Clock
from monitor.detection.operation import OperationChange, OperationStatus
from monitor.detection.thresholds import Thresholds
from monitor.domain import MachineWarning, SourceState
from monitor.history.recorder import MinuteRecorder, PutMinute
from monitor.history.tally import Tally
from monitor.model.bundle import Bundle


class AddEvent(Protocol):
    """Adds an event to the history, as ``HistoryFeed.event``."""

    def __call__(
        self,
        kind: str,
        machine: str,
        *,
        unix_s: float | None = None,
        value: str = "",
        payload: Mapping[str, Any] | None = None,
    ) -> None: ...


def _no_minute(_machine: str, _minute: int, _tally: Tally) -> None:
    """Without a history."""


class _NoEvent:
    """Without a history."""

    def __call__(self, kind: str, machine: str, **values: Any) -> None:
        """Ignore an event."""


_NO_EVENT = _NoEvent()


class MachineHistory:
    """The minutes and events of one machine. Every method may be called from any thread.

    ``unix_s``: when something happened by the recording; None for now.
    """

    def __init__(
        self,
        name: str,
        put: PutMinute = _no_minute,
        add: AddEvent = _NO_EVENT,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.name = name
        self._add = add
        self._clock = clock
        self._minutes = MinuteRecorder(name, put)

    def received(
        self,
        end_unix_s: float,
        seconds: float,
        *,
        scored: bool,
        operation: OperationStatus | None,
        energy: float,
        n_samples: int,
        missing_s: float,
    ) -> None:
        """Sound was processed: as ``MinuteRecorder.received``."""
        self._minutes.received(
            end_unix_s,
            seconds,
            self._clock.steady_s(),
            scored=scored,
            operation=operation.value if operation is not None else None,
            energy=energy,
            n_samples=n_samples,
            missing_s=missing_s,
        )

    def score(self, ratio: float) -> None:
        """A score of the newest sound, divided by the threshold."""
        self._minutes.score(ratio)

    def absent(self) -> None:
        """From now on nothing arrives."""
        self._minutes.absent(self._clock.steady_s())

    def begin(self, state: SourceState) -> None:
        """The state of a machine that starts."""
        self._minutes.show(state.status.value)

    def state(self, state: SourceState, unix_s: float | None) -> None:
        """The state has changed."""
        self._minutes.show(state.status.value)
        payload: dict[str, Any] = {"reason": state.reason, "detail": state.detail}
        self._add(
            "state",
            self.name,
            unix_s=unix_s,
            value=state.status.value,
            payload=payload if state.reason or state.detail else None,
        )

    def operation(self, change: OperationChange, unix_s: float | None) -> None:
        """The machine has started or stopped."""
        self._add("operation", self.name, unix_s=unix_s, value=change.status.value)

    def warnings(
        self, began: Sequence[MachineWarning], ended: Collection[str], unix_s: float | None
    ) -> None:
        """Warnings have begun or ended."""
        for one in began:
            payload: dict[str, Any] = {"is_on": True, "detail": one.detail}
            self._add("warning", self.name, unix_s=unix_s, value=one.name, payload=payload)
        for name in sorted(ended):
            self._add("warning", self.name, unix_s=unix_s, value=name, payload={"is_on": False})

    def bundle(self, bundle: Bundle | None, thresholds: Thresholds | None) -> None:
        """By what the machine is judged from now on."""
        if bundle is None or thresholds is None:
            return
        payload: dict[str, Any] = {
            "threshold": thresholds.alarm,
            "warning_threshold": thresholds.warning,
            "false_alarms_per_week": thresholds.alarm_per_week,
        }
        self._add("bundle", self.name, value=bundle.sha256, payload=payload)

    def turn(self) -> None:
        """Count an absence until now."""
        self._minutes.turn(self._clock.steady_s(), self._clock.unix_s())

    def flush(self) -> None:
        """Give on what is not complete."""
        self._minutes.flush()
