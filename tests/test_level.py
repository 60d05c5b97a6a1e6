"""The level meter: decibels to set a gain by."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.audio.level import FLOOR_DBFS, LevelMeter
from monitor.domain import FloatArray


def sine(amplitude: float) -> FloatArray:
    t_s = np.arange(16_000) / 16_000
    return (amplitude * np.sin(2 * np.pi * 100 * t_s)).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "level_dbfs"),
    [
        (np.sign(sine(1.0) + np.float32(0.01)), 0.0),
        (sine(1.0), -3.01),
        (sine(0.1), -23.01),
        (np.zeros(1_000, np.float32), FLOOR_DBFS),
    ],
)
def test_levels_are_in_dbfs(samples: FloatArray, level_dbfs: float) -> None:
    """A gain would be set by wrong figures."""
    meter = LevelMeter()
    for piece in np.array_split(samples, 7):
        meter.push(piece)
    assert meter.read_dbfs() == pytest.approx(level_dbfs, abs=0.01)


def test_a_reading_starts_a_new_measurement() -> None:
    """Old sound would be part of the present level."""
    meter = LevelMeter()
    meter.push(sine(1.0))
    meter.read_dbfs()
    meter.push(sine(0.1))
    assert meter.read_dbfs() == pytest.approx(-23.01, abs=0.01)


def test_no_samples_and_invalid_samples_have_no_level() -> None:
    """A payload would contain NaN, which is not valid JSON."""
    meter = LevelMeter()
    assert meter.read_dbfs() is None
    meter.push(np.array([np.nan], np.float32))
    assert meter.read_dbfs() is None
