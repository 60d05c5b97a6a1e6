"""`auscult evaluate`: figures of a bundle on recordings with known answers."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sklearn.metrics import roc_auc_score

from monitor.calibration.blocks import WEEK_S
from monitor.detection.settings import DetectorSettings
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.network import Network
from monitor.offline.evaluate import evaluation_of, score_labelled
from monitor.offline.replay import ReplaySinks, replay_recording
from tests.bundles import machine_sound, make_bundle
from tests.command_line import RATE_HZ, auscult

N_NORMAL, N_ANOMALOUS = 6, 4
LOUD, FAINT = 0.3, 0.0018


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("made") / "pump.bundle")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Normal recordings, and recordings with a loud fault, a faint one, or hardly any."""
    folder = Path(tmp_path_factory.mktemp("sounds"))
    (folder / "normal").mkdir()
    (folder / "anomalous").mkdir()
    for seed in range(N_NORMAL):
        path = folder / "normal" / f"{seed}.flac"
        soundfile.write(path, machine_sound(15, seed=100 + seed), RATE_HZ)
    for seed, fault in enumerate((LOUD, LOUD, FAINT, 0.0)):
        path = folder / "anomalous" / f"{seed}.flac"
        soundfile.write(path, machine_sound(15, seed=200 + seed, fault=fault), RATE_HZ)
    return folder


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def evaluated(bundle: Bundle, sounds: Path, *more: object) -> dict[str, Any]:
    outcome = auscult(
        "evaluate",
        bundle.path,
        *("--normal", *files(sounds / "normal")),
        *("--anomalous", *files(sounds / "anomalous")),
        *("--json", *more),
    )
    assert outcome.status == 0, outcome.err
    result: dict[str, Any] = outcome.json
    return result


def test_the_figures_are_those_of_a_replay(made: Bundle, sounds: Path) -> None:
    """The command would print figures that `auscult replay` contradicts."""
    result = evaluated(made, sounds)
    replayed = auscult("replay", made.path, sounds, "--json").json["files"]
    scores = {row["file"]: row["score"] for row in replayed}
    alerts = {row["file"]: row["alerts"] for row in replayed}
    labels = ["anomalous" in file for file in scores]
    assert result["auc"] == pytest.approx(roc_auc_score(labels, list(scores.values())), abs=1e-12)
    partial = roc_auc_score(labels, list(scores.values()), max_fpr=0.1)
    assert result["pauc"] == pytest.approx(partial, abs=1e-12)
    with_alert = sum(n > 0 for file, n in alerts.items() if "anomalous" in file)
    assert with_alert >= 2
    assert result["recall_at_budget"] == with_alert / N_ANOMALOUS
    assert result["false_alarms"] == sum(n for file, n in alerts.items() if "anomalous" not in file)
    assert (result["normal"], result["anomalous"]) == (N_NORMAL, N_ANOMALOUS)
    assert result["budget"] == 1.0
    for name in ("auc", "pauc", "recall_at_budget", "false_alarms_per_week"):
        low, high = result[f"{name}_interval"]
        assert low <= result[name] <= high, name


def test_each_budget_has_the_alerts_of_a_replay_at_that_budget(made: Bundle, sounds: Path) -> None:
    """The curve would show recalls that the daemon does not reach with this budget."""
    normal, anomalous = files(sounds / "normal"), files(sounds / "anomalous")
    network = Network(made)
    scored = score_labelled(made, normal, anomalous)
    curve = evaluation_of(made, scored).curve
    assert len(curve) >= 10
    seconds = sum(one.summary.seconds for one in scored if one.label == "normal")
    sinks = ReplaySinks(lambda *_: None, lambda *_: None)
    for point in curve[::3]:
        settings = DetectorSettings(alarm_per_week=point.false_alarms_per_week)
        alone = [
            replay_recording(
                path, made, network, settings, sinks, machine="m", start_unix_s=0.0
            ).alerts
            for path in (*normal, *anomalous)
        ]
        assert point.recall == np.mean([n > 0 for n in alone[N_NORMAL:]])
        assert point.false_alarms == sum(alone[:N_NORMAL])
        assert point.measured_per_week == pytest.approx(point.false_alarms / seconds * WEEK_S)
    recalls = [point.recall for point in curve]
    assert recalls == sorted(recalls)
    assert recalls[0] < recalls[-1], "the faint fault must make a difference"


def test_more_processes_give_the_same_figures(made: Bundle, sounds: Path) -> None:
    """The figures would depend on the computer."""
    assert evaluated(made, sounds, "--jobs", 1) == evaluated(made, sounds, "--jobs", 2)


def test_an_unreadable_recording_is_reported_and_the_others_count(
    made: Bundle, sounds: Path, tmp_path: Path
) -> None:
    """One damaged file would end an evaluation of hours, or hide that it does not count."""
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    outcome = auscult(
        "evaluate", made.path, "--json", "--normal", sounds / "normal", broken,
        "--anomalous", sounds / "anomalous",
    )  # fmt: skip
    assert outcome.status == 65
    assert str(broken) in outcome.err
    assert outcome.json["normal"] == N_NORMAL
    errors = {row["file"]: row["error"] for row in outcome.json["files"] if row["error"]}
    assert list(errors) == [str(broken)]


def test_recordings_too_short_for_an_alert_are_counted(
    made: Bundle, sounds: Path, tmp_path: Path
) -> None:
    """A recall of 0 % would look like a bad bundle, where clips are too short for any alert."""
    for seed in range(2):
        short = machine_sound(5, seed=300 + seed, fault=LOUD)
        soundfile.write(tmp_path / f"{seed}.flac", short, RATE_HZ)
    outcome = auscult("evaluate", made.path, "--normal", sounds / "normal", "--anomalous", tmp_path)
    assert outcome.status == 0
    assert "2 anomalous recordings of 2 cannot raise an alert" in outcome.out


def test_the_page_for_people_has_the_figures_of_the_json(made: Bundle, sounds: Path) -> None:
    """The two outputs would contradict each other."""
    result = evaluated(made, sounds)
    outcome = auscult(
        "evaluate", made.path, "--normal", sounds / "normal", "--anomalous", sounds / "anomalous"
    )
    assert re.search(rf"^ROC AUC +{result['auc']:.3f}  \(", outcome.out, re.MULTILINE)
    assert "1 (budget)" in outcome.out


def test_the_curve_is_a_picture(made: Bundle, sounds: Path, tmp_path: Path) -> None:
    """The picture would be missing, or a wrong option would be noticed after an hour."""
    path = tmp_path / "curve.png"
    evaluated(made, sounds, "--curve", path)
    assert path.read_bytes().startswith(b"\x89PNG")
    outcome = auscult(
        "evaluate", made.path, "--curve", tmp_path / "nowhere" / "curve.png",
        "--normal", sounds / "normal", "--anomalous", sounds / "anomalous",
    )  # fmt: skip
    assert outcome.status == 66


def test_recordings_of_the_training_are_noticed(made: Bundle, sounds: Path, tmp_path: Path) -> None:
    """Figures on the training recordings would be taken for those of new sound."""
    known = Path(shutil.copytree(made.path, tmp_path / "known.bundle"))
    document = json.loads((known / "bundle.json").read_text())
    names = [f"{path}[1/2]" for path in files(sounds / "normal")[:2]]
    document["provenance"]["recordings"] = [{"name": name} for name in names]
    (known / "bundle.json").write_text(json.dumps(document))
    arguments = ("--normal", sounds / "normal", "--anomalous", sounds / "anomalous")
    outcome = auscult("evaluate", load_bundle(known).path, *arguments)
    assert "2 of 6 normal recordings have the names of recordings" in outcome.err
    assert "have the names" not in auscult("evaluate", made.path, *arguments).err


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["b", "--normal", "n"], 64, "--anomalous RECORDING..."),
        (["--normal", "n", "--anomalous", "a"], 64, "needs BUNDLE"),
        (["b", "--normal", "n", "--anomalous"], 64, "--anomalous"),
        (["/nowhere", "--normal", "n", "--anomalous", "a"], 78, "/nowhere"),
        (["b", "--dcase", "d"], 64, "no BUNDLE"),
        (["b", "--normal", "n", "--anomalous", "a", "--out", "o"], 64, "--out"),
        (["--dcase", "/nowhere"], 66, "/nowhere"),
    ],
)
def test_a_mistake_gets_one_line(arguments: list[str], status: int, says: str) -> None:
    """A user would get a traceback, or figures of something else."""
    outcome = auscult("evaluate", *arguments)
    assert outcome.status == status, outcome.err
    (line,) = outcome.err.splitlines()
    assert says in line


def test_a_recording_cannot_be_normal_and_anomalous(made: Bundle, sounds: Path) -> None:
    """A wrong folder would give figures that mean nothing."""
    outcome = auscult(
        "evaluate", made.path, "--normal", sounds, "--anomalous", sounds / "anomalous"
    )
    assert outcome.status == 64
    assert "is given with --normal and with --anomalous" in outcome.err
