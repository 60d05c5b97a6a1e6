"""The figures of the image cases, as small PNG files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from monitor.domain import FloatArray
from training.history import HistoryRow
from training.images.pca import fit_pca

_DPI = 80
_MAX_POINTS = 3000
_STEP = 1.05
"""From one image of a row to the next, in widths of an image."""


def save_rows(
    path: Path, rows: Sequence[tuple[str, FloatArray]], column_titles: Sequence[str] = ()
) -> None:
    """Draw rows of images ``(n, c, h, w)`` in 0..1, each row with its name.

    ``column_titles``, if given, has a title of at most two lines for each image of a row.
    """
    n_columns = max(len(images) for _, images in rows)
    _, _, height, width = rows[0][1].shape
    title_inches = 0.35 if column_titles else 0.0
    rows_inches = 0.75 * len(rows) * height / width
    figure = Figure(figsize=(1.2 + 0.75 * n_columns, rows_inches + title_inches))
    # One pair of axes for each row: a pair for each image takes longer than a short training.
    every_axes = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axes, (name, images) in zip(every_axes, rows, strict=True):
        _hide(axes)
        for i, image in enumerate(images):
            _show(axes, image, (i * _STEP, i * _STEP + 1.0, 0.0, 1.0))
        axes.set_xlim(0.0, (n_columns - 1) * _STEP + 1.0)
        axes.set_ylim(0.0, 1.0)
        axes.set_ylabel(_plain(name), rotation=0, ha="right", va="center", fontsize=9)
    for i, title in enumerate(column_titles[:n_columns]):
        middle, above = i * _STEP + 0.5, (0.0, 2.0)
        every_axes[0].annotate(
            _plain(title), (middle, 1.0), above, textcoords="offset points", ha="center", fontsize=7
        )
    figure.subplots_adjust(
        left=1.2 / figure.get_figwidth(),
        right=0.99,
        bottom=0.01,
        top=0.99 - title_inches / figure.get_figheight(),
        hspace=_STEP - 1.0,
    )
    figure.savefig(path, dpi=_DPI)


def save_grid(path: Path, images: FloatArray, n_columns: int) -> None:
    """Draw images ``(n, c, h, w)`` in 0..1 in one picture without gaps."""
    n, channels, height, width = images.shape
    n_rows = n // n_columns
    tiles = images[: n_rows * n_columns].reshape(n_rows, n_columns, channels, height, width)
    mosaic = tiles.transpose(2, 0, 3, 1, 4).reshape(channels, n_rows * height, n_columns * width)
    figure = Figure(figsize=(0.5 * n_columns, 0.5 * n_rows * height / width))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    _hide(axes)
    _show(axes, mosaic)
    figure.savefig(path, dpi=_DPI)


def save_latent_space(
    path: Path,
    codes: FloatArray,
    labels: NDArray[np.int64],
    class_names: Sequence[str],
    decode: Callable[[FloatArray], FloatArray],
) -> None:
    """Draw codes ``(n, latent_dim)`` by class, and the images decoded over the same plane.

    The plane is the code itself if it has two dimensions. Otherwise it goes through the mean code
    along the two principal axes.
    """
    lift: Callable[[FloatArray], FloatArray]
    if codes.shape[1] > 2:
        # A single code has no axes: any will do.
        pca = fit_pca(codes if len(codes) > 1 else np.repeat(codes, 2, axis=0), 2)
        codes_2d, lift, axis_name = pca.encode(codes), pca.decode, "principal axis"
    else:
        n_missing = 2 - codes.shape[1]
        codes_2d, lift = np.pad(codes, ((0, 0), (0, n_missing))), _first_axes(codes.shape[1])
        axis_name = "number"
    figure = Figure(figsize=(10, 4.6))
    left, right = figure.subplots(1, 2)
    _scatter(left, codes_2d, labels, class_names)
    left.set_xlabel(f"{axis_name} 1 of the code", fontsize=9)
    left.set_ylabel(f"{axis_name} 2 of the code", fontsize=9)
    low, high = np.percentile(codes_2d, [2, 98], axis=0)
    n_side = 12
    u, v = np.meshgrid(np.linspace(low[0], high[0], n_side), np.linspace(high[1], low[1], n_side))
    plane = np.column_stack([u.ravel(), v.ravel()]).astype(np.float32)
    images = decode(lift(plane))
    tiles = images.reshape(n_side, n_side, *images.shape[1:])
    mosaic = np.concatenate([np.concatenate(list(row), axis=2) for row in tiles], axis=1)
    _show(right, mosaic)
    _hide(right)
    right.set_title("images decoded over the same plane", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)


def save_history(path: Path, history: Sequence[HistoryRow]) -> None:
    """Draw training and validation loss over the epochs.

    A single epoch is drawn as a circle and a cross.
    """
    figure = Figure(figsize=(5, 3))
    axes = figure.subplots()
    epochs = [row.epoch for row in history]
    one = len(epochs) == 1
    train_loss = [row.train_loss for row in history]
    axes.plot(epochs, train_loss, marker="o" if one else "", markersize=9, label="training")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(FixedLocator(epochs) if one else MaxNLocator(integer=True))
    axes.set_ylabel("loss per image")
    validation = [row.validation_loss for row in history]
    if all(value is not None for value in validation):
        losses = np.array(validation, dtype=float)
        axes.plot(epochs, losses, marker="x" if one else "", markersize=9, label="validation")
        axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)


def save_histogram(
    path: Path,
    groups: Mapping[str, NDArray[np.float64]],
    label: str,
    *,
    threshold: float | None = None,
) -> None:
    """Draw a histogram of each group's scores, with a logarithmic axis if all are positive."""
    figure = Figure(figsize=(6, 3))
    axes = figure.subplots()
    everything = np.concatenate(list(groups.values()))
    low, high = float(everything.min()), float(everything.max())
    logarithmic = low > 0
    if logarithmic:
        bins = np.geomspace(low, high * 1.001, 60)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        bins = np.linspace(low, high + max(1e-9, 1e-6 * abs(high), 1e-6 * abs(low)), 60)
    for name, values in groups.items():
        axes.hist(values, bins=bins.tolist(), alpha=0.6, density=True, label=_legend(name))
    if threshold is not None:
        axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3g}")
    axes.set_xlabel(label)
    axes.set_ylabel("share of images")
    axes.set_yticks([])
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=_DPI)


def save_error_maps(
    path: Path, images: FloatArray, reconstructions: FloatArray, titles: Sequence[str]
) -> None:
    """Draw titled frames, their reconstructions and their squared error, summed over channels."""
    error = np.square(reconstructions - images).sum(axis=1, keepdims=True)
    error = error / max(float(error.max()), 1e-9)
    rows = [("frame", images), ("reconstruction", reconstructions), ("squared error", error)]
    save_rows(path, rows, titles)


def _scatter(
    axes: Axes, points: FloatArray, labels: NDArray[np.int64], class_names: Sequence[str]
) -> None:
    chosen = np.random.default_rng(0).permutation(len(points))[:_MAX_POINTS]
    for i, name in enumerate(class_names):
        rows = chosen[labels[chosen] == i]
        axes.scatter(points[rows, 0], points[rows, 1], s=4, label=_legend(name), color=f"C{i % 10}")
    if 1 < len(class_names) <= 12:
        axes.legend(fontsize=7, markerscale=2, loc="best")
    axes.set_title("codes of the test images", fontsize=9)


def _show(
    axes: Axes, image: FloatArray, extent: tuple[float, float, float, float] | None = None
) -> None:
    """``extent``: where the image is: left, right, bottom, top. Otherwise it fills the axes."""
    clipped = np.clip(image, 0.0, 1.0)
    pixels = clipped.transpose(1, 2, 0) if len(clipped) == 3 else clipped[0]
    axes.imshow(
        pixels,
        cmap="gray",
        vmin=0.0,
        vmax=1.0,
        interpolation="nearest",
        aspect="auto",
        extent=extent,
    )


def _hide(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _plain(text: str) -> str:
    """``text`` as it is: between two dollar signs it would be taken for a formula."""
    return text.replace("$", r"\$")


def _legend(name: str) -> str:
    """A name for a legend, which would leave out one with an underscore at its beginning."""
    return _plain(f" {name}" if name.startswith("_") else name)


def _first_axes(n_axes: int) -> Callable[[FloatArray], FloatArray]:
    return lambda plane: plane[:, :n_axes]
