"""The most important results of a training, in a few lines."""

from __future__ import annotations

from pathlib import Path

from monitor.text.wording import counted, rounded
from training.sound.budget_recall import budget_line
from training.sound.train import AudioResult


def headline(result: AudioResult, final: Path | None = None) -> dict[str, str]:
    """The first lines: doubtful recordings, threshold, data, scoring and the next step.

    ``final``: where the bundle will be, if that is not where it is.
    """
    calibration = result.bundle.calibration
    budget = budget_line(calibration, result.recall.by_useful_budget(calibration))
    lines = {
        **result.findings.facts(),
        **({"Budget": budget} if budget else {}),
        "Threshold": f"{rounded(calibration.threshold)} for "
        f"{counted(calibration.false_alarms_per_week, 'false alarm')} a week",
        "Recording threshold": rounded(calibration.recording_threshold),
        "Data": f"{counted(result.n_files, 'recording')}. {calibration.note}",
        "Scoring": f"{result.choice.kind} ({result.choice.reason})",
    }
    if result.n_regimes > 1:
        lines["Operating states"] = str(result.n_regimes)
    if result.previous is not None:
        lines["Previous bundle"] = f"kept as {result.previous}"
    path = (final or result.bundle.path).absolute()
    lines["Next step"] = (
        f'set bundle = "{path}" for the machine in config.toml, then run `auscult check`'
    )
    return lines
