"""The curve of recall by false alarms a week, as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter, StrMethodFormatter

from monitor.offline.evaluate import CurvePoint


def draw_curve(points: Sequence[CurvePoint], budget: float) -> bytes:
    """A PNG: recall by the budget of the threshold, and by the false alarms that were measured.

    ``points``: by rising budget. ``budget``: that of the bundle, which is marked.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(
        [point.false_alarms_per_week for point in points],
        [point.recall for point in points],
        marker="o",
        label="by the budget of the threshold",
    )
    measured = [(p.measured_per_week, p.recall) for p in points if p.measured_per_week > 0]
    if measured:
        axes.plot(
            *zip(*measured, strict=True),
            marker="x",
            linestyle="none",
            label="by the false alarms on the normal recordings",
        )
    axes.axvline(budget, color="black", linestyle="--", label=f"budget: {budget:g} a week")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("false alarms a week")
    axes.set_ylabel("anomalous recordings that raise an alert")
    axes.legend(loc="best")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
