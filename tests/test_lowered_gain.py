"""A gain that was lowered so far that the machine counts as off is named, and a stop is not."""

from __future__ import annotations

import numpy as np
import pytest

from monitor.detection.operation import OperationStatus
from monitor.detection.settings import OperationSettings
from monitor.domain import AudioBlock, FloatArray
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.pipeline import Pipeline
from tests.sounds import output_of
from tests.stopping_machine import (
    OFF_OR_NOT,
    RATE_HZ,
    bundle_of,
    bundle_with_operation,
    room_sound,
    running,
    stream,
)


def quieter(samples: FloatArray, by_db: float) -> FloatArray:
    return samples * np.float32(10.0 ** (-by_db / 20.0))


def details(pipeline: Pipeline) -> list[str]:
    return [warning.detail for warning in pipeline.warnings if warning.name == "level_shift"]


@pytest.fixture(scope="module", params=OFF_OR_NOT)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(tmp_path_factory.mktemp("gain"), request.param)


@pytest.mark.parametrize("by_db", [30.0, 40.0])
def test_a_gain_that_was_lowered_very_far_is_named(bundle: Bundle, by_db: float) -> None:
    """Nobody notices for weeks that a machine is not monitored."""
    pipeline = Pipeline(bundle)
    output_of(pipeline, stream(running(10), quieter(running(25, 3), by_db)), [])
    assert pipeline.operation is OperationStatus.OFF
    (detail,) = details(pipeline)
    assert f"{by_db:.0f} dB quieter" in detail
    assert "gain of the microphone" in detail


def test_the_warning_ends_with_the_gain(bundle: Bundle) -> None:
    """The warning of a corrected gain stays until the next restart."""
    pipeline, shown = Pipeline(bundle), []
    sound = stream(quieter(running(25, 3), 40.0), running(15, 4))
    for first in range(0, len(sound), RATE_HZ):
        pipeline.push(AudioBlock(sound[first : first + RATE_HZ], RATE_HZ, first))
        shown.append(bool(details(pipeline)))
    assert not any(shown[:10])
    assert all(shown[15:24])
    assert not any(shown[35:])


@pytest.mark.parametrize("by_db", [-6.0, 0.0, 10.0, 20.0])
def test_a_machine_that_is_off_has_no_warning(bundle: Bundle, by_db: float) -> None:
    """Every stop of a machine asks for another gain."""
    pipeline = Pipeline(bundle)
    output_of(pipeline, stream(running(10), quieter(room_sound(30), by_db)), [])
    assert pipeline.operation is OperationStatus.OFF
    assert details(pipeline) == []


def test_a_stop_that_another_signal_shows_has_no_warning(bundle: Bundle) -> None:
    """A plug that measures the current says that the machine is off, and so it is."""
    settings = OperationSettings.model_validate({"topic": "plug"})
    pipeline = Pipeline(bundle, network=Network(bundle), operation=settings)
    pipeline.declare_running(is_running=False)
    output_of(pipeline, quieter(running(30, 3), 40.0), [])
    assert pipeline.operation is OperationStatus.OFF
    assert details(pipeline) == []


def test_a_recorded_off_with_the_sound_of_running_has_no_warning(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A machine of the same type runs far away while this one is off."""
    beside = [quieter(running(15, seed), 35.0) for seed in range(20, 24)]
    healthy = [running(15, seed) for seed in range(8)] + beside
    pipeline = Pipeline(bundle_with_operation(tmp_path_factory.mktemp("beside"), healthy))
    output_of(pipeline, stream(running(10), quieter(running(30, 3), 35.0)), [])
    assert pipeline.operation is OperationStatus.OFF
    assert details(pipeline) == []
