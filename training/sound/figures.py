"""Figures of reports, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from librosa.display import specshow
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from monitor.domain import FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.operation import OperatingState
from training.history import HistoryRow

_DPI = 110
_SEQUENTIAL, _DIVERGING = "viridis", "RdBu_r"


def loss_curves(history: Sequence[HistoryRow], best_epoch: int) -> Figure:
    """Training and validation loss over the epochs, with the epoch that was kept."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    epochs = [row.epoch for row in history]
    axes.plot(epochs, [row.train_loss for row in history], marker="o", label="training loss")
    validated = [
        (row.epoch, row.validation_loss) for row in history if row.validation_loss is not None
    ]
    if validated:
        axes.plot(*zip(*validated, strict=True), marker="o", label="error on held-out recordings")
    axes.axvline(best_epoch, color="0.6", linestyle=":", label="epoch that was kept")
    axes.set_xlim(0.5, len(epochs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean squared error (standardised)")
    axes.legend()
    return figure


def compared_panels(
    axes: Sequence[Axes],
    recorded_db: FloatArray,
    expected_db: FloatArray,
    spec: LogMelSpec,
    *,
    begin_s: float = 0.0,
) -> None:
    """Draw log-mel, reconstruction and residual into three axes, with colour bars.

    Shape: both ``(n_mels, n_frames)``, in dB; time begins at ``begin_s``.
    """
    residual_db = recorded_db - expected_db
    limit = max(1.0, float(np.percentile(np.abs(residual_db), 99)))
    low, high = (float(value) for value in np.percentile(recorded_db, (1, 99.5)))
    for panel, values, name, limits, colours in zip(
        axes,
        (recorded_db, expected_db, residual_db),
        ("recorded (dB)", "reconstruction (dB)", "recorded - reconstruction (dB)"),
        ((low, high), (low, high), (-limit, limit)),
        (_SEQUENTIAL, _SEQUENTIAL, _DIVERGING),
        strict=True,
    ):
        image = specshow(
            values,
            x_coords=begin_s + np.arange(values.shape[1] + 1) / spec.frame_rate_hz,
            y_coords=band_edges_hz(spec),
            x_axis="s",
            y_axis="mel",
            ax=panel,
            vmin=limits[0],
            vmax=limits[1],
            cmap=colours,
        )
        panel.figure.colorbar(image, ax=panel, pad=0.01)
        panel.set_title(name, loc="left")
        panel.set_ylabel("frequency (Hz)")
        panel.set_xlabel("time (s)")


def band_edges_hz(spec: LogMelSpec) -> npt.NDArray[np.float64]:
    """Between which frequencies each band is drawn, Hz. Shape: ``(n_mels + 1,)``."""
    corners_hz = spec.band_corners_hz
    edges: npt.NDArray[np.float64] = (corners_hz[:-1] + corners_hz[1:]) / 2.0
    return edges


def reconstruction(recorded_db: FloatArray, expected_db: FloatArray, spec: LogMelSpec) -> Figure:
    """A healthy window beside its reconstruction. Shape: both ``(n_mels, n_frames)``."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    compared_panels(figure.subplots(1, 3), recorded_db, expected_db, spec)
    return figure


def operating_states(states: Sequence[OperatingState], spec: LogMelSpec) -> Figure:
    """The low level of each band in each operating state; the states of off are dashed."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    for state in states:
        centres_hz = spec.band_corners_hz[1:-1][: len(state.low_level_db)]
        style = "--" if state.is_off else "-"
        axes.plot(centres_hz, state.low_level_db, linestyle=style, label=state.name)
    axes.set_xlabel("frequency (Hz)")
    axes.set_ylabel("low level (dB)")
    axes.legend(loc="upper right")
    return figure


def score_histogram(
    groups: dict[str, npt.NDArray[np.float64]], thresholds: dict[str, float]
) -> Figure:
    """Histograms of healthy scores, with the thresholds as lines."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    everything = np.concatenate([*groups.values(), list(thresholds.values())])
    bins = np.linspace(everything.min(), everything.max(), 60)
    for name, values in groups.items():
        axes.hist(values, bins=bins.tolist(), alpha=0.6, label=name)
    for name, value in thresholds.items():
        axes.axvline(value, color="black" if name == "threshold" else "0.5", linestyle="--")
        axes.annotate(name, (value, axes.get_ylim()[1]), rotation=90, va="top", ha="right")
    axes.set_xlabel("score")
    axes.set_ylabel("scored spans")
    axes.legend()
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def draw_demo(
    path: Path,
    *,
    scores: Sequence[tuple[float, float]],
    threshold: float,
    fault_s: tuple[float, float],
    raised_s: float | None,
    cleared_s: float | None,
) -> None:
    """Write a PNG. ``scores``: (seconds, score) pairs; all times are in seconds since the start."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.axvspan(*fault_s, color="tab:red", alpha=0.15, label="bearing fault")
    axes.plot(*zip(*scores, strict=True), color="tab:blue", label="score")
    axes.axhline(threshold, color="black", linestyle="--", label="threshold")
    for at_s, what, colour in (
        (raised_s, "raised", "tab:red"),
        (cleared_s, "cleared", "tab:green"),
    ):
        if at_s is not None:
            axes.axvline(at_s, color=colour, label=f"alert {what} at {at_s:.1f} s")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds since the start of the daemon")
    axes.set_ylabel("score")
    axes.set_title("Score and alerts of the demo")
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=120)
