"""The report of a calibration: ``report.html`` in a bundle whose threshold was replaced.

The report of the training has the threshold before, in its text and in its picture of the
scores. It stays with the previous bundle, and this page links to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitor.calibration.findings import SetFindings
from monitor.calibration.threshold import HealthyRecording
from monitor.model.manifest import BundleManifest, Calibration
from monitor.offline.html_page import (
    Html,
    facts,
    heading,
    link,
    page,
    paragraph,
    picture_file,
    table,
)
from monitor.text.wording import counted, rounded

REPORT = "report.html"
_WITH_OLD_THRESHOLD = ("scores.png",)
_PICTURES = {"reconstruction.png": "A window and its reconstruction", "loss.png": "Training"}
_MOST_ROWS = 200
_BINS, _WIDTH, _HEIGHT = 60, 840, 200


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
    findings: SetFindings


def write_calibration_report(folder: Path, report: CalibrationReport) -> None:
    """Replace the report in ``folder``, and remove the pictures that show the old threshold."""
    new = folder / (REPORT + ".new")
    new.write_text(_page(folder, report), encoding="utf-8")
    new.replace(folder / REPORT)
    for name in _WITH_OLD_THRESHOLD:
        (folder / name).unlink(missing_ok=True)


def _page(folder: Path, report: CalibrationReport) -> str:
    parts = [facts(_facts(report)), heading("Healthy scores and the threshold")]
    parts.append(_histogram(report))
    for file, title in _PICTURES.items():
        if (folder / file).exists():
            parts += [heading(title), picture_file(file, title)]
    parts += [heading("Recordings"), *_recordings(report)]
    return page(report.bundle.absolute().name, parts)


def _facts(report: CalibrationReport) -> dict[str, str]:
    manifest, before = report.manifest, report.before
    calibration = _calibration(report)
    values = {
        **report.findings.facts(),
        "Threshold": f"{_threshold(calibration)}, set by auscult calibrate",
        "Threshold before": "none" if before is None else _threshold(before),
        "Recording threshold": rounded(calibration.recording_threshold),
        "Data": f"{counted(calibration.recordings, 'recording')}. {calibration.note}",
        "Scoring": f"{manifest.score.kind}: {manifest.score.reason}",
        "Previous bundle": str(report.previous),
    }
    if (report.previous / REPORT).exists():
        target = os.path.relpath(report.previous / REPORT, report.bundle)
        values["Previous report"] = link(target, target)
    return values


def _threshold(calibration: Calibration) -> str:
    budget = counted(calibration.false_alarms_per_week, "false alarm")
    return f"{rounded(calibration.threshold)} for {budget} a week"


def _histogram(report: CalibrationReport) -> Html:
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
    return Html(
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT + 20}' role='img'>"
        f"<title>histogram of healthy scores</title>{bars}"
        f"<path d='M{at:.1f} 0V{_HEIGHT}' stroke='#c33'/>"
        f"<text x='{at - 4:.1f}' y='14' text-anchor='end' fill='#c33'>threshold</text>"
        f"<text x='0' y='{_HEIGHT + 16}'>0</text>"
        f"<text x='{_WIDTH}' y='{_HEIGHT + 16}' text-anchor='end'>{highest:.3g}</text></svg>"
    )


def _recordings(report: CalibrationReport) -> Iterator[Html]:
    scored = list(zip(report.names, report.healthy, strict=True))
    yield table(
        ("recording", "seconds", "recording score"),
        [(name, f"{one.seconds:.1f}", rounded(one.whole)) for name, one in scored[:_MOST_ROWS]],
    )
    if len(scored) > _MOST_ROWS:
        yield paragraph(f"and {counted(len(scored) - _MOST_ROWS, 'more recording')}")


def _calibration(report: CalibrationReport) -> Calibration:
    if report.manifest.calibration is None:
        raise ValueError("a calibration report needs a calibration")
    return report.manifest.calibration
