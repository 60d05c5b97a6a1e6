"""The page of an alert: the recorded sound, its reconstruction, and the difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from monitor.audio.recording_frames import frames_of
from monitor.diagnosis.diagnose import Diagnosis
from monitor.domain import FloatArray, LogMelWindow, SourceState
from monitor.errors import MissingInputError
from monitor.features.log_mel import FrameWindows
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.offline.html_page import facts, link, page, picture, table
from monitor.offline.replay import DrawAlerts, RaisedAlert
from monitor.text.wording import bands_text, counted, rounded
from training.sound.diagnosis_figure import diagnosis_figure
from training.sound.figures import compared_panels, png


@dataclass(frozen=True, slots=True)
class ReconstructedSection:
    """A section of a recording beside its reconstruction.

    ``recorded_db`` and ``expected_db``: float32 ``(n_mels, n_frames)``, from ``begin_s`` on.
    """

    recorded_db: FloatArray
    expected_db: FloatArray
    begin_s: float

    @property
    def residual_db(self) -> FloatArray:
        """Recorded minus reconstruction, in dB. Both have the same level."""
        return self.recorded_db - self.expected_db


_BEFORE_S, _AFTER_S = 12.0, 6.0
INDEX = "index.html"
_MOST_STEM_BYTES = 200
"""Names of files have at most 255 bytes."""


Diagnose = Callable[[Bundle, RaisedAlert], Diagnosis | None]
"""What an alert sounds like; None if there is no healthy sound to compare with."""


def page_writer(folder: Path, diagnose: Diagnose = lambda _bundle, _raised: None) -> DrawAlerts:
    """A function that writes a page for each alert into ``folder``, and ``index.html``.

    Without an alert it writes nothing and makes no folder. Raises ``MissingInputError`` at once
    if ``folder`` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise MissingInputError(f"--report {folder}: is a file; name a folder")

    def write(bundle: Bundle, network: Network, raised: Sequence[RaisedAlert]) -> None:
        if not raised:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MissingInputError(f"--report {folder}: {error.strerror}") from error
        names = [_page_name(one, number) for number, one in enumerate(raised, 1)]
        for name, one in zip(names, raised, strict=True):
            _write_page(folder / name, bundle, network, one, diagnose(bundle, one))
        index = _index(bundle.path.absolute().name, names, raised)
        (folder / INDEX).write_text(index, encoding="utf-8")

    return write


def _page_name(raised: RaisedAlert, number: int) -> str:
    """The number makes names unique: recordings in different folders can have the same name."""
    printable = "".join(c if c.isprintable() else "_" for c in raised.recording.stem)
    stem = printable.encode()[:_MOST_STEM_BYTES].decode(errors="ignore")
    return f"{number:03d}-{stem}-{raised.at_s:.1f}s.html"


def _write_page(
    path: Path,
    bundle: Bundle,
    network: Network,
    raised: RaisedAlert,
    diagnosis: Diagnosis | None,
) -> None:
    alert = raised.alert
    begin_s = max(0.0, raised.at_s - _BEFORE_S)
    section = reconstruct_section(
        raised.recording, bundle, network, begin_s, raised.at_s + _AFTER_S
    )
    write_alert_page(
        path,
        section,
        bundle.spec,
        title=f"{raised.recording.name}: alert at {raised.at_s:.1f} s",
        values={
            "Score": f"{rounded(alert.score)}, threshold {rounded(alert.threshold)}",
            "Largest difference": bands_text(alert.bands_hz),
            "Reconstruction error": f"{rounded(alert.loss)} (mean square, standardised)",
            "Budget": f"{counted(alert.false_alarms_per_week, 'false alarm')} a week",
            "Bundle": alert.bundle_sha256,
        },
        diagnosis=diagnosis,
    )


def _index(name: str, pages: Sequence[str], raised: Sequence[RaisedAlert]) -> str:
    rows = [
        (
            link(quote(page_name), str(one.recording)),
            f"{one.at_s:.1f}",
            str(one.alert.at),
            rounded(one.alert.score),
            rounded(one.alert.threshold),
        )
        for page_name, one in zip(pages, raised, strict=True)
    ]
    header = ("recording", "position (s)", "time", "score", "threshold")
    return page(f"Alerts of {name}", [table(header, rows)])


def reconstruct_section(
    recording: Path, bundle: Bundle, network: Network, begin_s: float, end_s: float
) -> ReconstructedSection:
    """The log-mel of ``[begin_s, end_s)`` and its reconstruction, from windows without overlap.

    Raises ``ValueError`` if no whole window is in that time.
    """
    spec = bundle.spec
    windows = [
        window
        for window in _windows(recording, spec, end_s)
        if window.first_sample >= begin_s * spec.sample_rate_hz
    ][:: max(1, spec.window_frames // spec.window_hop_frames)]
    if not windows:
        raise ValueError(f"{recording}: no whole window between {begin_s:g} and {end_s:g} s")
    return ReconstructedSection(
        np.concatenate([w.values_db for w in windows], axis=1),
        np.concatenate([network.reconstruct(w.values_db) for w in windows], axis=1),
        windows[0].first_sample / spec.sample_rate_hz,
    )


def write_alert_page(
    path: Path,
    section: ReconstructedSection,
    spec: LogMelSpec,
    *,
    title: str,
    values: dict[str, str],
    diagnosis: Diagnosis | None = None,
) -> None:
    """One HTML file with the picture and the values of the alert, and what it sounds like."""
    parts = [
        facts(values),
        picture(png(_figure(section, spec)), "log-mel, reconstruction and residual"),
    ]
    if diagnosis is not None:
        texts = [one.text for one in diagnosis.findings] or ["nothing is certain"]
        named = [("Diagnosis", text) for text in texts]
        named += [("Note", note) for note in diagnosis.notes]
        parts.append(table(("", "compared with healthy recordings"), named))
        if diagnosis.sound is not None:
            figure = diagnosis_figure(diagnosis, diagnosis.sound)
            parts.append(picture(png(figure), "long-term spectrum and envelope spectrum"))
    path.write_text(page(title, parts), encoding="utf-8")


def _windows(recording: Path, spec: LogMelSpec, end_s: float) -> list[LogMelWindow]:
    """The windows of a recording that end by ``end_s``, as the pipeline computes them."""
    stream = FrameWindows(spec)
    windows: list[LogMelWindow] = []
    for part in frames_of(recording, spec):
        if isinstance(part, SourceState):
            continue
        if part.discontinuous:
            stream.reset(part.first_sample)
        windows += stream.append(part.frames_db)
        if windows and windows[-1].end_sample > end_s * spec.sample_rate_hz:
            break
    return [w for w in windows if w.end_sample <= end_s * spec.sample_rate_hz]


def _figure(section: ReconstructedSection, spec: LogMelSpec) -> Figure:
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(11, 9), layout="constrained")
        grid = figure.add_gridspec(3, 2, width_ratios=(4, 1))
        panels = [figure.add_subplot(grid[row, 0]) for row in range(3)]
        compared_panels(
            panels, section.recorded_db, section.expected_db, spec, begin_s=section.begin_s
        )
        for panel in panels[:2]:
            panel.set_xlabel("")
        profile = figure.add_subplot(grid[2, 1], sharey=panels[2])
        profile.plot(section.residual_db.mean(axis=1), spec.band_corners_hz[1:-1])
        profile.axvline(0.0, color="0.6", linewidth=0.8)
        profile.set_title("mean over time", loc="left")
        profile.set_xlabel("dB")
    return figure
