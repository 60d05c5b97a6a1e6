"""What the specifications of features have in common: values with a range, read from JSON."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

_Spec = TypeVar("_Spec")


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Raise ``ValueError`` with the name unless ``value`` is a whole number from low to high."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raise ``ValueError`` with the name unless ``value`` is a number from low to high."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, not {value!r}")


def spec_of(cls: type[_Spec], values: dict[str, Any]) -> _Spec:
    """A specification from JSON. Raises ``ValueError`` for an unknown or impossible value."""
    if not isinstance(values, dict):
        raise ValueError(f"must be an object with numbers, not {values!r:.40}")
    known = {field.name for field in fields(cls)}  # type: ignore[arg-type]  # a dataclass
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(
            f"unknown field {unknown[0]!r}, expected one of {', '.join(sorted(known))}"
        )
    return cls(**values)
