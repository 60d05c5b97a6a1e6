"""The report in a bundle's folder: how it was made and what it is worth, on one page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from monitor.calibration.threshold import HealthyRecording
from training.loop import write_history
from training.sound.figures import embedded, loss_curves, png, reconstruction, score_histogram
from training.sound.train import AudioResult

REPORT = "report.html"
HISTORY = "history.csv"
FIGURES = ("loss.png", "reconstruction.png", "scores.png")
_STYLE = (
    "body{font:15px/1.5 system-ui;margin:2em auto;max-width:900px;padding:0 1em}"
    "img{max-width:100%}table{border-collapse:collapse;margin:1em 0}"
    "th,td{text-align:left;padding:.2em 1.2em .2em 0;border-bottom:1px solid #ddd}"
    "td.number{text-align:right;font-variant-numeric:tabular-nums}"
)
_MOST_ROWS = 200


def write_report(result: AudioResult) -> Path:
    """Write the page, its figures as files of their own, and ``history.csv`` to the bundle."""
    folder = result.bundle.path
    write_history(folder / HISTORY, result.history.history)
    pictures = dict(zip(FIGURES, _pictures(result), strict=True))
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    path = folder / REPORT
    path.write_text(_page(result, pictures), encoding="utf-8")
    return path


def control_rows(result: AudioResult) -> list[tuple[str, ...]]:
    """The scores beside each other on disturbed healthy recordings, a header first."""
    names = list(result.controls[0].auc)
    rows = [("score", *names, "mean")]
    for control in result.controls:
        figures = [f"{control.auc[name]:.3f}" for name in names]
        rows.append((control.name, *figures, f"{control.mean_auc:.3f}"))
    return rows


def _pictures(result: AudioResult) -> list[bytes]:
    calibration = result.bundle.calibration
    groups = {"healthy, left out in turn": _all_scores(result.healthy)}
    thresholds = {"threshold": calibration.threshold}
    return [
        png(loss_curves(result.history.history, result.history.best_epoch)),
        png(reconstruction(result.sample_db, result.reconstruction_db, result.bundle.spec)),
        png(score_histogram(groups, thresholds)),
    ]


def _page(result: AudioResult, pictures: dict[str, bytes]) -> str:
    bundle, calibration = result.bundle, result.bundle.calibration
    facts = {
        "score": f"{result.choice.kind}: {result.choice.reason}",
        "threshold": f"{calibration.threshold:.4g} for "
        f"{calibration.false_alarms_per_week:g} false alarms a week ({calibration.method})",
        "what supports it": calibration.note,
        "regimes": str(result.n_regimes),
        "network": f"bottleneck {bundle.manifest.network['bottleneck']}, "
        f"{bundle.manifest.network['parameters']} parameters, best epoch "
        f"{result.history.best_epoch} of {len(result.history.history)}, "
        f"{result.history.seconds:.0f} s",
        "with and without": result.verdict,
    }
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        f"<title>{html.escape(bundle.path.name)}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(bundle.path.name)}</h1>",
        _table(list(facts.items())),
        "<h2>Healthy scores and the threshold</h2>",
        embedded(pictures["scores.png"], "histogram of healthy scores"),
        *_before_and_after(result),
        "<h2>What the network adds</h2>",
        (
            "<p>ROC AUC on left-out healthy recordings with small artificial disturbances: which "
            "score hears them sooner. They are no forecast of how real faults are found.</p>"
        ),
        _table(control_rows(result), header=True),
        "<h2>A window and its reconstruction</h2>",
        embedded(pictures["reconstruction.png"], "a window, its reconstruction, the residual"),
        "<h2>Training</h2>",
        embedded(pictures["loss.png"], "loss over the epochs"),
        "<h2>Recordings</h2>",
        *_recordings(result),
        "</html>\n",
    ]
    return "\n".join(parts)


def _before_and_after(result: AudioResult) -> list[str]:
    """How the bundle that was continued scored today's recordings, beside the new one."""
    if not result.healthy_before or result.threshold_before is None:
        return []
    rows = [("", "median score", "threshold", "recordings over it for most of their length")]
    for name, healthy, threshold in (
        ("before", result.healthy_before, result.threshold_before),
        ("after", result.healthy, result.bundle.calibration.threshold),
    ):
        over = sum(float(np.median(h.scores)) > threshold for h in healthy)
        median = float(np.median(_all_scores(healthy)))
        rows.append((name, f"{median:.4g}", f"{threshold:.4g}", f"{over} of {len(healthy)}"))
    return ["<h2>Before and after</h2>", _table(rows, header=True)]


def _recordings(result: AudioResult) -> list[str]:
    rows: list[tuple[str, ...]] = [("recording", "seconds", "score")]
    scored = list(zip(result.names, result.healthy, strict=True))
    for name, healthy in scored[:_MOST_ROWS]:
        rows.append((name, f"{healthy.seconds:.1f}", f"{healthy.whole:.2f}"))
    more = len(scored) - _MOST_ROWS
    return [_table(rows, header=True), f"<p>and {more} more</p>" if more > 0 else ""]


def _table(rows: Sequence[tuple[str, ...]], *, header: bool = False) -> str:
    cells = []
    for index, row in enumerate(rows):
        first = "th" if header and index == 0 else "td"
        cells.append("".join(f"<{first}>{html.escape(cell)}</{first}>" for cell in row))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in cells) + "</table>"


def _all_scores(healthy: Sequence[HealthyRecording]) -> npt.NDArray[np.float64]:
    return np.concatenate([recording.scores for recording in healthy])
