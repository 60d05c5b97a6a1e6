"""Replay: recordings are scored as by the daemon, and unusable ones are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.alerts import AlertDraft
from monitor.calibration.machine_match import match_recordings
from monitor.detection.settings import DetectorSettings
from monitor.domain import Score
from monitor.errors import BadInputError
from monitor.features.log_mel_frames import log_mel_frames
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.offline.healthy_set import score_healthy
from monitor.offline.recalibrate import recalibrate
from monitor.offline.replay import RecordingSummary, ReplaySinks, replay_recording
from tests.bundles import SPEC, machine_sound, make_bundle

RATE_HZ = SPEC.sample_rate_hz


class Replayed:
    """The results of a replay."""

    def __init__(self, recording: Path, bundle: Bundle, network: Network) -> None:
        self.scores: list[Score] = []
        self.alerts: list[tuple[AlertDraft, float]] = []
        self.summary: RecordingSummary = replay_recording(
            recording,
            bundle,
            network,
            DetectorSettings(),
            ReplaySinks(
                lambda _, s: self.scores.append(s), lambda _, a, at_s: self.alerts.append((a, at_s))
            ),
            machine="fan",
            start_unix_s=1_700_000_000.0,
        )


def test_a_fault_in_a_recording_is_raised_and_cleared_at_its_time(
    bundle: Bundle, network: Network, tmp_path: Path
) -> None:
    """A recording of a fault is reported as healthy, or its alert has a wrong time."""
    parts = [machine_sound(15, seed=1), machine_sound(15, seed=2, fault=0.1), machine_sound(20)]
    soundfile.write(tmp_path / "day.wav", np.concatenate(parts), RATE_HZ)
    replayed = Replayed(tmp_path / "day.wav", bundle, network)
    (raised, raised_s), (cleared, cleared_s) = replayed.alerts
    assert (raised.kind, cleared.kind) == ("raised", "cleared")
    assert raised.replayed
    assert "2023-11-14T22:13:35" < raised.started_at < raised.at < "2023-11-14T22:13:46"
    assert 15.0 < raised_s < 26.0 < cleared_s < 50.0
    assert any(low <= 3000 <= high for low, high in raised.bands_hz)
    assert replayed.summary.alerts == 1
    assert replayed.summary.anomalous
    assert replayed.summary.seconds == 50.0


def test_a_clip_shorter_than_the_span_has_a_score(
    bundle: Bundle, network: Network, tmp_path: Path
) -> None:
    """Short clips are missing in the table."""
    soundfile.write(tmp_path / "clip.wav", machine_sound(2.0, seed=3), RATE_HZ)
    replayed = Replayed(tmp_path / "clip.wav", bundle, network)
    assert len(replayed.scores) == 1
    assert not replayed.summary.error
    assert replayed.summary.score > 0


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (machine_sound(0.5), "too short, at least 1.06 s"),
        (
            np.zeros(5 * RATE_HZ, np.float32),
            "digital silence: the microphone was muted or unplugged",
        ),
        (np.full(5 * RATE_HZ, 0.25, np.float32), "the input is stuck"),
    ],
)
def test_what_cannot_be_scored_is_an_error_and_not_a_score(
    bundle: Bundle, network: Network, tmp_path: Path, samples: np.ndarray, message: str
) -> None:
    """Silence or a fraction of a second gets a score without meaning."""
    soundfile.write(tmp_path / "bad.wav", samples, RATE_HZ, subtype="FLOAT")
    replayed = Replayed(tmp_path / "bad.wav", bundle, network)
    assert message in replayed.summary.error
    assert replayed.summary.exit_status == BadInputError.exit_status
    assert replayed.scores == []


def test_log_mel_and_sound_of_one_machine_score_alike(
    bundle: Bundle, network: Network, tmp_path: Path
) -> None:
    """The features of a sensor get another score than its sound."""
    sound = machine_sound(9.0, seed=4)
    np.save(tmp_path / "clip.npy", log_mel_frames(sound, SPEC))
    soundfile.write(tmp_path / "clip.wav", sound, RATE_HZ, subtype="FLOAT")
    by_sound = Replayed(tmp_path / "clip.wav", bundle, network)
    by_log_mel = Replayed(tmp_path / "clip.npy", bundle, network)
    assert by_log_mel.summary.score == by_sound.summary.score


def write_healthy(folder: Path, **kwargs: float) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{seed}.wav" for seed in range(20, 26)]
    for seed, path in enumerate(paths):
        soundfile.write(path, machine_sound(12.0, seed=20 + seed, **kwargs), RATE_HZ)
    return paths


def test_a_new_threshold_leaves_the_model_untouched(tmp_path: Path) -> None:
    """A calibration changes the scores and not only the threshold."""
    bundle = make_bundle(tmp_path / "bundle")
    again = recalibrate(
        bundle,
        write_healthy(tmp_path / "new"),
        out=None,
        false_alarms_per_week=10.0,
        force=True,
    ).bundle
    assert again.manifest.files == bundle.manifest.files
    assert again.calibration.false_alarms_per_week == 10.0
    assert again.calibration.healthy_s == pytest.approx(6 * 12.0, abs=3)
    assert again.sha256 != bundle.sha256


def test_the_sound_of_another_machine_is_refused(tmp_path: Path) -> None:
    """A bundle is used for a machine that it was not made for."""
    bundle = make_bundle(tmp_path / "bundle")
    foreign = write_healthy(tmp_path / "foreign", fault=0.05)
    with pytest.raises(BadInputError, match="does not fit this machine: 6 of 6"):
        recalibrate(bundle, foreign, out=None, false_alarms_per_week=1.0)
    own = [score_healthy(p, bundle, Network(bundle)) for p in write_healthy(tmp_path / "own")]
    assert match_recordings(bundle.calibration, own).complaint == ""
