"""``auscult evaluate``: figures of a bundle on recordings with known answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.audio.recordings import recording_files
from monitor.commands.output import (
    columns,
    emit,
    message,
    progress,
    report_ignored,
    report_unjudged,
)
from monitor.errors import BadInputError, MissingInputError, UsageError
from monitor.model.bundle import Bundle, load_bundle
from monitor.offline.evaluate import (
    CurvePoint,
    EvaluatedRecording,
    Evaluation,
    Figure,
    evaluation_of,
    score_labelled,
)
from monitor.text.regular_files import real_path
from monitor.text.wording import counted, duration, rounded

DrawCurve = Callable[[Sequence[CurvePoint], float], bytes]
"""Draws the curve of recall, with the budget marked, as PNG. It belongs to the trainer."""


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """The command line of an evaluation."""

    bundle: Path
    normal: tuple[Path, ...]
    anomalous: tuple[Path, ...]
    jobs: int = 1
    seed: int = 0
    curve: Path | None = None
    draw_curve: DrawCurve | None = None
    as_json: bool = False


def evaluate(request: EvaluateRequest) -> int:
    """Print the figures; 65 if a recording could not be read (the others count), otherwise 0."""
    bundle = load_bundle(request.bundle)
    normal, anomalous = recording_files(request.normal), recording_files(request.anomalous)
    report_ignored([*request.normal, *request.anomalous])
    _refuse_both(normal, anomalous)
    _check_writable(request.curve)
    _warn_of_training(bundle, normal)
    n_recordings = len(normal) + len(anomalous)
    scored = score_labelled(
        bundle,
        normal,
        anomalous,
        jobs=request.jobs,
        progress=lambda number, path: progress(f"{number} of {n_recordings}  {path}"),
    )
    progress("")
    result = evaluation_of(bundle, scored, seed=request.seed)
    for one in result.refused:
        message(one.error)
    report_unjudged([one.summary for one in result.recordings])
    if request.curve is not None and request.draw_curve is not None:
        _write(request.curve, request.draw_curve(result.curve, result.budget))
    emit(document(bundle, result), lines(result), as_json=request.as_json)
    return BadInputError.exit_status if result.refused else 0


def document(bundle: Bundle, result: Evaluation) -> dict[str, Any]:
    """The result as JSON."""
    figures = {
        "auc": result.auc,
        "pauc": result.pauc,
        "recall_at_budget": result.recall,
        "false_alarms_per_week": result.false_alarms_per_week,
        "recall_by_score": result.recall_by_score,
        "false_by_score": result.false_by_score,
    }
    with_intervals: dict[str, Any] = {}
    for name, figure in figures.items():
        with_intervals |= {name: figure.value, f"{name}_interval": figure.interval}
    return {
        "bundle": str(bundle.path),
        "sha256": bundle.sha256,
        "budget": result.budget,
        "normal": result.n_scored("normal"),
        "anomalous": result.n_scored("anomalous"),
        "normal_s": result.normal_s,
        **with_intervals,
        "false_alarms": result.false_alarms,
        "too_short": result.too_short,
        "curve": [
            {
                "false_alarms_per_week": point.false_alarms_per_week,
                "recall": point.recall,
                "false_alarms": point.false_alarms,
                "measured_per_week": point.measured_per_week,
            }
            for point in result.curve
        ],
        "files": [_file(one) for one in result.recordings],
    }


def lines(result: Evaluation) -> Iterator[str]:
    """The result for people."""
    n_normal, n_anomalous = result.n_scored("normal"), result.n_scored("anomalous")
    budget = f"{counted(result.budget, 'false alarm')} a week"
    yield (
        f"{counted(n_normal, 'normal recording')} ({duration(result.normal_s)}), "
        f"{counted(n_anomalous, 'anomalous recording')}; intervals of 95 %"
    )
    yield from columns(
        [
            ("ROC AUC", _area(result.auc)),
            ("partial AUC up to 0.1", _area(result.pauc)),
            (f"recall at {budget}", _percent(result.recall)),
            (
                "false alarms",
                (
                    f"{result.false_alarms} in {duration(result.normal_s)}, "
                    f"{_plain(result.false_alarms_per_week)} a week"
                ),
            ),
            ("score over the threshold, anomalous", _percent(result.recall_by_score)),
            ("score over the threshold, normal", _percent(result.false_by_score)),
        ]
    )
    yield "by budget:"
    table = [("false alarms a week", "recall", "measured false alarms a week")]
    table += [
        (
            f"{point.false_alarms_per_week:g}"
            + (" (budget)" if point.false_alarms_per_week == result.budget else ""),
            f"{point.recall:.0%}",
            f"{rounded(point.measured_per_week)} ({point.false_alarms})",
        )
        for point in result.curve
    ]
    yield from columns(table)
    if result.too_short:
        yield (
            f"{counted(result.too_short, 'anomalous recording')} of {n_anomalous} cannot raise an "
            "alert, because they are shorter than an alert needs. Use the shares of scores over "
            "the threshold"
        )
    n_off = sum(not one.summary.error and not one.summary.is_scored for one in result.recordings)
    if n_off:
        yield f"not scored because the machine does not run: {counted(n_off, 'recording')}"


def _file(one: EvaluatedRecording) -> dict[str, Any]:
    summary = one.summary
    return {
        "file": summary.file,
        "label": one.label,
        "seconds": summary.seconds,
        "score": summary.score if summary.is_scored else None,
        "threshold": summary.threshold,
        "alerts": summary.alerts,
        "error": summary.error,
        "operation": summary.operation,
    }


def _area(figure: Figure) -> str:
    low, high = figure.interval or (None, None)
    interval = "" if low is None else f"  ({low:.3f} to {high:.3f})"
    return f"{figure.value:.3f}{interval}"


def _percent(figure: Figure) -> str:
    low, high = figure.interval or (None, None)
    interval = "" if low is None else f"  ({low:.0%} to {high:.0%})"
    return f"{figure.value:.0%}{interval}"


def _plain(figure: Figure) -> str:
    if figure.interval is None:
        return rounded(figure.value)
    low, high = figure.interval
    return f"{rounded(figure.value)} ({rounded(low)} to {rounded(high)})"


def _refuse_both(normal: Sequence[Path], anomalous: Sequence[Path]) -> None:
    both = {real_path(path) for path in normal} & {real_path(path) for path in anomalous}
    if both:
        raise UsageError(f"{min(both)}: is given with --normal and with --anomalous")


def _warn_of_training(bundle: Bundle, normal: Sequence[Path]) -> None:
    """The recordings of the training are known by name only."""
    recordings = bundle.manifest.provenance.get("recordings") or []
    names = {str(one.get("name")).partition("[")[0] for one in recordings if isinstance(one, dict)}
    n_known = sum(str(path) in names for path in normal)
    if n_known:
        message(
            f"{n_known} of {counted(len(normal), 'normal recording')} have the names of recordings "
            "that the bundle was trained on: the figures are better than for new recordings"
        )


def _check_writable(path: Path | None) -> None:
    if path is not None and not path.absolute().parent.is_dir():
        raise MissingInputError(f"--curve: the folder {path.parent} does not exist")


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be written: {error.strerror}") from error
