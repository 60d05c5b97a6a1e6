"""Whether ``[machine.operation]`` fits the bundle of the machine."""

from __future__ import annotations

from monitor.detection.settings import OperationSettings
from monitor.errors import BundleError
from monitor.model.bundle import Bundle
from monitor.model.operation import OperatingState

_NEED_OFF = (
    *("alert_when_off_s", "most_starts_per_h"),
    *("least_running_share", "most_running_share"),
)
"""Settings without an effect if nothing shows whether the machine runs."""


def check_operation(settings: OperationSettings, bundle: Bundle) -> None:
    """Raises ``BundleError`` if a setting would have no effect, or the machine would never run."""
    operation = bundle.manifest.operation
    if operation is None:
        _check_without_states(settings)
        return
    if settings.off_states is not None:
        _check_off_states(settings.off_states, [state.name for state in operation.states])
    if settings.off_below_db is not None and not settings.topic:
        names = settings.off_states
        running = [
            s for s in operation.states if not (s.is_off if names is None else s.name in names)
        ]
        _check_off_below(settings.off_below_db, running)


def _check_without_states(settings: OperationSettings) -> None:
    if settings.off_states is not None:
        raise BundleError(
            "[machine.operation] off_states: the bundle has no operating states: train it again"
        )
    is_known = settings.topic or settings.off_below_db is not None
    useless = [name for name in _NEED_OFF if getattr(settings, name) is not None]
    if useless and not is_known:
        raise BundleError(
            f"[machine.operation] {useless[0]}: nothing shows whether the machine runs, because "
            "the bundle has no operating states: train it again, or set topic or off_below_db"
        )


def _check_off_states(names: tuple[str, ...], known: list[str]) -> None:
    listed = ", ".join(known)
    for name in names:
        if name not in known:
            raise BundleError(
                f'[machine.operation] off_states: the bundle has no state "{name}"; it has {listed}'
            )
    if set(known) <= set(names):
        raise BundleError(
            "[machine.operation] off_states: the machine would be off in all states; leave out "
            f"one of {listed}"
        )


def _check_off_below(limit_db: float, running: list[OperatingState]) -> None:
    loudest = max(running, key=lambda state: state.level_db)
    if limit_db > loudest.level_db:
        raise BundleError(
            f"[machine.operation] off_below_db: the machine would always be off; it runs at "
            f"{loudest.level_db:.0f} dB (state {loudest.name}): set a lower value"
        )
