"""The figures of the image commands show what they are drawn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.history import HistoryRow
from training.images.figures import (
    save_error_maps,
    save_histogram,
    save_history,
    save_latent_space,
    save_rows,
)

BLUE, ORANGE = (31, 119, 180), (255, 127, 14)


def pixels(path: Path) -> NDArray[np.int64]:
    """The picture as ``(height, width, 3)``."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int64)


def count(picture: NDArray[np.int64], colour: tuple[int, int, int]) -> int:
    """The number of pixels that are close to ``colour``."""
    return int((np.abs(picture - colour).max(axis=2) < 40).sum())


@pytest.mark.parametrize("n_epochs", [1, 2, 30])
def test_the_loss_of_every_run_is_visible(tmp_path: Path, n_epochs: int) -> None:
    """The picture of a run with one epoch would be blank."""
    history = [
        HistoryRow(i, 5.0 - i / 30, 0.2 + i / 100, 1e-3, 1.0) for i in range(1, n_epochs + 1)
    ]
    save_history(tmp_path / "loss.png", history)
    inside = pixels(tmp_path / "loss.png")[20:-50, 70:-70]
    assert count(inside, BLUE) > 10
    assert count(inside, ORANGE) > 10


def test_every_frame_has_its_title(tmp_path: Path) -> None:
    """A user could not find the file of an anomalous frame."""
    images = np.zeros((3, 1, 12, 12), dtype=np.float32)
    save_error_maps(tmp_path / "a.png", images, images, ["a.png\nscore 7", "b.png", ""])
    over_frames = pixels(tmp_path / "a.png")[:25, 100:-4]
    titled = [bool((part < 128).any()) for part in np.array_split(over_frames, 3, axis=1)]
    assert titled == [True, True, False]


def test_names_with_dollar_signs_are_drawn_as_they_are(tmp_path: Path) -> None:
    """A file or class named like a formula would end the run after the training."""
    images = np.zeros((2, 1, 12, 12), dtype=np.float32)
    save_error_maps(tmp_path / "a.png", images, images, ["x$\\frac$.png", "$$.png"])
    save_rows(tmp_path / "b.png", [("$x^$", images)])
    codes, labels = np.eye(2, dtype=np.float32), np.array([0, 1])
    save_latent_space(tmp_path / "c.png", codes, labels, ["$^$", "_$$"], lambda z: _dark(len(z)))
    save_histogram(tmp_path / "d.png", {"$_$": np.arange(3.0)}, "score")
    assert len(list(tmp_path.iterdir())) == 4


def test_one_code_of_many_numbers_has_a_figure(tmp_path: Path) -> None:
    """A small set with one test image would be refused after the training."""
    codes, labels = np.ones((1, 5), dtype=np.float32), np.array([0])
    save_latent_space(tmp_path / "a.png", codes, labels, ["."], lambda z: _dark(len(z)))
    assert count(pixels(tmp_path / "a.png"), BLUE) > 0


@pytest.mark.parametrize("value", [0.0, -1e12, 1e12, -3.0, 3.0])
@pytest.mark.filterwarnings("error")
def test_equal_scores_have_a_histogram(tmp_path: Path, value: float) -> None:
    """Warnings of the division by a width of zero would be printed, and the figure be empty."""
    save_histogram(tmp_path / "score.png", {"frames": np.full(50, value)}, "score")
    assert (pixels(tmp_path / "score.png")[20:-50, 60:-60].min(axis=2) < 200).any()


def _dark(n: int) -> NDArray[np.float32]:
    return np.zeros((n, 1, 12, 12), dtype=np.float32)


def test_the_threshold_is_drawn_in_the_histogram(tmp_path: Path) -> None:
    """A user could not see how far the scores are from the threshold."""
    scores = {"frames": np.linspace(-1.0, 1.0, 50)}
    save_histogram(tmp_path / "score.png", scores, "score", threshold=0.0)
    columns = (pixels(tmp_path / "score.png")[20:-50, 60:-60].max(axis=2) < 90).sum(axis=0)
    assert columns.max() > 50
    save_histogram(tmp_path / "score.png", scores, "score")
    columns = (pixels(tmp_path / "score.png")[20:-50, 60:-60].max(axis=2) < 90).sum(axis=0)
    assert columns.max() < 20
