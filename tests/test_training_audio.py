"""`auscult train audio` on a tiny machine: from recordings to a bundle with its report."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load, save

from monitor.calibration.machine_match import match_recordings
from monitor.cli import run_command
from monitor.domain import LogMelBlock
from monitor.errors import BadInputError, BundleError, ConfigError, UsageError
from monitor.features.log_mel import FrameWindows
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.network import Network
from monitor.model.scorer import Scorer, run_selftest
from monitor.offline.healthy_set import score_healthy
from monitor.offline.recalibrate import recalibrate
from tests.tiny_sound import SETTINGS, SPEC, simulated_frames, write_machine
from training.device import resolve_device
from training.sound.bundle import network_of
from training.sound.evidence_graph import EvidenceGraph
from training.sound.recording_evidence import evidence_of, score_evidence
from training.sound.recordings import Recording
from training.sound.report import write_report
from training.sound.request import read_training_data
from training.sound.settings import load_audio_settings
from training.sound.train import AudioRequest, AudioResult, train_audio

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_bootstraps")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sound")


@pytest.fixture(scope="module")
def request_(folder: Path) -> AudioRequest:
    own = write_machine(folder / "own", 12)
    twin = write_machine(folder / "twin", 8, first_seed=100)
    tilted = write_machine(folder / "tilted", 8, first_seed=300, regime=1.0)
    references = (twin, tilted)
    return AudioRequest((own,), folder / "bundle", references, settings=SETTINGS, device="cpu")


@pytest.fixture(scope="module")
def trained(request_: AudioRequest) -> AudioResult:
    return train_audio(request_)


def score_of(result: AudioResult, seed: int, fault_db: float = 0.0) -> float:
    bundle = result.bundle
    whole = bundle.recording_score()
    scorer = Scorer(bundle, Network(bundle), whole)
    frames = simulated_frames(seed, fault_db=fault_db)
    scorer.push(FrameWindows(bundle.spec).push(LogMelBlock(frames, 0)))
    scorer.flush()
    return whole.value


def test_a_fault_scores_higher_than_healthy_sound(trained: AudioResult) -> None:
    """A trained bundle does not detect a fault."""
    healthy = [score_of(trained, seed) for seed in range(50, 60)]
    faulty = [score_of(trained, seed, fault_db=3.0) for seed in range(50, 60)]
    assert max(healthy) < min(faulty)


def test_the_run_time_gives_the_scores_of_the_training(trained: AudioResult) -> None:
    """The threshold is set for other scores than those of the daemon."""
    bundle = trained.bundle
    recording = Recording("r", simulated_frames(70))
    graph = EvidenceGraph(network_of(bundle)).eval()
    expected = score_evidence(
        evidence_of(graph, recording, SPEC, resolve_device("cpu")),
        SPEC,
        bundle.span_windows,
        bundle.head,
    )
    windows = FrameWindows(SPEC).push(LogMelBlock(recording.frames_db, 0))
    actual = Scorer(bundle, Network(bundle)).push(windows)
    np.testing.assert_allclose([s.value for s in actual], expected.scores, rtol=1e-4)
    np.testing.assert_allclose([s.level_db for s in actual], expected.levels_db, atol=1e-3)
    assert score_of(trained, 70) == pytest.approx(expected.whole, rel=1e-4)


def test_the_bundle_contains_its_provenance(trained: AudioResult) -> None:
    """It is unknown which recordings a threshold comes from."""
    bundle = trained.bundle
    run_selftest(bundle, Network(bundle))
    provenance = bundle.manifest.provenance
    assert len(provenance["recordings"]) == 12
    assert provenance["references"][0]["recordings"] == 8
    assert provenance["seed"] == 0
    assert {control["name"] for control in provenance["controls"]} >= {"plain error", "no network"}
    assert bundle.manifest.score.reason
    assert bundle.calibration.recordings == 12


def test_recordings_of_a_reference_machine_are_refused(trained: AudioResult, folder: Path) -> None:
    """After two microphones were swapped, each bundle is calibrated on the wrong machine."""
    foreign = sorted((folder / "tilted").iterdir())
    with pytest.raises(BadInputError, match=r"closer to reference machine 2 \(.*tilted\)"):
        recalibrate(trained.bundle, foreign, out=None, false_alarms_per_week=1.0)
    fresh = sorted(write_machine(folder / "fresh", 8, first_seed=400).iterdir())
    bundle, network = trained.bundle, Network(trained.bundle)
    own = [score_healthy(path, bundle, network) for path in fresh]
    assert all(r.reference_match and not r.reference_match.is_reference for r in own)
    assert bundle.head.healthy is not None
    assert bundle.head.healthy.n == 12
    fit = match_recordings(bundle.calibration, own, bundle.reference_names, bundle.head.healthy)
    assert fit.complaint == ""


def test_recordings_of_an_unknown_machine_are_refused(trained: AudioResult, folder: Path) -> None:
    """A bundle is used on another machine, if that machine does not score high."""
    stranger = write_machine(folder / "stranger", 8, first_seed=500, regime=0.3)
    bundle, network = trained.bundle, Network(trained.bundle)
    alone = replace(bundle, head=replace(bundle.head, references=np.empty((0, 0))))
    scored = [score_healthy(path, alone, network) for path in sorted(stranger.iterdir())]
    fit = match_recordings(bundle.calibration, scored, (), bundle.head.healthy)
    assert "differ in the same direction" in fit.complaint


def test_the_same_seed_gives_the_same_bundle(trained: AudioResult, request_: AudioRequest) -> None:
    """The same recordings and seed give different bundles."""
    again = train_audio(replace(request_, out=request_.out.with_name("again")))
    assert again.bundle.sha256 == trained.bundle.sha256


def test_training_continues_a_bundle(
    trained: AudioResult,
    request_: AudioRequest,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`--continue` trains a new network, or the report does not compare before and after."""
    later = write_machine(folder / "later", 10, first_seed=200)
    result = train_audio(
        replace(
            request_,
            recordings=(later,),
            references=(),
            out=folder / "continued",
            continued=trained.bundle.path,
        )
    )
    before, after = network_of(trained.bundle), network_of(result.bundle)
    assert (after.band_mean_db == before.band_mean_db).all()
    assert result.bundle.manifest.provenance["continued"] == trained.bundle.sha256
    assert len(result.healthy_before) == 10
    assert "give --reference again" in caplog.text
    page = write_report(result).read_text(encoding="utf-8")
    assert "Before and after" in page


def test_the_report_is_one_page_with_its_figures(trained: AudioResult) -> None:
    """A section or a figure is missing, or a word of the code is shown to users."""
    page = write_report(trained).read_text(encoding="utf-8")
    assert page.count("<img ") == 4
    for title in ("Data", "Operating states", "Scoring", "Does the network help?"):
        assert f"<h2>{title}</h2>" in page
    assert "1 false alarm a week" in page
    assert "12 recordings" in page
    assert "no network" in page
    names = {path.name for path in trained.bundle.path.iterdir()}
    assert {"report.html", "loss.png", "reconstruction.png", "scores.png", "history.csv"} <= names


def test_the_plain_error_can_be_chosen(
    request_: AudioRequest, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A bundle with `--score plain` does not work."""
    result = train_audio(replace(request_, score="plain", out=folder / "plain"))
    assert "cannot recognise the reference machines" in caplog.text
    assert result.bundle.manifest.score.kind == "plain"
    assert score_of(result, 60, fault_db=12.0) > score_of(result, 60)


def test_too_little_sound_is_an_error(folder: Path) -> None:
    """A threshold is set from almost no sound."""
    lone = write_machine(folder / "lone", 1)
    request = AudioRequest((lone,), folder / "none", settings=SETTINGS, device="cpu")
    with pytest.raises(BadInputError, match="too little to set a threshold"):
        train_audio(request)


def test_a_budget_must_be_positive(request_: AudioRequest) -> None:
    """A budget of 0 gives a threshold that no score reaches."""
    with pytest.raises(UsageError, match="must be a positive number, not 0"):
        train_audio(replace(request_, false_alarms_per_week=0.0))


CONFIG = """
[training]
epochs = 1
most_windows_per_epoch = 64
batch_size = 16
channels = [4, 8]
bottleneck = 4

[features]
n_mels = 24
window_frames = 16

[detector]
min_fault_s = 1.0
"""


def test_the_command_writes_a_bundle_and_replaces_it_only_when_asked(
    request_: AudioRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bundle is replaced without a copy, or the command does not write one."""
    config, out = tmp_path / "training.toml", tmp_path / "b"
    config.write_text(CONFIG)
    arguments = ["train", "audio", str(request_.recordings[0]), "--out", str(out)]
    arguments += ["--config", str(config), "--json", "--device", "cpu"]
    assert run_command(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["score"]["kind"] in {"plain", "diagonal", "covariance"}
    assert document["calibration"]["threshold"] > 0
    assert document["previous"] is None
    assert (out / "report.html").exists()

    assert run_command(arguments) == 64
    output = capsys.readouterr()
    assert f"--out {out}: is already a bundle; replace it with --overwrite" in output.err
    assert output.out == ""
    assert load_bundle(out).sha256 == document["sha256"]

    assert run_command([*arguments, "--overwrite", "--seed", "5", "--continue", str(out)]) == 0
    replaced = json.loads(capsys.readouterr().out)
    assert load_bundle(Path(replaced["previous"])).sha256 == document["sha256"]
    assert (Path(replaced["previous"]) / "report.html").exists()
    assert load_bundle(out).sha256 == replaced["sha256"] != document["sha256"]
    assert load_bundle(out).manifest.provenance["continued"] == document["sha256"]


def test_no_report_of_an_earlier_bundle_is_left(
    tmp_path: Path, trained: AudioResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that is stopped here would leave a report with another threshold."""
    path = tmp_path / "bundle"
    shutil.copytree(trained.bundle.path, path)
    (path / "report.html").write_text("of an earlier bundle")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.sound.report._pictures", stop)
    with pytest.raises(KeyboardInterrupt):
        write_report(replace(trained, bundle=load_bundle(path)))
    assert not (path / "report.html").exists()


def with_weights(path: Path, content: bytes, **network: object) -> Bundle:
    """Change the weights and the description of the network of a bundle, with correct hashes."""
    manifest = json.loads((path / "bundle.json").read_text())
    manifest["files"]["weights.safetensors"] = hashlib.sha256(content).hexdigest()
    manifest["network"] |= network
    (path / "weights.safetensors").write_bytes(content)
    (path / "bundle.json").write_text(json.dumps(manifest))
    return load_bundle(path)


def test_weights_that_cannot_be_continued_are_named(tmp_path: Path, trained: AudioResult) -> None:
    """They would end in a traceback, or with the advice to lower the learning rate."""
    path = tmp_path / "bundle"
    shutil.copytree(trained.bundle.path, path)
    good = (path / "weights.safetensors").read_bytes()
    infinite = save({name: tensor / 0 for name, tensor in load(good).items()})
    for content, says in (
        (b"no weights", "not a file of weights"),
        (good[:-9], "not a file of weights"),
        (infinite, "must be finite numbers"),
        (save({}), "does not match the network"),
    ):
        with pytest.raises(BundleError, match=rf"weights\.safetensors: .*{says}"):
            network_of(with_weights(path, content))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("network", "says"),
    [
        ({"n_frames": 10**9}, "the features make"),
        ({"channels": [10**9, 10**9]}, "does not match the network"),
        ({"bottleneck": 383}, "does not match the network"),
        ({"scored_bands": "all"}, "scored_bands must be a whole number from 1 to 24"),
    ],
)
def test_a_network_that_is_not_in_the_bundle_is_refused(
    tmp_path: Path,
    trained: AudioResult,
    request_: AudioRequest,
    network: dict[str, object],
    says: str,
) -> None:
    """It would fill the memory, or end in a traceback."""
    path = tmp_path / "bundle"
    shutil.copytree(trained.bundle.path, path)
    bundle = with_weights(path, (path / "weights.safetensors").read_bytes(), **network)

    def use() -> None:
        read_training_data(replace(request_, continued=path))
        network_of(bundle)

    with pytest.raises(BundleError, match=says):
        use()


def test_files_that_are_no_recordings_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder of recordings in an unknown format would be left out without a message."""
    own = write_machine(tmp_path / "own", 8)
    reference = write_machine(tmp_path / "other", 8, first_seed=100)
    for path in (own / "a.sdat", own / "b.sdat", reference / "notes.txt"):
        path.touch()
    request = AudioRequest((own,), tmp_path / "bundle", (reference,), settings=SETTINGS)
    read_training_data(request)
    assert "3 other files ignored (2 .sdat, 1 .txt)" in caplog.text


WRONG_SETTINGS = """
[training]
epochz = 3
batch_size = 1
channels = [8, "wide"]

[features]
n_mls = 64
n_mels = 0
n_fft = "1024"
hop_length = 2000
f_min_hz = 9000

[trainer]
"""


def test_every_wrong_setting_is_named_with_its_line(tmp_path: Path) -> None:
    """Mistakes are reported one at a time, or without their line."""
    path = tmp_path / "training.toml"
    path.write_text(WRONG_SETTINGS)
    with pytest.raises(ConfigError) as refused:
        load_audio_settings(path, {"AUSCULT_TRAINING__SPAN_S": "no"})
    assert set(str(refused.value).replace(f"{path}:", "").splitlines()) == {
        "AUSCULT_TRAINING__SPAN_S: training.span_s must be a number, not no",
        "4: training.batch_size must be at least 2, not 1",
        "5: training.channels.1 must be a whole number, not wide",
        '3: training.epochz is not a known key; did you mean "epochs"?',
        '10: features.n_fft must be a whole number, not "1024"',
        '8: features.n_mls is not a known key; did you mean "n_mels"?',
        "11: features.hop_length must be a whole number from 1 to 1024, not 2000",
        "9: features.n_mels must be a whole number from 1 to 1024, not 0",
        "12: features.f_min_hz must be a number from 0 to 8000, not 9000",
        '14: trainer is not a known key; did you mean "training"?',
    }


def test_a_default_that_does_not_fit_the_settings_is_named(tmp_path: Path) -> None:
    """The message about a key that is not in the file does not say which one it is."""
    path = tmp_path / "training.toml"
    path.write_text("[features]\nsample_rate_hz = 8000\n")
    with pytest.raises(ConfigError, match=r"features need another f_max_hz: .* from 0 to 4000"):
        load_audio_settings(path, {})


def test_the_tables_of_the_daemon_may_be_in_the_same_file(tmp_path: Path) -> None:
    """A file with the tables of both programs is refused."""
    path = tmp_path / "config.toml"
    path.write_text('[mqtt]\nhost = "broker"\n[features]\nn_mels = 64\nf_max_hz = 4000\n')
    settings = load_audio_settings(path, {"AUSCULT_TRAINING__EPOCHS": "3"})
    assert (settings.spec.n_mels, settings.spec.f_max_hz) == (64, 4000)
    assert settings.training.epochs == 3


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    """A file that a Windows editor saved would be reported as invalid TOML."""
    path = tmp_path / "training.toml"
    path.write_text("\ufeff[training]\nepochs = 3\n", encoding="utf-8")
    assert load_audio_settings(path, {}).training.epochs == 3


@pytest.mark.parametrize(
    ("config", "status", "complaint"),
    [
        ("[training]\nepochz = 3\n", 78, "training.toml:2: training.epochz"),
        ("[features]\nn_mels = 0\n", 78, "training.toml:2: features.n_mels must be"),
        ("[training\n", 78, "not valid TOML"),
        (None, 66, "no such configuration file"),
    ],
)
def test_a_wrong_setting_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    config: str | None,
    status: int,
    complaint: str,
) -> None:
    """A mistyped key is ignored and the default is used."""
    path = tmp_path / "training.toml"
    if config is not None:
        path.write_text(config)
    arguments = ["train", "audio", str(tmp_path), "--out", str(tmp_path / "b")]
    assert run_command([*arguments, "--config", str(path)]) == status
    assert complaint in capsys.readouterr().err


def test_a_missing_recording_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped path gives an unclear error, or leaves an empty bundle folder."""
    status = run_command(["train", "audio", str(tmp_path / "no"), "--out", str(tmp_path / "b")])
    assert status == 66
    assert str(tmp_path / "no") in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
