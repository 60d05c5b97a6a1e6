"""The image commands, from arguments to files."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from monitor.errors import AuscultError, BadInputError, MissingInputError, UsageError
from tests.tiny_images import write_frames, write_idx_folder
from training.cli import app
from training.history import FitResult
from training.images import denoising, oneclass
from training.images.model import load_image_model
from training.loop import fit

pytestmark = pytest.mark.slow

RUNNER = CliRunner()


def train(*arguments: object) -> str:
    """Run ``auscult train`` with ``arguments`` and return what it prints."""
    result = RUNNER.invoke(app, [str(a) for a in arguments], catch_exceptions=True)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def metrics_of(folder: Path) -> dict[str, Any]:
    """Return what a run wrote to its ``metrics.json``."""
    document: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def idx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small IDX files."""
    return write_idx_folder(tmp_path_factory.mktemp("idx"))


@pytest.mark.parametrize("architecture", ["dense", "convolutional", "recurrent"])
def test_mnist_writes_all_files_and_keys(
    tmp_path: Path, idx_folder: Path, architecture: str
) -> None:
    """A script that reads the documented files and keys would fail."""
    printed = train(
        "mnist", "--data", idx_folder, "--out", tmp_path, "--architecture", architecture,
        "--latent-dim", 2, "--epochs", 4,
    )  # fmt: skip
    metrics = metrics_of(tmp_path)
    assert {"test_mse", "test_bce", "pca_mse", "parameters", "latent_dim", "seconds"} <= {*metrics}
    assert "PCA-2" in printed
    with (tmp_path / "history.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 4
    for name in ("reconstructions.png", "latent.png", "loss.png"):
        with Image.open(tmp_path / name) as image:
            assert min(image.size) > 50
    model = load_image_model(tmp_path / "weights.safetensors")
    assert model.n_parameters == metrics["parameters"]
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_network_worse_than_pca_is_reported(tmp_path: Path, idx_folder: Path) -> None:
    """A user would believe that an untrained network is good."""
    printed = train("mnist", "--data", idx_folder, "--out", tmp_path, "--epochs", 1)
    assert "NOT better than PCA" in printed


def test_a_recurrent_network_has_the_chosen_cell(tmp_path: Path, idx_folder: Path) -> None:
    """An LSTM could not be chosen on the command line."""
    train(
        "mnist", "--data", idx_folder, "--out", tmp_path, "--architecture", "recurrent",
        "--cell", "lstm", "--latent-dim", 2, "--epochs", 1,
    )  # fmt: skip
    model = load_image_model(tmp_path / "weights.safetensors")
    assert model.network.spec.cell == "lstm"


def test_a_finished_class_is_not_trained_again_after_an_interruption(
    tmp_path: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine trained classes would be trained again after an interruption of the tenth."""
    arguments = ["oneclass", "--data", idx_folder, "--latent-dim", 3, "--epochs", 2]
    trained: list[int] = []

    def counting(*given: Any, **named: Any) -> FitResult:
        result = fit(*given, **named)
        trained.append(len(result.history) if result.earlier_seconds == 0 else 0)
        return result

    def interrupted(*_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr("training.images.train.fit", counting)
    train(*arguments, "--out", tmp_path / "whole")
    with monkeypatch.context() as broken:
        broken.setattr(oneclass, "save_rows", interrupted)
        with pytest.raises(InterruptedError):
            train(*arguments, "--out", tmp_path / "resumed")
    train(*arguments, "--out", tmp_path / "resumed")
    assert trained == [2, 2, 2, 0, 2]
    whole, resumed = (metrics_of(tmp_path / name) for name in ("whole", "resumed"))
    assert whole["auc"] == resumed["auc"]
    assert not list(tmp_path.rglob("checkpoint*"))


def test_an_interrupted_run_is_not_continued_on_other_noise(
    tmp_path: Path, idx_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A denoiser would be trained partly on one noise and partly on another."""

    def interrupted(*_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(denoising, "write_run", interrupted)
    arguments = ["denoise", "--data", idx_folder, "--out", tmp_path, "--epochs", 1]
    with pytest.raises(InterruptedError):
        train(*arguments, "--sigma", 0.2)
    with pytest.raises(UsageError, match="image_noise"):
        train(*arguments, "--sigma", 0.3)


def test_mse_goes_with_a_linear_output(tmp_path: Path, idx_folder: Path) -> None:
    """Output and loss would not match, or the results would not be in 0..1."""
    train(
        "mnist",
        "--data",
        idx_folder,
        "--out",
        tmp_path,
        "--loss",
        "mse",
        "--latent-dim",
        4,
        "--epochs",
        45,
    )
    model = load_image_model(tmp_path / "weights.safetensors")
    assert model.network.spec.output == "linear"
    assert metrics_of(tmp_path)["test_mse"] < 0.02


def test_variational_reports_its_lower_bound_and_gmm_its_likelihood(
    tmp_path: Path, idx_folder: Path
) -> None:
    """The density of an autoencoder's codes, or the variational bound, would be missing."""
    train(
        "mnist", "--data", idx_folder, "--out", tmp_path, "--architecture", "variational",
        "--density", "gmm", "--epochs", 5, "--tensorboard", "--latent-dim", 3,
    )  # fmt: skip
    metrics = metrics_of(tmp_path)
    assert metrics["test_elbo"] < 0
    assert np.isfinite(metrics["density_test_log_likelihood"])
    assert (tmp_path / "samples.png").exists()
    assert list((tmp_path / "tensorboard").glob("events.*"))


@pytest.mark.parametrize(("method", "epochs"), [("supervised", 12), ("projection", 30)])
def test_denoise_removes_noise(
    tmp_path: Path, idx_folder: Path, method: str, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The noise would stay, or documented figures would be missing."""
    monkeypatch.setitem(sys.modules, "bm3d", None)  # slow, if it is installed
    printed = train(
        "denoise", "--data", idx_folder, "--out", tmp_path, "--sigma", 0.2, "--method", method,
        "--json", "--epochs", epochs,
    )  # fmt: skip
    metrics = metrics_of(tmp_path)
    assert json.loads(printed) == metrics
    assert {"psnr_noisy_db", "psnr_db", "pca_psnr_db", "ssim", "sigma"} <= {*metrics}
    assert metrics["psnr_db"] > metrics["psnr_noisy_db"] + 3
    assert {"non-local means", "wavelet"} <= {*metrics["classical"]}
    assert (tmp_path / "denoised.png").exists()


def test_oneclass_trains_on_each_class_separately(tmp_path: Path, idx_folder: Path) -> None:
    """The default would leave out a class, or not detect the others."""
    printed = train(
        "oneclass", "--data", idx_folder, "--out", tmp_path, "--latent-dim", 3, "--epochs", 20
    )
    metrics = metrics_of(tmp_path)
    assert re.search(rf"^mean +{metrics['mean_auc']:.4f} ", printed, re.MULTILINE)
    assert {"auc", "mean_auc", "pca_mean_auc"} <= {*metrics}
    assert [key for key, value in metrics["auc"].items() if value > 0.9] == ["0", "1"]


def test_oneclass_reads_classes_after_normal_as_one_set(tmp_path: Path, idx_folder: Path) -> None:
    """``--normal 0 1`` would ignore the second class, or train on each one separately."""
    with pytest.raises(UsageError, match="names every class"):
        train("oneclass", "--data", idx_folder, "--out", tmp_path, "--normal", 0, 1, "--epochs", 1)


def test_an_anomalous_frame_is_listed_first(tmp_path: Path) -> None:
    """An anomalous frame would not be found."""
    ordinary = write_frames(tmp_path / "ordinary", 120, colour=True)
    others = write_frames(tmp_path / "others", 10, seed=5, colour=True)
    with Image.open(others / "003.png") as image:
        image.rotate(90).save(others / "odd.png")
    printed = train(
        "oneclass", "--data", ordinary, "--score", others, "--out", tmp_path / "run",
        "--false-alarm-rate", 0.05, "--epochs", 50,
    )  # fmt: skip
    with (tmp_path / "run" / "frames.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["file"] == str(others / "odd.png")
    assert rows[0]["anomalous"] == "1"
    assert len(rows) == 11
    assert "odd.png" in printed
    assert (tmp_path / "run" / "frames.png").exists()


def test_an_anomalous_frame_among_the_ordinary_ones_is_found(tmp_path: Path) -> None:
    """A frame that was trained on would not be found."""
    folder = write_frames(tmp_path / "frames", 100)
    with Image.open(folder / "042.png") as image:
        image.rotate(90).save(folder / "042.png")
    train("oneclass", "--data", folder, "--out", tmp_path / "run", "--epochs", 40)
    with (tmp_path / "run" / "frames.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["file"] == str(folder / "042.png")
    assert rows[0]["anomalous"] == "1"
    assert len(rows) == 100


@pytest.mark.parametrize("command", ["mnist", "denoise"])
def test_every_command_accepts_a_folder_of_images(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only grey images of 28 x 28 pixels could be used."""
    monkeypatch.setitem(sys.modules, "bm3d", None)  # slow, if it is installed
    folder = write_frames(tmp_path / "frames", 60, colour=True)
    sigma = ["--sigma", 0.2] if command == "denoise" else []
    train(command, "--data", folder, "--out", tmp_path / "run", "--epochs", 2, *sigma)
    assert (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--latent-dim", 144], UsageError, "no bottleneck for an input of 144"),
        (["--epochs", 0], UsageError, "epochs is 0"),
        (["--device", "abacus"], UsageError, "abacus"),
        (["--data", "/nowhere"], MissingInputError, "/nowhere"),
    ],
)
def test_a_mistake_gets_one_line(
    tmp_path: Path,
    idx_folder: Path,
    arguments: list[object],
    error: type[AuscultError],
    message: str,
) -> None:
    """A user's mistake would end in a traceback or train something else."""
    with pytest.raises(error, match=message) as caught:
        train("mnist", "--data", idx_folder, "--out", tmp_path, *arguments)
    assert "\n" not in str(caught.value)


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    """Frames would be stretched or cut without a message."""
    folder = write_frames(tmp_path / "frames", 5)
    Image.new("L", (13, 12)).save(folder / "wide.png")
    with pytest.raises(BadInputError, match=r"wide\.png: 13 x 12"):
        train("mnist", "--data", folder, "--out", tmp_path / "run")
