"""The report of a calibration: ``report.html`` in a bundle whose threshold was replaced.

The report of the training has the threshold before, in its text and in its picture of the
scores. It stays with the bundle before, and this page links to it.
"""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.calibration.threshold import HealthyRecording
from monitor.model.manifest import BundleManifest, Calibration
from monitor.wording import counted, duration

REPORT = "report.html"
_WITH_OLD_THRESHOLD = ("scores.png",)
_PICTURES = {"reconstruction.png": "A window and its reconstruction", "loss.png": "Training"}
_MOST_ROWS = 200
_BINS, _WIDTH, _HEIGHT = 60, 840, 200
_STYLE = (
    "body{font:15px/1.5 system-ui;margin:2em auto;max-width:900px;padding:0 1em}"
    "img,svg{max-width:100%}table{border-collapse:collapse;margin:1em 0}"
    "th,td{text-align:left;padding:.2em 1.2em .2em 0;border-bottom:1px solid #ddd}"
)


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """The content of the page.

    ``bundle``: the bundle that the page belongs to, ``previous`` the one with the calibration
    ``before``. ``healthy``: the scores of the recordings ``names``.
    """

    bundle: Path
    manifest: BundleManifest
    before: Calibration | None
    previous: Path
    names: Sequence[str]
    healthy: Sequence[HealthyRecording]


def write_calibration_report(folder: Path, report: CalibrationReport) -> None:
    """Replace the report in ``folder``, and remove the pictures that show the old threshold."""
    new = folder / (REPORT + ".new")
    new.write_text(_page(folder, report), encoding="utf-8")
    new.replace(folder / REPORT)
    for name in _WITH_OLD_THRESHOLD:
        (folder / name).unlink(missing_ok=True)


def _page(folder: Path, report: CalibrationReport) -> str:
    name = html.escape(report.bundle.absolute().name)
    facts = "".join(f"<tr><th>{key}<td>{value}" for key, value in _facts(report).items())
    pictures = "".join(
        f"<h2>{title}</h2><img alt='{title}' src='{file}'>"
        for file, title in _PICTURES.items()
        if (folder / file).exists()
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<title>{name}</title><style>{_STYLE}</style><h1>{name}</h1>"
        f"<table>{facts}</table><h2>Healthy scores and the threshold</h2>"
        f"{_histogram(report)}{pictures}<h2>Recordings</h2>{_recordings(report)}</html>\n"
    )


def _facts(report: CalibrationReport) -> dict[str, str]:
    """The facts as HTML."""
    manifest, before = report.manifest, report.before
    calibration = _calibration(report)
    facts = {
        "Threshold": f"{calibration.threshold:.4g} for "
        f"{counted(calibration.false_alarms_per_week, 'false alarm')} a week, set by "
        "auscult calibrate",
        "Threshold before": "none"
        if before is None
        else f"{before.threshold:.4g} for "
        f"{counted(before.false_alarms_per_week, 'false alarm')} a week",
        "Data": f"{duration(calibration.healthy_s)} in "
        f"{counted(calibration.recordings, 'recording')}. {html.escape(calibration.note)}",
        "Scoring": f"{manifest.score.kind}: {html.escape(manifest.score.reason)}",
        "Bundle before": html.escape(str(report.previous)),
    }
    if (report.previous / REPORT).exists():
        target = os.path.relpath(report.previous / REPORT, report.bundle)
        link = f"<a href='{html.escape(target, quote=True)}'>{html.escape(target)}</a>"
        facts["Report before"] = link
    return facts


def _histogram(report: CalibrationReport) -> str:
    """The healthy scores and the threshold as SVG."""
    scores = np.concatenate([recording.scores for recording in report.healthy])
    threshold = _calibration(report).threshold
    highest = 1.05 * max(float(scores.max()), threshold)
    counts, _ = np.histogram(scores, bins=_BINS, range=(0.0, highest))
    step = _WIDTH / _BINS
    bars = "".join(
        f"<rect x='{step * index:.1f}' y='{_HEIGHT - height:.1f}' width='{step - 1:.1f}' "
        f"height='{height:.1f}' fill='#47a'/>"
        for index, height in enumerate(_HEIGHT * counts / counts.max())
        if height
    )
    at = _WIDTH * threshold / highest
    return (
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT + 20}' role='img'>"
        f"<title>histogram of healthy scores</title>{bars}"
        f"<path d='M{at:.1f} 0V{_HEIGHT}' stroke='#c33'/>"
        f"<text x='{at - 4:.1f}' y='14' text-anchor='end' fill='#c33'>threshold</text>"
        f"<text x='0' y='{_HEIGHT + 16}'>0</text>"
        f"<text x='{_WIDTH}' y='{_HEIGHT + 16}' text-anchor='end'>{highest:.3g}</text></svg>"
    )


def _recordings(report: CalibrationReport) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}<td>{one.seconds:.1f}<td>{one.whole:.2f}"
        for name, one in list(zip(report.names, report.healthy, strict=True))[:_MOST_ROWS]
    )
    more = len(report.names) - _MOST_ROWS
    rest = f"<p>and {counted(more, 'more recording')}</p>" if more > 0 else ""
    return f"<table><tr><th>recording<th>seconds<th>score{rows}</table>{rest}"


def _calibration(report: CalibrationReport) -> Calibration:
    if report.manifest.calibration is None:
        raise ValueError("a calibration report needs a calibration")
    return report.manifest.calibration
