"""Unsound sets of recordings: copies, outliers and files that cannot be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.audio.recordings import read_each
from monitor.calibration.copies import find_copies
from monitor.calibration.findings import (
    CopiedRecording,
    Outlier,
    RepeatedRecording,
    SetFindings,
)
from monitor.calibration.fine_structure import repeats_after
from monitor.calibration.outliers import distances_between, find_outliers, small_groups
from monitor.domain import FloatArray
from monitor.errors import BadInputError, MissingInputError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import load_bundle
from tests.bundles import machine_sound, make_bundle
from tests.command_line import RATE_HZ, auscult
from tests.tiny_sound import SETTINGS, simulated_frames, write_machine
from training.sound.headline import headline
from training.sound.recordings import read_recording
from training.sound.report import write_report
from training.sound.train import AudioRequest, AudioResult, train_audio

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_bootstraps")]

FAULT_DB = 12.0


def frames_of_file(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> FloatArray:
    soundfile.write(path, samples, rate_hz)
    return read_recording(path, LogMelSpec()).frames_db


def resampled(samples: FloatArray, rate_hz: int) -> FloatArray:
    times = np.arange(round(len(samples) * rate_hz / RATE_HZ)) * RATE_HZ / rate_hz
    return np.interp(times, np.arange(len(samples)), samples).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "rate_hz"), [("a.ogg", 16_000), ("a.mp3", 16_000), ("a.wav", 44_100), ("a.wav", 8_000)]
)
def test_a_copy_in_another_format_is_recognised(tmp_path: Path, name: str, rate_hz: int) -> None:
    """Eight copies of one file count as eight recordings, and healthy recordings alarm."""
    sounds = [machine_sound(12.0, seed=seed) for seed in range(3)]
    originals = [frames_of_file(tmp_path / f"{i}.flac", s) for i, s in enumerate(sounds)]
    # Cut by no whole number of frames, and 12 dB fainter.
    copy = frames_of_file(tmp_path / name, 0.25 * resampled(sounds[1][5_000:], rate_hz), rate_hz)
    copies = find_copies([*originals, copy])
    assert [(found.index, found.of) for found in copies] == [(3, 1)]
    assert copies[0].share > 0.5


def test_different_recordings_of_a_steady_machine_are_no_copies(tmp_path: Path) -> None:
    """Healthy recordings are left out because they have the same spectrum."""
    frames = [frames_of_file(tmp_path / f"{i}.wav", machine_sound(12.0, seed=i)) for i in range(8)]
    assert find_copies(frames) == []


def test_noise_that_two_machines_share_makes_no_copy(tmp_path: Path) -> None:
    """Recordings of two machines, made at once in one hall, are treated as copies."""
    noise = np.random.default_rng(0).normal(0.0, 0.035, 12 * RATE_HZ).astype(np.float32)
    own, other = (machine_sound(12.0, seed=seed) for seed in (1, 2))
    frames = [
        frames_of_file(tmp_path / f"{i}.wav", sound + noise) for i, sound in enumerate((own, other))
    ]
    assert len(find_copies(frames)) == 1
    assert find_copies(frames, n_originals=1) == []
    assert len(find_copies([frames[0], frames[0] - 6.0], n_originals=1)) == 1


def test_the_longest_of_the_same_sound_is_kept(tmp_path: Path) -> None:
    """A short piece is kept, and most of the sound is lost."""
    whole = machine_sound(20.0)
    pieces = [whole[:80_000], whole, whole[100_000:200_000]]
    frames = [frames_of_file(tmp_path / f"{i}.wav", piece) for i, piece in enumerate(pieces)]
    assert [(copy.index, copy.of) for copy in find_copies(frames)] == [(0, 1), (2, 1)]


def test_a_sound_joined_to_itself_is_used_once(tmp_path: Path) -> None:
    """Eight copies in one file count as eight times as much sound."""
    once = machine_sound(9.0)
    looped = frames_of_file(tmp_path / "a.wav", np.tile(once, 3))
    period = repeats_after(looped)
    assert period is not None
    assert abs(period / LogMelSpec().frame_rate_hz - 9.0) < 0.1
    assert repeats_after(frames_of_file(tmp_path / "b.wav", machine_sound(27.0))) is None


def test_recordings_above_a_jump_are_outliers() -> None:
    """Faulty recordings stay, or healthy ones that differ a little are left out."""
    healthy = [25.0, 28.0, 22.0, 30.0, 24.0, 27.0, 26.0, 33.0, 23.0, 25.0]
    assert find_outliers(healthy) == []
    assert find_outliers([*healthy[:5], 416.0, *healthy[5:]]) == [5]
    assert find_outliers([416.0, *healthy, 97.0]) == [0, 11]


def test_at_most_a_fifth_is_left_out() -> None:
    """Most of a set is left out because a few recordings are similar."""
    assert find_outliers([25.0] * 9 + [400.0, 410.0, 420.0]) == []
    assert find_outliers([25.0] * 3 + [400.0]) == []
    assert find_outliers([25.0] * 12 + [400.0, 410.0, 420.0]) == [12, 13, 14]


def test_two_recordings_of_an_operating_state_support_each_other() -> None:
    """A state that is recorded seldom is left out, and its healthy sound alarms."""
    rng = np.random.default_rng(0)
    positions = rng.normal(0.0, 1.0, (12, 40))
    positions[10:] += 30.0
    scores = [25.0] * 10 + [60.0, 26.0]
    assert find_outliers(scores) == [10]
    distances = distances_between(list(positions))
    assert find_outliers(scores, distances) == []
    assert small_groups(distances) == [(10, 11)]
    assert small_groups(distances_between(list(positions[:10]))) == []


def test_two_faulty_recordings_that_are_not_alike_are_outliers() -> None:
    """Two faulty recordings of twelve lower each other's score, and both are used."""
    rng = np.random.default_rng(0)
    positions = rng.normal(0.0, 1.0, (12, 40))
    positions[10] += 30.0
    positions[11] += np.where(np.arange(40) % 2, 50.0, 30.0)
    scores = [25.0] * 9 + [100.0, 130.0, 140.0]
    assert find_outliers(scores) == []
    assert find_outliers(scores, distances_between(list(positions))) == [10, 11]
    few = [0, 1, 2, 3, 4, 11]
    assert find_outliers([25.0] * 6, distances_between(list(positions[few]))) == []


def test_names_of_files_reach_the_terminal_escaped() -> None:
    """The name of a recording moves the cursor of a terminal or begins a line of its own."""
    name = "a\x1b[2J\n.wav"
    findings = SetFindings(
        9,
        (CopiedRecording(name, name, 1.0),),
        (RepeatedRecording(name, 9.0),),
        (Outlier(name, 99.0, 9.0, 10.0),),
        groups=((name, name),),
    )
    facts = findings.facts()
    assert set(facts) == {"Outliers", "Check", "Copies", "Repeated"}
    assert all(text.isprintable() for text in facts.values())


def test_every_file_that_cannot_be_used_is_named_at_once(
    tmp_path: Path,
) -> None:
    """A user has to start the training again for each bad file."""
    folder = tmp_path / "set"
    folder.mkdir()
    soundfile.write(folder / "good.wav", machine_sound(12.0), RATE_HZ)
    soundfile.write(folder / "short.wav", machine_sound(0.3), RATE_HZ)
    soundfile.write(folder / "silent.wav", np.zeros(40_000), RATE_HZ)
    faint = np.random.default_rng(0).normal(0.0, 1e-5, 6 * RATE_HZ)
    soundfile.write(folder / "muted.wav", faint, RATE_HZ, subtype="FLOAT")
    (folder / "text.wav").write_text("not a recording")
    (folder / "noise.wav").write_bytes(b"RIFF" + bytes(range(128, 256)) * 20)
    np.save(folder / "bands.npy", np.zeros((100, 7), np.float32))
    other = tmp_path / "other"
    other.mkdir()
    (other / "empty.flac").write_bytes(b"")
    outcome = auscult("train", "audio", folder, "--reference", other, "--out", tmp_path / "b")
    assert outcome.status == 65
    lines = outcome.err.splitlines()
    names = ("short.wav", "silent.wav", "muted.wav", "text.wav", "noise.wav", "bands.npy")
    for name in (*names, "empty.flac"):
        assert sum(name in line for line in lines) == 1, name
    assert any("noise.wav: not an audio file" in line for line in lines)
    assert not any("good.wav" in line for line in lines)


def test_what_cannot_be_opened_has_its_own_status() -> None:
    """A script cannot distinguish a missing file from a damaged one."""

    def read(path: Path) -> None:
        if path.name != "damaged":
            raise MissingInputError(f"{path}: cannot be opened")
        raise BadInputError(f"{path}: damaged")

    with pytest.raises(MissingInputError, match="a: cannot be opened\nb: cannot be opened"):
        read_each([Path("a"), Path("b")], read)
    with pytest.raises(BadInputError, match="a: cannot be opened\ndamaged: damaged"):
        read_each([Path("a"), Path("damaged")], read)


@pytest.fixture(scope="module")
def unsound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven healthy recordings, a copy of one of them, and a faulty one."""
    folder = write_machine(tmp_path_factory.mktemp("unsound") / "own", 11, first_seed=700)
    np.save(folder / "20.npy", np.load(folder / "04.npy")[10:] - np.float32(9.0))
    np.save(folder / "30.npy", simulated_frames(730, fault_db=FAULT_DB))
    return folder


@pytest.fixture(scope="module")
def trained(unsound: Path) -> AudioResult:
    return train_audio(request_for(unsound, "clean"))


def request_for(
    folder: Path, out: str, *, keep_outliers: bool = False, confirmed: tuple[Path, ...] = ()
) -> AudioRequest:
    return AudioRequest(
        (folder,),
        folder.parent / out,
        confirmed=confirmed,
        settings=SETTINGS,
        device="cpu",
        keep_outliers=keep_outliers,
    )


def test_a_faulty_recording_and_a_copy_are_left_out_and_named(
    trained: AudioResult,
) -> None:
    """One faulty recording raises the threshold so far that its fault is never detected."""
    findings = trained.findings
    assert [Path(outlier.name).name for outlier in findings.outliers] == ["30.npy"]
    assert [(Path(c.name).name, Path(c.of).name) for c in findings.copies] == [("20.npy", "04.npy")]
    assert {Path(name).name for name in trained.names} == {f"{i:02d}.npy" for i in range(11)}
    first, second = list(headline(trained).items())[:2]
    assert first[0] == "Outliers"
    assert "30.npy" in first[1]
    assert "--keep-outliers" in first[1]
    assert second[0] == "Copies"
    assert "04.npy" in second[1]
    page = write_report(trained).read_text(encoding="utf-8")
    assert "30.npy" in page
    kept = trained.bundle.manifest.provenance["training_set"]
    assert [Path(one["name"]).name for one in kept["outliers"]] == ["30.npy"]
    assert "times the highest" in kept["outlier_rule"]
    assert load_bundle(trained.bundle.path).manifest.schema_version == 1


def test_outliers_can_be_kept(trained: AudioResult, unsound: Path) -> None:
    """A rare state that is healthy cannot be trained."""
    kept = train_audio(request_for(unsound, "kept", keep_outliers=True))
    assert len(kept.names) == 12
    assert kept.findings.kept
    assert "used because of --keep-outliers" in headline(kept)["Outliers"]
    assert kept.bundle.calibration.threshold > 1.5 * trained.bundle.calibration.threshold


def test_confirmed_recordings_are_used_and_other_outliers_are_not(
    trained: AudioResult, unsound: Path, tmp_path: Path
) -> None:
    """A sound that an operator has confirmed to be healthy would be left out as a fault."""
    np.save(tmp_path / "40.npy", simulated_frames(740, fault_db=-FAULT_DB))
    result = train_audio(request_for(unsound, "confirmed", confirmed=(tmp_path,)))
    used = {Path(name).name for name in result.names}
    assert used == {f"{i:02d}.npy" for i in range(11)} | {"40.npy"}
    assert [Path(one.name).name for one in result.findings.outliers] == ["30.npy"]
    recordings = result.bundle.manifest.provenance["recordings"]
    ratios = {Path(one["name"]).name: one["held_out_ratio"] for one in recordings}
    assert all(ratio > 0.0 for ratio in ratios.values())
    assert max(ratios, key=lambda name: ratios[name]) == "40.npy"
    assert result.bundle.calibration.threshold > trained.bundle.calibration.threshold


def test_a_set_without_fault_is_trained_once_and_not_reported(tmp_path: Path) -> None:
    """A healthy set is trained twice, or its recordings are reported as unusual."""
    folder = write_machine(tmp_path / "own", 11, first_seed=700)
    result = train_audio(request_for(folder, "b"))
    assert result.findings.facts() == {}
    assert list(headline(result))[:2] == ["Budget", "Threshold"]  # so little sound is provisional


def test_a_reference_with_the_machines_own_sound_is_refused(unsound: Path, tmp_path: Path) -> None:
    """The machine is compared with itself, and its own sound counts as another machine's."""
    twin = tmp_path / "twin"
    twin.mkdir()
    shutil.copy(unsound / "03.npy", twin / "renamed.npy")
    request = AudioRequest((unsound,), tmp_path / "b", (twin,), settings=SETTINGS, device="cpu")
    with pytest.raises(BadInputError, match=r"twin: contains only sound of the machine itself"):
        train_audio(request)


def test_calibrate_leaves_out_copies_and_outliers(tmp_path: Path) -> None:
    """One faulty recording raises the threshold of a bundle that was good."""
    bundle = make_bundle(tmp_path / "pump.bundle")
    folder = tmp_path / "healthy"
    folder.mkdir()
    for seed in range(9):
        soundfile.write(folder / f"{seed}.flac", machine_sound(15, seed=200 + seed), RATE_HZ)
    clean = auscult("calibrate", bundle.path, folder, "--out", tmp_path / "clean", "--json")
    assert clean.status == 0, clean.err
    assert clean.json["calibration_set"]["outliers"] == []
    shutil.copy(folder / "3.flac", folder / "again.flac")
    soundfile.write(folder / "faulty.flac", machine_sound(15, seed=300, fault=0.3), RATE_HZ)
    outcome = auscult("calibrate", bundle.path, folder, "--out", tmp_path / "b", "--json")
    assert outcome.status == 0, outcome.err
    found = outcome.json["calibration_set"]
    assert [Path(one["name"]).name for one in found["outliers"]] == ["faulty.flac"]
    assert [Path(one["name"]).name for one in found["copies"]] == ["again.flac"]
    assert outcome.json["threshold"] == clean.json["threshold"]
    assert "faulty.flac" in outcome.err
    assert "faulty.flac" in (tmp_path / "b" / "report.html").read_text()
    manifest = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert manifest["provenance"]["calibration_set"] == found
    kept = auscult("calibrate", bundle.path, folder, "--out", tmp_path / "k", "--keep-outliers")
    assert kept.status == 0, kept.err
    assert kept.out.splitlines()[0].startswith("outliers")
    threshold = load_bundle(tmp_path / "k").calibration.threshold
    assert threshold > 2 * clean.json["threshold"]
