"""Runs of the image commands: their record, their folder, and what they print when they stop."""

from __future__ import annotations

import csv
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from monitor import __version__
from monitor.errors import MissingInputError
from tests.command_line import Outcome, auscult
from tests.tiny_images import write_idx_folder
from training.history import HistoryRow
from training.images import image_set
from training.images.model import load_image_model
from training.images.objectives import Objective
from training.loop import CHECKPOINT_NAME
from training.run_folder import new_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def idx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_idx_folder(tmp_path_factory.mktemp("idx"))


def mnist(data: Path, out: Path, *more: object) -> Outcome:
    return auscult(
        "train", "mnist", "--data", data, "--out", out, "--architecture", "dense",
        "--latent-dim", 2, "--device", "cpu", *more,
    )  # fmt: skip


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_record_has_epochs_losses_seed_and_versions(tmp_path: Path, idx_folder: Path) -> None:
    """A result could not be repeated, or compared with another one, from its record."""
    options = ("--epochs", 3, "--learning-rate", 0.003, "--batch-size", 32, "--seed", 5)
    outcome = mnist(idx_folder, tmp_path / "run", *options, "--json")
    assert outcome.status == 0, outcome.err
    record: dict[str, Any] = outcome.json
    assert record == json.loads((tmp_path / "run" / "metrics.json").read_text())
    rows = history(tmp_path / "run")
    kept = rows[record["best_epoch"] - 1]
    assert record["epochs"] == len(rows) == 3
    assert record["train_loss"] == float(kept["train_loss"])
    assert record["validation_loss"] == float(kept["validation_loss"])
    assert (record["learning_rate"], record["batch_size"], record["seed"]) == (0.003, 32, 5)
    assert record["versions"]["auscult"] == __version__
    assert record["versions"]["torch"] == torch.__version__
    assert max(float(row["learning_rate"]) for row in rows) <= 0.003


def test_training_and_validation_loss_are_in_the_same_quantity(
    tmp_path: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overfitting would be seen where there is none, because the curves differ in their unit."""
    seen: dict[str, torch.Tensor] = {}
    original = image_set.split_validation

    def spy(*arguments: Any) -> Any:
        train, validation = original(*arguments)
        seen["validation"] = torch.from_numpy(validation.scaled())
        return train, validation

    monkeypatch.setattr("training.images.reconstruction.split_validation", spy)
    for loss in ("bce", "mse"):
        out = tmp_path / loss
        assert mnist(idx_folder, out, "--epochs", 2, "--loss", loss).status == 0
        record = json.loads((out / "metrics.json").read_text())
        model = load_image_model(out / "weights.safetensors")
        assert isinstance(model.objective, Objective)
        images = seen["validation"]
        with torch.no_grad():
            raw = model.network.eval().reconstruct_raw(model.objective.prepare(images))
            expected = float(model.objective.losses(raw, images).mean())
        assert record["validation_loss"] == pytest.approx(expected, rel=1e-4)
        assert 0.3 < record["train_loss"] / record["validation_loss"] < 3.0


def test_others_can_read_the_weights(tmp_path: Path, idx_folder: Path) -> None:
    """A service with a user of its own could not load the network."""
    before = os.umask(0o022)
    try:
        assert mnist(idx_folder, tmp_path / "run", "--epochs", 1).status == 0
    finally:
        os.umask(before)
    for name in ("weights.safetensors", "metrics.json"):
        assert stat.S_IMODE((tmp_path / "run" / name).stat().st_mode) == 0o644, name


@pytest.mark.parametrize(
    ("command", "options", "status"),
    [
        ("mnist", ("--device", "nowhere"), 64),
        ("mnist", ("--batch-size", "1"), 64),
        ("mnist", ("--learning-rate", "0"), 64),
        ("oneclass", ("--normal", "no-such-class"), 64),
        ("mnist", ("--data", "/nowhere"), 66),
    ],
)
def test_a_refused_run_leaves_no_folder(
    command: str, options: tuple[str, ...], status: int, tmp_path: Path, idx_folder: Path
) -> None:
    """The folders of runs that never began would look like results."""
    out = tmp_path / "results" / "run"
    outcome = auscult("train", command, "--data", idx_folder, "--out", out, *options)
    assert outcome.status == status, outcome.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("options", [(), ("--tensorboard",)])
def test_a_refused_training_on_sound_leaves_no_folder(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    """As above."""
    (tmp_path / "sound.wav").write_bytes(b"no sound")
    out = tmp_path / "results" / "pump.bundle"
    assert auscult("train", "audio", tmp_path / "sound.wav", "--out", out, *options).status == 65
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("out", [".", ".."])
def test_a_bundle_among_its_recordings_is_refused(tmp_path: Path, out: str) -> None:
    """The recordings would be copied with the bundle each time it is replaced."""
    folder = tmp_path / "sound"
    folder.mkdir()
    (folder / "sound.wav").write_bytes(b"no sound")
    outcome = auscult("train", "audio", folder, "--out", folder / out)
    assert (outcome.status, outcome.err.count("\n")) == (64, 1)
    assert f"contains the recordings {folder}; name another folder" in outcome.err


def test_a_second_run_with_the_same_folder_is_refused(tmp_path: Path, idx_folder: Path) -> None:
    """Two trainings write one bundle: its files are of both, and hours of one are lost."""
    out, sound = tmp_path / "run", tmp_path / "sound"
    sound.mkdir()
    (sound / "sound.wav").write_bytes(b"no sound")
    with new_folder(out):
        others = (
            mnist(idx_folder, out, "--epochs", 1),
            auscult("train", "audio", sound, "--out", out),
        )
        assert list(out.iterdir()) == []
    for other in others:
        assert (other.status, other.err.count("\n")) == (69, 1)
        assert f"--out {out}: another command writes into this folder" in other.err
    assert mnist(idx_folder, out, "--epochs", 1).status == 0


def test_a_full_disk_names_the_folder(tmp_path: Path) -> None:
    """The user would not know which disk is full."""
    error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="run") as caught, new_folder(tmp_path / "run"):
        raise error
    assert caught.value.filename == str(tmp_path / "run")


def test_curves_of_a_training_without_a_result_are_removed(tmp_path: Path) -> None:
    """A recording that is refused after the training would leave a folder that is no bundle."""
    curves = tmp_path / "new" / "tensorboard"

    def fail() -> None:
        curves.mkdir()
        (curves / "events").write_text("a curve")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), new_folder(curves.parent, curves=curves):
        fail()
    assert not (tmp_path / "new").exists()
    curves.mkdir(parents=True)
    with pytest.raises(ZeroDivisionError), new_folder(curves.parent, curves=curves):
        raise ZeroDivisionError
    assert curves.exists()


def test_a_run_that_fails_keeps_what_was_there(tmp_path: Path) -> None:
    """Results of an earlier run, or a checkpoint, would be deleted."""

    def fail(folder: Path) -> None:
        (folder / "empty").mkdir()
        (folder / "checkpoint").write_text("hours of work")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "a" / "b") as folder:
        fail(folder)
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["checkpoint"]
    (tmp_path / "old").mkdir()
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "old"):
        raise ZeroDivisionError
    assert (tmp_path / "old").exists()
    with pytest.raises(MissingInputError, match="--out"), new_folder(Path("/dev/null/x")):
        pass


def test_an_interrupted_run_says_how_to_continue_and_where_it_resumes(
    tmp_path: Path,
    idx_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A user would not know that the finished epochs are kept."""

    class Interrupter:
        def on_step(self, *_: object) -> None:
            pass

        def on_epoch(self, row: HistoryRow) -> None:
            if row.epoch == 2:
                raise KeyboardInterrupt

    class Shown:
        def __enter__(self) -> list[Interrupter]:
            return [Interrupter()]

        def __exit__(self, *_: object) -> None:
            pass

    options = ("--epochs", 4)
    caplog.set_level("INFO", logger="training")
    with monkeypatch.context() as patched:
        patched.setattr("training.images.train.training_progress", lambda *_, **__: Shown())
        stopped = mnist(idx_folder, tmp_path / "run", *options)
    assert stopped.status == 130
    assert caplog.messages[-1] == "interrupted; repeat the command to continue"
    assert (tmp_path / "run" / CHECKPOINT_NAME).exists()
    resumed = mnist(idx_folder, tmp_path / "run", *options)
    assert resumed.status == 0
    assert f"resuming from epoch 2 of {tmp_path / 'run' / CHECKPOINT_NAME}" in caplog.messages
    assert len(history(tmp_path / "run")) == 4


def test_every_command_has_the_record(tmp_path: Path, idx_folder: Path) -> None:
    """A script that reads the records of all commands would fail for one of them."""
    common = ("--data", idx_folder, "--epochs", 1, "--json", "--device", "cpu")
    keys = {"epochs", "best_epoch", "train_loss", "validation_loss", "seed", "versions"}
    noise = auscult("train", "denoise", "--sigma", 0.2, "--out", tmp_path / "d", *common)
    assert noise.status == 0, noise.err
    assert keys <= {*noise.json}
    one = auscult("train", "oneclass", "--out", tmp_path / "o", *common, "--normal", 0)
    assert one.status == 0, one.err
    assert keys <= {*one.json}
    assert one.json["epochs"] == {"0": 1}
