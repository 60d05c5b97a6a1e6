"""The figures of reports: every epoch is visible, and bands are at their frequencies."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from monitor.features.log_mel_frames import log_mel_frames
from monitor.features.log_mel_spec import LogMelSpec
from training.history import HistoryRow
from training.sound.figures import compared_panels, loss_curves


def test_the_loss_of_one_epoch_is_visible() -> None:
    """The figure of a training with one epoch is blank: a line needs two points."""
    row = HistoryRow(epoch=1, train_loss=0.9, validation_loss=0.0, learning_rate=1e-3, seconds=1.0)
    axes = loss_curves([row], best_epoch=1).axes[0]
    curves = [line for line in axes.lines if line.get_label() != "epoch that was kept"]
    assert [line.get_marker() for line in curves] == ["o", "o"]
    assert axes.get_xlim() == (0.5, 1.5)


@pytest.mark.parametrize("tone_hz", [120.0, 700.0, 3000.0])
def test_a_tone_is_drawn_at_its_frequency_and_time(tone_hz: float) -> None:
    """The axis is that of another band, sample rate or hop, so a reader looks at a wrong part."""
    spec = LogMelSpec(hop_length=256, n_mels=64, f_min_hz=50.0, f_max_hz=7000.0)
    seconds = np.arange(2 * spec.sample_rate_hz) / spec.sample_rate_hz
    frames_db = log_mel_frames(np.sin(2 * np.pi * tone_hz * seconds).astype(np.float32), spec)
    panels = Figure().subplots(1, 3)
    compared_panels(panels, frames_db.T, np.zeros_like(frames_db.T), spec, begin_s=10.0)
    mesh = panels[0].collections[0]
    assert isinstance(mesh, QuadMesh)
    corners = np.asarray(mesh.get_coordinates())
    loudest = int(frames_db.mean(axis=0).argmax())
    low_hz, high_hz = corners[loudest, 0, 1], corners[loudest + 1, 0, 1]
    assert low_hz - 20 < tone_hz < high_hz + 20
    assert corners[0, 0, 0] == 10.0
    assert corners[0, -1, 0] == pytest.approx(12.0, abs=0.1)
    assert panels[0].get_yscale() == "symlog"
