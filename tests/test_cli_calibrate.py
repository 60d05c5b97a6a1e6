"""`auscult calibrate`: a new threshold, and the previous bundle."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile

from monitor.calibration import channels as channels_module
from monitor.errors import BadInputError
from monitor.folder_lock import only_writer
from monitor.model.bundle import Bundle, load_bundle, write_manifest
from monitor.model.channel_calibration import ChannelBudget, ChannelCalibration
from monitor.offline import recalibrate as recalibrate_module
from monitor.offline.recalibrate import recalibrate
from monitor.text.wording import rounded
from tests.bundles import machine_sound, make_bundle
from tests.command_line import RATE_HZ, auscult


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    bundle = make_bundle(tmp_path_factory.mktemp("made") / "pump.bundle")
    (bundle.path / "report.html").write_text(f"threshold {bundle.calibration.threshold:.4g}")
    (bundle.path / "scores.png").write_bytes(b"picture with the threshold")
    (bundle.path / "loss.png").write_bytes(b"picture without it")
    return bundle


@pytest.fixture
def bundle(made: Bundle, tmp_path: Path) -> Bundle:
    """A copy that a test may change."""
    return load_bundle(Path(shutil.copytree(made.path, tmp_path / "bundles" / "pump.bundle")))


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(tmp_path_factory.mktemp("healthy"))
    for seed in range(8):
        soundfile.write(folder / f"{seed}.flac", machine_sound(15, seed=100 + seed), RATE_HZ)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_calibrate_in_place_changes_the_threshold_and_keeps_the_bundle_before(
    bundle: Bundle, healthy: Path
) -> None:
    """A new budget needs a new training, or the old threshold is lost."""
    options = ("--in-place", "--false-alarms-per-week", 5, "--json")
    outcome = auscult("calibrate", bundle.path, healthy, *options)
    assert outcome.status == 0, outcome.err
    after = auscult("inspect", bundle.path, "--json").json
    assert after["calibration"]["threshold"] == outcome.json["threshold"]
    assert after["calibration"]["false_alarms_per_week"] == 5
    assert after["files"] == bundle.manifest.files
    assert names(bundle.path.parent) == ["pump.bundle", "pump.bundle.previous-1"]
    previous = Path(outcome.json["previous_bundle"])
    assert load_bundle(previous).sha256 == bundle.sha256
    text = auscult("calibrate", bundle.path, healthy, "--in-place").out
    assert str(bundle.path.with_name("pump.bundle.previous-2")) in text


def test_a_bundle_that_another_command_replaces_is_not_calibrated(
    bundle: Bundle, healthy: Path
) -> None:
    """A training with --overwrite and a calibration write one bundle."""
    before = names(bundle.path)
    with only_writer(bundle.path, "pump.bundle"):
        outcome = auscult("calibrate", bundle.path, healthy, "--in-place")
    assert (outcome.status, outcome.err.count("\n")) == (69, 1)
    assert f"{bundle.path}: another command writes into this folder" in outcome.err
    assert (load_bundle(bundle.path).sha256, names(bundle.path)) == (bundle.sha256, before)


def test_the_report_shows_the_new_threshold(bundle: Bundle, healthy: Path) -> None:
    """A technician reads the threshold before as that of the bundle."""
    auscult("calibrate", bundle.path, healthy, "--in-place", "--false-alarms-per-week", 100)
    report = (bundle.path / "report.html").read_text()
    threshold = load_bundle(bundle.path).calibration.threshold
    assert f"{rounded(threshold)} for 100 false alarms a week" in report
    assert f"Threshold before</th><td>{rounded(bundle.calibration.threshold)}" in report
    assert "href='../pump.bundle.previous-1/report.html'" in report
    assert not (bundle.path / "scores.png").exists()
    assert "src='loss.png'" in report
    previous = bundle.path.with_name("pump.bundle.previous-1")
    assert (previous / "scores.png").exists()
    assert f"{bundle.calibration.threshold:.4g}" in (previous / "report.html").read_text()


@pytest.mark.parametrize(
    "listed",
    [
        [{"name": "other/0.flac", "seconds": 15.2}],
        [
            {"name": "other/0.flac[3.6 s][1/2]", "seconds": 6.0},
            {"name": "other/0.flac[3.6 s][2/2]", "seconds": 5.5},
        ],
        ["0.flac", {}],
        7,
    ],
)
def test_recordings_of_the_training_are_named(
    bundle: Bundle, healthy: Path, listed: object, tmp_path: Path
) -> None:
    """Their scores are low: the threshold becomes too low, and healthy sound raises alerts."""
    manifest = bundle.manifest.model_copy(update={"provenance": {"recordings": listed}})
    write_manifest(bundle.path, manifest)
    outcome = auscult("calibrate", bundle.path, healthy, "--out", tmp_path / "new", "--json")
    named = outcome.json["calibration_set"]["trained_on"]
    is_listed = isinstance(listed, list) and isinstance(listed[0], dict)
    assert named == ([str(healthy / "0.flac")] if is_listed else [])
    assert ("1 of 8 recordings has the name and length" in outcome.err) is is_listed


@pytest.mark.parametrize("enough", [8, 9])
def test_channels_without_a_threshold_are_named(
    bundle: Bundle, healthy: Path, enough: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faint faults raise no alert any more after a calibration with fewer recordings."""
    monkeypatch.setattr(channels_module, "ENOUGH_RECORDINGS", enough)
    channel = ChannelCalibration(
        evidence="distance",
        span_s=16.928,
        step_s=2.048,
        score_median=1.0,
        budgets=(ChannelBudget(false_alarms_per_week=1.0, threshold=9.0),),
    )
    known = bundle.calibration.model_copy(update={"channels": (channel,)})
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"calibration": known}))
    outcome = auscult("calibrate", bundle.path, healthy, "--in-place")
    assert outcome.status == 0, outcome.err
    channels = load_bundle(bundle.path).calibration.channels
    is_lost = "distance" not in {one.evidence for one in channels}
    assert is_lost == (enough > 8)
    assert ("no alerts, for distance over 15 s. " in outcome.err) == is_lost


def test_the_recall_of_the_previous_thresholds_is_removed(bundle: Bundle, healthy: Path) -> None:
    """`inspect` shows faults that raised an alert at thresholds that are replaced."""
    figures = {"budget_recall": {"1": 0.5}, "recall": {}, "recall_growth": {}, "seed": 3}
    write_manifest(bundle.path, bundle.manifest.model_copy(update={"provenance": figures}))
    auscult("calibrate", bundle.path, healthy, "--in-place")
    assert set(load_bundle(bundle.path).manifest.provenance) == {"seed", "calibration_set"}


def test_copies_are_the_reason_for_too_little_sound(
    bundle: Bundle, healthy: Path, tmp_path: Path
) -> None:
    """Eight recordings seem to be enough, and the message names only one."""
    for n in range(8):
        shutil.copy(healthy / "0.flac", tmp_path / f"{n}.flac")
    with pytest.raises(BadInputError, match="7 of 8 recordings are not used, as copies of another"):
        recalibrate(
            bundle, sorted(tmp_path.glob("*.flac")), out=None, false_alarms_per_week=1, force=True
        )


def test_a_bundle_is_not_replaced_without_being_asked(bundle: Bundle, healthy: Path) -> None:
    """A wrong command loses the threshold of a machine."""
    outcome = auscult("calibrate", bundle.path, healthy)
    assert outcome.status == 64
    assert len(outcome.err.splitlines()) == 1
    assert "--in-place" in outcome.err
    assert "--out" in outcome.err
    both = auscult("calibrate", bundle.path, healthy, "--in-place", "--out", "x")
    assert (both.status, both.out) == (64, "")
    assert load_bundle(bundle.path).sha256 == bundle.sha256
    assert names(bundle.path.parent) == ["pump.bundle"]


def test_calibrate_can_write_a_new_bundle(bundle: Bundle, healthy: Path, tmp_path: Path) -> None:
    """Two thresholds of one model cannot be compared."""
    out = tmp_path / "new" / "pump-5.bundle"
    options = ("--out", out, "--false-alarms-per-week", 5)
    outcome = auscult("calibrate", bundle.path, healthy, *options)
    assert outcome.status == 0, outcome.err
    assert load_bundle(out).calibration.false_alarms_per_week == 5
    assert "href='../../bundles/pump.bundle/report.html'" in (out / "report.html").read_text()
    assert load_bundle(bundle.path).sha256 == bundle.sha256
    assert names(bundle.path.parent) == ["pump.bundle"]
    again = auscult("calibrate", bundle.path, healthy, *options)
    assert again.status == 64
    assert "exists already" in again.err
    nowhere = auscult("calibrate", bundle.path, healthy, "--out", "/dev/null/bundle")
    assert nowhere.status == 66, nowhere.err


def test_another_machines_sound_is_refused_and_changes_nothing(
    bundle: Bundle, tmp_path: Path
) -> None:
    """A threshold from the sound of another machine hides that the bundle does not fit."""
    soundfile.write(tmp_path / "other.flac", machine_sound(60, fault=0.3), RATE_HZ)
    outcome = auscult("calibrate", bundle.path, tmp_path / "other.flac", "--in-place")
    assert outcome.status == 65
    assert "does not fit this machine" in outcome.err
    assert load_bundle(bundle.path).sha256 == bundle.sha256
    assert names(bundle.path.parent) == ["pump.bundle"]


@pytest.mark.parametrize("step", ["keep_previous", "write_manifest", "write_calibration_report"])
def test_an_interrupted_calibration_leaves_valid_bundles(
    bundle: Bundle, healthy: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves a machine without a bundle."""

    def interrupted(*_: object) -> None:
        raise BadInputError("power cut")

    monkeypatch.setattr(recalibrate_module, step, interrupted)
    with pytest.raises(BadInputError, match="power cut"):
        recalibrate(bundle, sorted(healthy.iterdir()), out=None, false_alarms_per_week=5.0)
    now = load_bundle(bundle.path)
    previous = bundle.path.with_name("pump.bundle.previous-1")
    if now.sha256 == bundle.sha256:
        assert step != "write_calibration_report"
    else:
        assert load_bundle(previous).sha256 == bundle.sha256
