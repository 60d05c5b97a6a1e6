"""Image commands with wrong data, damaged checkpoints and folders in each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from monitor.errors import BadInputError
from tests.command_line import Outcome, auscult
from tests.tiny_images import bars, idx_bytes, write_frames, write_idx_folder
from training.images import memory
from training.images.folder import read_image_folder
from training.images.image_set import ImageSet

pytestmark = pytest.mark.slow


def write_pixels(
    folder: Path,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    test_labels: NDArray[np.uint8] | None = None,
) -> Path:
    """IDX files with the same images, and other labels, to train and to test."""
    folder.mkdir()
    for prefix, numbers in (("train", labels), ("t10k", test_labels)):
        chosen = labels if numbers is None else numbers
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(idx_bytes(pixels))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(idx_bytes(chosen))
    return folder


def refused(outcome: Outcome, status: int, says: str) -> None:
    """One line with the reason."""
    (line,) = outcome.err.splitlines()
    assert (outcome.status, line.startswith("auscult: ")) == (status, True), outcome.err
    assert says in line


BARS = bars(40, 0).pixels[:, 0]
TWO_CLASSES = bars(40, 0).labels.astype(np.uint8)
ONE_CLASS = np.zeros(40, np.uint8)
RARE_CLASS = np.array([1] * 2 + [0] * 38, np.uint8)


@pytest.mark.parametrize(
    ("labels", "test_labels", "says"),
    [
        (TWO_CLASSES, ONE_CLASS, "class 0 cannot be tested: none of the test images is anomalous"),
        (ONE_CLASS, ONE_CLASS + 1, "class 0 cannot be tested: none of the test images is normal"),
        (RARE_CLASS, TWO_CLASSES, "class 1 has 2 training images"),
    ],
)
def test_classes_that_cannot_be_tested_are_refused_before_the_training(
    tmp_path: Path, labels: NDArray[np.uint8], test_labels: NDArray[np.uint8], says: str
) -> None:
    """The reason would come after the training of all classes before, or be a traceback."""
    data = write_pixels(tmp_path / "data", BARS, labels, test_labels)
    outcome = auscult("train", "oneclass", "--data", data, "--out", tmp_path / "run")
    refused(outcome, 65, says)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize("bytes_free", [20_000, 50_000])  # to read them, to train on them
def test_images_that_do_not_fit_into_memory_are_refused_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_folder: bool, bytes_free: int
) -> None:
    """The system would end the command without a word, or it ends with a traceback."""
    data = tmp_path / "data"
    if is_folder:
        write_frames(data, 40)
    else:
        write_pixels(data, BARS, TWO_CLASSES)
    monkeypatch.setattr(memory, "available_bytes", lambda: bytes_free)
    outcome = auscult("train", "mnist", "--data", data, "--out", tmp_path / "run")
    refused(outcome, 65, "images of 144 values need 0.0 GB of memory, 0.0 GB are available")
    assert str(data) in outcome.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("allocate", [np.empty, torch.empty])
def test_a_lack_of_memory_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allocate: Callable[[int], object]
) -> None:
    """Other programs take the memory during the training: a traceback."""
    data = write_pixels(tmp_path / "data", BARS, TWO_CLASSES)

    monkeypatch.setattr(ImageSet, "scaled", lambda _: allocate(2**59))
    outcome = auscult("train", "mnist", "--data", data, "--out", tmp_path / "run")
    refused(outcome, 69, f"MemoryError: not enough memory ({data}: ")


def test_a_normal_class_without_images_is_refused(tmp_path: Path) -> None:
    """The result for two classes would be that of one of them."""
    data = write_pixels(tmp_path / "data", BARS, TWO_CLASSES)
    normal = ("--normal", "0", "5")
    outcome = auscult("train", "oneclass", "--data", data, "--out", tmp_path / "run", *normal)
    refused(outcome, 65, "class 5 has 0 training images")


@pytest.mark.parametrize(
    ("side", "command", "status", "says"),
    [
        (1, ["mnist"], 64, "an input of 1 element"),
        (2, ["denoise", "--sigma", "0.2", "--dataset", "mnist"], 65, "2 x 2 pixels are too small"),
        (8, ["denoise", "--sigma", "1e-30", "--dataset", "mnist"], 64, "at least 0.001"),
        (8, ["oneclass", "--normal", "9" * 5000], 64, "no such class"),
        (8, ["oneclass", "--normal", "²"], 64, "--normal ²: no such class"),
        (8, ["mnist", "--seed", "5000000000"], 64, "at most 4294967295"),
        (8, ["mnist", "--device", "meta"], 64, "'meta' is not available"),
    ],
)
def test_values_that_no_training_can_use_get_one_line(
    tmp_path: Path, side: int, command: list[str], status: int, says: str
) -> None:
    """Each of these would end in a traceback, some of them after the training."""
    data = write_pixels(tmp_path / "data", BARS[:, :side, :side], TWO_CLASSES)
    refused(auscult("train", *command, "--data", data, "--out", tmp_path / "run"), status, says)


def test_two_images_are_too_few(tmp_path: Path) -> None:
    """Batch statistics of a single image would end in a traceback."""
    data = write_pixels(tmp_path / "data", BARS[:2], TWO_CLASSES[:2])
    outcome = auscult("train", "mnist", "--data", data, "--out", tmp_path / "run")
    refused(outcome, 65, "at least 3 training images are needed, not 2")


@pytest.mark.parametrize("out", [".", "run"])
@pytest.mark.parametrize("option", ["--data", "--score"])
def test_results_among_the_images_are_refused(tmp_path: Path, out: str, option: str) -> None:
    """A figure would replace the image `score.png`, or be an image of the next run."""
    normal = write_frames(tmp_path / "normal", 12)
    other = write_frames(tmp_path / "other", 2)
    before = {one: one.read_bytes() for one in tmp_path.rglob("*.png")}
    scored = ["--score", other] if option == "--score" else []
    folder = other if option == "--score" else normal
    outcome = auscult("train", "oneclass", "--data", normal, *scored, "--out", folder / out)
    refused(outcome, 64, f"is in {option} {folder}: name another folder")
    assert {one: one.read_bytes() for one in tmp_path.rglob("*.png")} == before


def test_a_folder_of_frames_may_have_the_name_of_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The normal frames of a folder `mnist` would count as one class, without a score."""

    def reached(normal: ImageSet, *_: object, **__: object) -> None:
        raise BadInputError(f"{len(normal)} normal frames")

    monkeypatch.setattr("training.images.frames.find_anomalous_frames", reached)
    data = write_frames(tmp_path / "mnist", 12)
    outcome = auscult("train", "oneclass", "--data", data, "--out", tmp_path / "run")
    refused(outcome, 65, "12 normal frames")


def test_only_png_and_jpeg_are_decoded(tmp_path: Path) -> None:
    """PostScript with the name of an image would be run by another program."""
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "frame", "EPS")
    (tmp_path / "frame").rename(tmp_path / "frame.png")
    with pytest.raises(BadInputError, match="cannot identify image file"):
        read_image_folder(tmp_path)


def test_names_of_classes_are_no_markup_on_a_terminal(tmp_path: Path) -> None:
    """The progress bar would take them for tags, and end the run with a traceback."""
    for name in ("[", "other"):
        write_frames(tmp_path / "frames" / name / "red]", 12)
    chosen = ("--data", tmp_path / "frames", "--normal", "[/red]", "--epochs", 1)
    outcome = auscult("train", "oneclass", *chosen, "--out", tmp_path / "run", terminal=True)
    assert outcome.status == 0
    assert "normal: [/red]" in outcome.err


def test_a_few_images_have_all_results(tmp_path: Path) -> None:
    """One test image has no plane of codes: the run would be refused after the training."""
    data = write_frames(tmp_path / "frames", 4)
    outcome = auscult("train", "mnist", "--data", data, "--out", tmp_path / "run", "--epochs", 1)
    assert (outcome.status, outcome.err) == (0, "")
    assert (tmp_path / "run" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("command", "broken"),
    [
        (["mnist"], "loss.png"),
        (["denoise", "--sigma", "0.2"], "loss.png"),
        (["oneclass", "--normal", "0"], "loss.png"),
        (["oneclass"], "1/loss.png"),
        (["mnist"], "metrics.part"),
    ],
)
def test_results_of_two_runs_are_not_taken_for_one(
    tmp_path: Path, command: list[str], broken: str
) -> None:
    """A run that is stopped would leave its weights beside the figures of an earlier run."""
    run = tmp_path / "run"
    arguments = ["train", *command, "--dataset", "mnist", "--epochs", 1, "--out", run]
    arguments += ["--data", write_idx_folder(tmp_path / "idx"), "--latent-dim", 2]
    assert auscult(*arguments).status == 0
    (run / broken).unlink(missing_ok=True)
    (run / broken).mkdir(parents=True)
    refused(auscult(*arguments, "--seed", 1), 66, f"{broken}: Is a directory")
    assert not (run / "metrics.json").exists()


def _without_history(document: dict[str, Any]) -> None:
    del document["state"]["history"]


def _with_another_row(document: dict[str, Any]) -> None:
    document["state"]["history"][0]["more"] = 1


def _with_a_list_as_identity(document: dict[str, Any]) -> None:
    document["identity"] = []


def _of_a_later_version(document: dict[str, Any]) -> None:
    document["version"] = 99


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[object], bytes]:
    """The arguments of a run, and its checkpoint."""
    folder = tmp_path_factory.mktemp("interrupted")
    arguments = ["train", "mnist", "--data", write_idx_folder(folder / "idx"), "--epochs", 1]
    arguments += ["--architecture", "dense", "--latent-dim", 2]
    (folder / "run" / "metrics.json").mkdir(parents=True)
    refused(auscult(*arguments, "--out", folder / "run"), 66, "metrics.json: Is a directory")
    return arguments, (folder / "run" / "checkpoint.safetensors").read_bytes()


@pytest.mark.parametrize(
    "change",
    [_without_history, _with_another_row, _with_a_list_as_identity, _of_a_later_version],
)
def test_a_checkpoint_that_cannot_be_continued_gets_one_line(
    tmp_path: Path,
    interrupted: tuple[list[object], bytes],
    change: Callable[[dict[str, Any]], None],
) -> None:
    """The user would see a traceback, and not what to delete."""
    arguments, content = interrupted
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    document = json.loads(header["__metadata__"]["run"])
    change(document)
    header["__metadata__"]["run"] = json.dumps(document)
    text = json.dumps(header).encode()
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    refused(auscult(*arguments, "--out", tmp_path), 65, "delete it to start again")


def test_a_checkpoint_of_another_network_gets_one_line(
    tmp_path: Path, interrupted: tuple[list[object], bytes]
) -> None:
    """As above."""
    arguments, content = interrupted
    renamed = content.replace(b"weights/encoder.0.bias", b"weights/encoder.0.xxxx")
    assert renamed != content
    (tmp_path / "checkpoint.safetensors").write_bytes(renamed)
    refused(auscult(*arguments, "--out", tmp_path), 65, "delete it to start again")
