"""The figures of the image commands show what they are drawn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.history import HistoryRow
from training.images.figures import save_error_maps, save_histogram, save_history

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


def test_the_threshold_is_drawn_in_the_histogram(tmp_path: Path) -> None:
    """A user could not see how far the scores are from the threshold."""
    scores = {"frames": np.linspace(-1.0, 1.0, 50)}
    save_histogram(tmp_path / "score.png", scores, "score", threshold=0.0)
    columns = (pixels(tmp_path / "score.png")[20:-50, 60:-60].max(axis=2) < 90).sum(axis=0)
    assert columns.max() > 50
    save_histogram(tmp_path / "score.png", scores, "score")
    columns = (pixels(tmp_path / "score.png")[20:-50, 60:-60].max(axis=2) < 90).sum(axis=0)
    assert columns.max() < 20
