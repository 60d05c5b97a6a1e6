"""Training and replay with recordings of real machines, if these are available."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.detection import cases
from benchmarks.detection.mixing import RATE_HZ, at_level, noises, read
from benchmarks.fan_stream import alerts_of, as_wanted, joined, splits
from monitor.detection.settings import DetectorSettings
from monitor.model.network import Network
from monitor.offline.replay import ReplaySinks, replay_recording
from tests.conftest import shared_data
from tests.real_sound import QUICK
from training.metrics import roc_auc
from training.sound.train import AudioRequest, AudioResult, train_audio

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def drone() -> cases.Case:
    shared_data("uav_propeller")
    return next(cases.drone(0))


@pytest.fixture(scope="module")
def trained(drone: cases.Case, tmp_path_factory: pytest.TempPathFactory) -> AudioResult:
    out = tmp_path_factory.mktemp("drone") / "bundle"
    return train_audio(AudioRequest(drone.train, out, settings=QUICK))


def judged(trained: AudioResult, path: Path) -> tuple[float, int]:
    """The score of a recording, and how many alerts it raised."""
    sinks = ReplaySinks(lambda *_: None, lambda *_: None)
    summary = replay_recording(
        path,
        trained.bundle,
        Network(trained.bundle),
        DetectorSettings(),
        sinks,
        machine="drone",
        start_unix_s=0.0,
    )
    assert not summary.error
    return summary.score, summary.alerts


def test_broken_propellers_are_detected(trained: AudioResult, drone: cases.Case) -> None:
    """Faults would be missed, or healthy flights would raise alerts."""
    healthy = [judged(trained, path) for path in drone.healthy]
    broken = [judged(trained, path) for path in drone.faulty]
    labels = [0] * len(healthy) + [1] * len(broken)
    assert roc_auc(labels, [score for score, _ in healthy + broken]) >= 0.99
    assert sum(alerts for _, alerts in healthy) <= 1
    assert np.mean([alerts > 0 for _, alerts in broken]) >= 0.9


@pytest.mark.parametrize("lasting", [(-10.0, 5), (0.0, 1)], ids=["faint", "loud"])
@pytest.mark.parametrize("noise", ["chainsaw", "helicopter", "clock_tick"])
def test_everyday_noises_raise_no_alert(
    trained: AudioResult,
    drone: cases.Case,
    tmp_path: Path,
    noise: str,
    lasting: tuple[float, int],
) -> None:
    """A noise from outside would raise an alert."""
    shared_data("esc10_noise")
    level_db, seconds = lasting
    flight = read(drone.healthy[0])[10 * RATE_HZ : 35 * RATE_HZ]
    clip = noises(noise)[0][: seconds * RATE_HZ]
    mixed = tmp_path / "mixed.wav"
    soundfile.write(mixed, at_level(flight, clip, level_db, 10 * RATE_HZ), RATE_HZ, "FLOAT")
    assert judged(trained, mixed)[1] == 0


def test_a_fan_s_broken_blade_is_raised_and_cleared_in_one_stream(tmp_path: Path) -> None:
    """The alert would be late, or would not be cleared."""
    faults = cases.files(shared_data("desk_fan") / "blade_fault")
    train, (before, after) = splits(0)
    request = AudioRequest(tuple(train), tmp_path / "fan.bundle", settings=QUICK)
    bundle = train_audio(request).bundle
    stream = joined([before, faults[0], after], tmp_path / "stream.wav")
    assert as_wanted(stream, alerts_of(stream, bundle))
