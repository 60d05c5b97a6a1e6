"""The report in a bundle's folder: threshold, data, scoring and network, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from monitor.calibration.threshold import HealthyRecording
from monitor.durable import replace_content
from monitor.model.manifest import BundleManifest
from monitor.offline.html_page import Html, escaped, facts, heading, page, paragraph, picture, table
from monitor.text.wording import rounded
from training.history import write_history
from training.sound.figures import (
    loss_curves,
    operating_states,
    png,
    reconstruction,
    score_histogram,
)
from training.sound.headline import headline
from training.sound.recall_page import recall_parts
from training.sound.regimes import LEAST_RECORDINGS
from training.sound.train import AudioResult
from training.sound.variation_page import variation_parts

REPORT = "report.html"
HISTORY = "history.csv"
FIGURES = ("loss.png", "reconstruction.png", "scores.png")
_MOST_ROWS = 200
_ABOUT_CONTROLS = (
    "The table shows how well each score separates held-out healthy recordings from copies with a "
    "small artificial change. A ROC AUC of 1 means that all copies get a higher score, 0.5 means "
    "chance. The network helps if a score that uses it has a higher mean than the score without a "
    "network, which compares the averaged log-mel directly. The bundle works in both cases. The "
    "changes are artificial: the figures do not predict how well real faults are detected."
)
_METHODS = {
    "conformal": "The threshold is a quantile of the healthy scores (conformal).",
    "generalised_pareto": "The threshold is extrapolated from the highest healthy scores "
    "(generalised Pareto distribution).",
}
_ABOUT_OFF = (
    "The machine is off in a part of the recordings. This sound was not learned, and nothing is "
    "scored while the machine is off. The states were found by level and spectrum. If the table "
    "calls a state off although the machine runs in it, set off_states in [machine.operation] to "
    "the states in which the machine is off."
)
_ABOUT_NO_OFF = (
    "The machine runs in all recordings. Auscult recognises that it is off when almost every "
    "frequency band is quieter than here. Nothing is scored then."
)
_TOO_FEW_FOR_STATES = (
    f"The score does not use groups of recordings, because there are fewer than {LEAST_RECORDINGS} "
    "recordings or sections of long recordings."
)
_ONE_STATE = (
    "For the score there is one group: the recordings do not form several groups. If the machine "
    "has several speeds or loads, record each of them in at least two recordings."
)
_SEVERAL_STATES = (
    "groups of recordings are used for the score, for example speeds or loads. The score is the "
    "distance from the nearest one."
)


def write_report(result: AudioResult, final: Path | None = None) -> Path:
    """Write the page, its figures as files of their own, and ``history.csv`` to the bundle.

    ``final``: where the bundle will be, if that is not where it is.
    """
    folder = result.bundle.path
    path = folder / REPORT
    path.unlink(missing_ok=True)  # that of a bundle before: its figures are not those of this one
    write_history(folder / HISTORY, result.history.history)
    pictures = dict(zip(FIGURES, _pictures(result), strict=True))
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    text = page(folder.absolute().name, _parts(result, pictures, final))
    replace_content(path, text.encode())
    return path


def _pictures(result: AudioResult) -> list[bytes]:
    calibration = result.bundle.calibration
    groups = {"healthy recordings": _all_scores(result.healthy)}
    thresholds = {"threshold": calibration.threshold}
    return [
        png(loss_curves(result.history.history, result.history.best_epoch)),
        png(reconstruction(result.sample_db, result.reconstruction_db, result.bundle.spec)),
        png(score_histogram(groups, thresholds)),
    ]


def _parts(result: AudioResult, pictures: dict[str, bytes], final: Path | None) -> list[Html]:
    bundle, choice = result.bundle, result.choice
    return [
        facts(_with_code(headline(result, final))),
        *_sections(result),
        heading("Healthy scores and the threshold"),
        picture(pictures["scores.png"], "histogram of healthy scores"),
        *_before_and_after(result),
        heading("Which faults raise an alert?"),
        *recall_parts(result.recall, bundle.calibration, result.n_files),
        heading("Operating states"),
        *_states_by_sound(result),
        paragraph(_operating_states(result)),
        heading("Scoring"),
        paragraph(f"{choice.kind}: {choice.reason}. {choice.details}"),
        *_from_outside(bundle.manifest),
        paragraph(_METHODS[bundle.calibration.method]),
        heading("What changes between days"),
        *variation_parts(result.variation),
        heading("Does the network help?"),
        paragraph(f"{result.network_benefit}."),
        paragraph(_ABOUT_CONTROLS),
        _controls(result),
        heading("A window and its reconstruction"),
        picture(pictures["reconstruction.png"], "a window, its reconstruction, the residual"),
        heading("Training"),
        paragraph(
            f"{_thousands(bundle.manifest.network['parameters'])} parameters, bottleneck of "
            f"{bundle.manifest.network['bottleneck']}. Epoch {result.history.best_epoch} of "
            f"{len(result.history.history)} was kept. Time: {result.history.seconds:.0f} s."
        ),
        picture(pictures["loss.png"], "loss over the epochs"),
        heading("Data"),
        *_recordings(result),
    ]


def _from_outside(manifest: BundleManifest) -> list[Html]:
    """The network and the encoder, where they are not those of Auscult."""
    texts = []
    if "source" in manifest.network:
        file = manifest.network.get("file", "")
        texts.append(f"Network: {manifest.network['source']}{f' in {file}' if file else ''}.")
    if (encoder := manifest.encoder) is not None:
        used = "alone" if encoder.evidence == "encoder" else "beside the evidence of the network"
        texts.append(
            f"Encoder: {encoder.source}, from {encoder.input} to {encoder.n_numbers} numbers, "
            f"used {used}."
        )
    return [paragraph(" ".join(texts))] if texts else []


def _states_by_sound(result: AudioResult) -> list[Html]:
    """The states in which the machine runs or is off."""
    operation = result.bundle.manifest.operation
    if operation is None:
        return []
    rows = [
        (
            state.name,
            "off" if state.is_off else "running",
            f"{100 * state.share:.0f} %",
            f"{state.level_db:.1f} dB",
            state.example,
        )
        for state in operation.states
    ]
    header = ("state", "the machine is", "share of the sound", "level", "example")
    figure = png(operating_states(operation.states, result.bundle.spec))
    return [
        paragraph(_ABOUT_OFF if any(s.is_off for s in operation.states) else _ABOUT_NO_OFF),
        table(header, rows),
        picture(figure, "low level of each frequency band in each state"),
    ]


def _operating_states(result: AudioResult) -> str:
    if result.n_regimes > 1:
        return f"{result.n_regimes}. {_SEVERAL_STATES}"
    return _ONE_STATE if len(result.names) >= LEAST_RECORDINGS else _TOO_FEW_FOR_STATES


def _controls(result: AudioResult) -> Html:
    """A table of the scores on disturbed healthy recordings."""
    names = list(result.controls[0].auc)
    rows = [
        (
            control.name,
            *(f"{control.auc[name]:.3f}" for name in names),
            f"{control.mean_auc:.3f}",
        )
        for control in result.controls
    ]
    return table(("ROC AUC", *names, "mean"), rows)


def _before_and_after(result: AudioResult) -> list[Html]:
    """The same recordings with the bundle that was continued and with the new one."""
    if not result.healthy_before or result.threshold_before is None:
        return []
    rows = []
    for name, healthy, threshold in (
        ("before", result.healthy_before, result.threshold_before),
        ("after", result.healthy, result.bundle.calibration.threshold),
    ):
        above = sum(float(np.median(h.scores)) > threshold for h in healthy)
        median = float(np.median(_all_scores(healthy)))
        rows.append((name, rounded(median), rounded(threshold), f"{above} of {len(healthy)}"))
    header = ("", "median score", "threshold", "recordings with a median above the threshold")
    return [heading("Before and after"), table(header, rows)]


def _with_code(values: dict[str, str]) -> dict[str, str]:
    """The values with the command of the next step in the style of code."""
    text = values["Next step"]
    before, command, after = text.partition("`auscult check`")
    code = Html("<code>auscult check</code>") if command else Html("")
    return {**values, "Next step": Html(escaped(before) + code + escaped(after))}


def _sections(result: AudioResult) -> list[Html]:
    if len(result.names) == result.n_files:
        return [paragraph("Each recording is scored with statistics from the others.")]
    return [
        paragraph(
            "Long recordings were divided into sections. Each section is scored with statistics "
            "from the others."
        )
    ]


def _thousands(number: int) -> str:
    """``40 000``: two significant figures, in groups of three digits."""
    return f"{int(rounded(number, 2)):,}".replace(",", " ")


def _recordings(result: AudioResult) -> list[Html]:
    n_sections = len(result.names)
    scored = list(zip(result.names, result.healthy, strict=True))
    rows = [(name, f"{one.seconds:.1f}", rounded(one.whole)) for name, one in scored[:_MOST_ROWS]]
    parts = [table(("recording", "seconds", "recording score"), rows)]
    more = n_sections - _MOST_ROWS
    return [*parts, paragraph(f"and {more} more")] if more > 0 else parts


def _all_scores(healthy: Sequence[HealthyRecording]) -> npt.NDArray[np.float64]:
    return np.concatenate([recording.scores for recording in healthy])
