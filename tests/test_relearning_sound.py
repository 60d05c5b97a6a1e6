"""The sound of false alarms, and the scores of recordings with two bundles."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.audio.start_time import start_unix_s
from monitor.learning.relearning.confirmed_sound import ConfirmedSound
from monitor.learning.relearning.scoring import Ratios, Scores, ScoringJob, scores_of
from monitor.learning.relearning.scoring_process import ScoringProcess
from monitor.model.bundle import load_bundle, write_manifest
from tests.bundles import SPEC, machine_sound, make_bundle
from tests.labelled_alerts import LATER_S, Labelled, alert_id
from tests.waiting import wait_for

# The relearning set.


def followed(sound: ConfirmedSound, labelled: Labelled) -> list[str]:
    """The numbers of the alerts in the folder when everything is done."""
    sound.labels_changed()
    while sound.is_behind:
        sound.follow(labelled)
    return [name[-3] for name in sound.clips]


def test_the_sound_follows_the_labels(tmp_path: Path) -> None:
    """Sound of a fault would be learned after somebody has corrected the label."""
    labelled = Labelled(tmp_path / "evidence")
    for number, label in enumerate(("false-alarm", "fault", "", "sensor", "ignore")):
        labelled.add(number, label)
    sound = ConfirmedSound(tmp_path / "relearn", 1e9, {})
    assert followed(sound, labelled) == ["0"]
    labelled.labels |= {0: "fault", 1: "false-alarm"}
    assert followed(sound, labelled) == ["1"]
    labelled.labels.clear()  # too old for the list of alerts, or its evidence is deleted
    shutil.rmtree(tmp_path / "evidence")
    assert followed(sound, labelled) == ["1"]


def test_a_clip_is_kept_in_parts_with_its_time(tmp_path: Path) -> None:
    """One long clip would raise the threshold, and a clip without a day is of no day."""
    labelled = Labelled(tmp_path / "evidence")
    labelled.add(7, "false-alarm", seconds=31.0)
    sound = ConfirmedSound(tmp_path / "relearn", 1e9, {})
    followed(sound, labelled)
    parts = sorted((tmp_path / "relearn" / f"{alert_id(7)}-0").iterdir())
    lengths = [soundfile.info(path).duration for path in parts]
    assert len(lengths) == 6
    assert max(lengths) - min(lengths) < 0.01
    whole = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in parts])
    clip = soundfile.read(tmp_path / "evidence" / alert_id(7) / "0-raised.flac", dtype="float32")
    assert np.array_equal(whole, clip[0])
    assert {start_unix_s(path) for path in parts} == {math.floor(LATER_S + 7)}


def test_space_for_confirmed_sound_is_limited_and_the_newest_stays(tmp_path: Path) -> None:
    """The sound of false alarms would fill the disk."""
    labelled = Labelled(tmp_path / "evidence")
    for number in range(5):
        labelled.add(number, "false-alarm", seconds=10.0)
    one = (tmp_path / "evidence" / alert_id(0) / "0-raised.flac").stat().st_size
    sound = ConfirmedSound(tmp_path / "relearn", 3.3 * one, {})
    assert followed(sound, labelled) == ["2", "3", "4"]
    assert sound.n_bytes <= 3.3 * one
    assert followed(ConfirmedSound(tmp_path / "relearn", 3.3 * one, {}), labelled) == [
        "2",
        "3",
        "4",
    ]
    labelled.add(5, "false-alarm", seconds=10.0)
    assert followed(sound, labelled) == ["3", "4", "5"]


def test_the_oldest_sound_is_found_among_names_of_earlier_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names were in local time: the newest sound of a machine would be removed as the oldest."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    labelled = Labelled(tmp_path / "evidence")
    for number in range(3):
        labelled.add(number, "false-alarm", seconds=10.0)
    sound = ConfirmedSound(tmp_path / "relearn", 1e9, {})
    try:
        assert followed(sound, labelled) == ["0", "1", "2"]
        for part in (tmp_path / "relearn" / f"{alert_id(0)}-0").iterdir():
            began = datetime.fromtimestamp(LATER_S).astimezone()
            part.rename(part.with_name(f"{began:%Y%m%dT%H%M%S}_{part.name.partition('_')[2]}"))
        assert followed(sound, labelled) == ["0", "1", "2"]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_clip_that_cannot_be_read_does_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One damaged file would end relearning for ever."""
    labelled = Labelled(tmp_path / "evidence")
    for number in range(3):
        labelled.add(number, "false-alarm", seconds=10.0)
    (tmp_path / "evidence" / alert_id(2) / "0-raised.flac").write_bytes(b"fLaC half")
    (tmp_path / "evidence" / alert_id(1) / "0-raised.flac").unlink()
    assert followed(ConfirmedSound(tmp_path / "relearn", 1e9, {}), labelled) == ["0"]
    assert f"the sound of alert {alert_id(2)} cannot be relearned" in caplog.text


def test_a_kill_while_a_clip_is_copied_leaves_no_half_clip(tmp_path: Path) -> None:
    """Half a clip would count as the whole one."""
    labelled = Labelled(tmp_path / "evidence")
    labelled.add(0, "false-alarm", seconds=10.0)
    half = tmp_path / "relearn" / f"{alert_id(0)}-0.part-1"
    half.mkdir(parents=True)
    (half / "20261123T101530_0.flac").write_bytes(b"fLaC")
    sound = ConfirmedSound(tmp_path / "relearn", 1e9, {})
    assert sound.clips == []
    assert followed(sound, labelled) == ["0"]


# Scores of two bundles.


def test_ratios_of_two_bundles_say_which_sound_raises_an_alert(tmp_path: Path) -> None:
    """A comparison would contradict the alerts that the machine raises."""
    before, after = make_bundle(tmp_path / "one"), make_bundle(tmp_path / "two")
    raise_thresholds(after.path, 100.0)
    for name, fault in (("healthy", 0.0), ("faulty", 0.3)):
        sound = machine_sound(30, seed=9, fault=fault)
        soundfile.write(tmp_path / f"{name}.flac", sound, SPEC.sample_rate_hz, "PCM_24")
    soundfile.write(tmp_path / "short.flac", machine_sound(0.1), SPEC.sample_rate_hz, "PCM_24")
    names = ("healthy", "faulty", "short", "missing")
    paths = {name: str(tmp_path / f"{name}.flac") for name in names}
    found = scores_of(ScoringJob(str(before.path), str(after.path), paths, [paths["healthy"]]))
    healthy, faulty = found.clips["healthy"], found.clips["faulty"]
    assert healthy.before is not None
    assert faulty.before is not None
    assert healthy.before < 1.0 < faulty.before
    assert faulty.after == pytest.approx(faulty.before / 100.0)
    assert found.pieces == [replace(healthy, name="healthy.flac")]
    assert found.after.threshold == pytest.approx(100.0 * found.before.threshold)
    assert (found.clips["short"].before, found.clips["missing"].after) == (None, None)
    assert "too short" in found.clips["short"].reason
    assert "missing.flac" in found.clips["missing"].reason


def raise_thresholds(bundle: Path, times: float) -> None:
    loaded = load_bundle(bundle)
    calibration = loaded.calibration
    raised = calibration.model_copy(
        update={
            "threshold": calibration.threshold * times,
            "budgets": tuple(
                one.model_copy(update={"threshold": one.threshold * times})
                for one in calibration.budgets
            ),
        }
    )
    write_manifest(bundle, loaded.manifest.model_copy(update={"calibration": raised}))


def test_a_bundle_judges_what_it_was_trained_on_without_itself(tmp_path: Path) -> None:
    """Every piece of the training would be below the threshold, whatever the bundle is worth."""
    bundle = make_bundle(tmp_path / "one")
    pieces, clip = tmp_path / "pieces", tmp_path / "clip.flac"
    pieces.mkdir()
    sound = machine_sound(12, seed=9)
    for path in (clip, pieces / "a.flac", pieces / "b.flac"):
        soundfile.write(path, sound, SPEC.sample_rate_hz, "PCM_24")
    manifest = load_bundle(bundle.path).manifest
    recordings = [
        {"name": "elsewhere/pieces/a.flac[1/2]", "seconds": 6.0, "held_out_ratio": 1.5},
        {"name": "elsewhere/pieces/a.flac[2/2]", "seconds": 6.0, "held_out_ratio": 0.5},
        {"name": "relearn/X-0/t_0.flac", "seconds": 5.0, "held_out_ratio": 1.25},
        "of another program",
    ]
    stated = manifest.model_copy(update={"provenance": {"recordings": recordings}})
    write_manifest(bundle.path, stated)
    job = ScoringJob(
        str(bundle.path),
        str(bundle.path),
        {"X-0": str(clip), "Y-0": str(clip)},
        [str(pieces / "a.flac"), str(pieces / "b.flac")],
    )
    found = scores_of(job)
    assert found.pieces[0] == Ratios(1.5, 1.5, 12.0, name="a.flac")
    assert found.trained == ["X-0"]
    assert found.pieces[1].before is not None
    assert found.pieces[1].before < 1.0
    assert found.clips["X-0"].before == 1.25
    assert found.clips["Y-0"].before == found.pieces[1].before


def test_the_scores_come_from_a_process_of_its_own(tmp_path: Path) -> None:
    """Scoring an hour of sound would take the processor from the monitoring."""
    bundle = make_bundle(tmp_path / "one")
    clip = tmp_path / "clip.flac"
    soundfile.write(clip, machine_sound(12, seed=9), SPEC.sample_rate_hz, "PCM_24")
    scoring = ScoringProcess(tmp_path / "scoring")
    job = ScoringJob(str(bundle.path), str(bundle.path), {"a": str(clip)}, [])
    scoring.start(job)
    result = wait_for(scoring.poll, 60)
    assert isinstance(result, Scores)
    assert result.clips["a"] == scores_of(job).clips["a"]
    assert scoring.poll() is None
    scoring.start(replace(job, after=str(tmp_path / "none")))
    error = wait_for(scoring.poll, 60)
    assert isinstance(error, str)
    assert "none" in error
    scoring.start(job)
    scoring.stop()
    assert not scoring.is_running


def test_a_scoring_of_a_daemon_that_was_killed_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result would be taken for that of the next comparison."""
    sleep = (sys.executable, "-c", "import time; time.sleep(60)")
    monkeypatch.setattr("monitor.learning.relearning.scoring_process.PROGRAM", sleep)
    killed = ScoringProcess(tmp_path / "scoring")
    job = ScoringJob("", "", {}, [])
    killed.start(job)
    process = killed._process
    assert isinstance(process, subprocess.Popen)
    again = ScoringProcess(tmp_path / "scoring")
    again.start(job)
    assert process.wait(10) < 0
    again.stop()
