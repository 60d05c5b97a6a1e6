"""The figures of a bundle's report, as PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monitor.domain import FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from training.loop import HistoryRow

_TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16_000)


def label_in_hz(axes: Axes, spec: LogMelSpec) -> None:
    """Put ticks at round frequencies on a vertical axis of bands ``0`` to ``n_mels - 1``."""
    peaks_hz = spec.band_corners_hz[1:-1]
    shown = [hz for hz in _TICKS_HZ if peaks_hz[0] <= hz <= peaks_hz[-1]]
    axes.set_yticks(np.interp(shown, peaks_hz, np.arange(spec.n_mels)), [f"{hz:g}" for hz in shown])
    axes.set_ylabel("Hz")


_DPI = 100


def loss_curves(history: Sequence[HistoryRow], best_epoch: int) -> Figure:
    """Training and validation loss over the epochs, the epoch that was kept marked."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.add_subplot()
    epochs = [row.epoch for row in history]
    axes.plot(epochs, [row.train_loss for row in history], label="training loss")
    validated = [(row.epoch, row.validation_loss) for row in history if row.validation_loss]
    if validated:
        axes.plot(*zip(*validated, strict=True), label="error on recordings held out")
    axes.axvline(best_epoch, color="0.6", linestyle=":", label="kept")
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean squared error (standardised)")
    axes.legend()
    return figure


def reconstruction(heard_db: FloatArray, expected_db: FloatArray, spec: LogMelSpec) -> Figure:
    """A healthy window beside its reconstruction. Shape: both ``(n_mels, n_frames)``."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    residual_db = heard_db - expected_db
    limit = max(1.0, float(np.percentile(np.abs(residual_db), 99)))
    low, high = np.percentile(heard_db, (1, 99.5))
    for axes, values, name, limits, colours in zip(
        figure.subplots(1, 3),
        (heard_db, expected_db, residual_db),
        ("heard (dB)", "reconstructed (dB)", "residual (dB)"),
        ((low, high), (low, high), (-limit, limit)),
        ("viridis", "viridis", "RdBu_r"),
        strict=True,
    ):
        seconds = values.shape[1] / spec.frame_rate_hz
        image = axes.imshow(
            values,
            origin="lower",
            aspect="auto",
            extent=(0.0, seconds, -0.5, spec.n_mels - 0.5),
            vmin=limits[0],
            vmax=limits[1],
            cmap=colours,
        )
        figure.colorbar(image, ax=axes, pad=0.02)
        axes.set_title(name)
        axes.set_xlabel("s")
        label_in_hz(axes, spec)
    return figure


def score_histogram(
    groups: dict[str, npt.NDArray[np.float64]], thresholds: dict[str, float]
) -> Figure:
    """Histograms of healthy scores, and the thresholds over them."""
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


def embedded(content: bytes, description: str) -> str:
    """A PNG as an HTML element that needs no other file."""
    data = base64.b64encode(content).decode("ascii")
    return f"<img alt='{description}' src='data:image/png;base64,{data}'>"
