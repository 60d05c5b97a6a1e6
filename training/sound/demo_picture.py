"""The demo's picture: the score against the threshold while a fault begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


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
    FigureCanvasAgg(figure)
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
    axes.set_xlabel("seconds since the start of the daemon")
    axes.set_ylabel("score")
    axes.set_title("Score and alerts of the demo")
    axes.legend(loc="upper left")
    figure.savefig(path, dpi=120)
