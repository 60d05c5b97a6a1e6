"""The page of an alert: what was heard, what was expected, and the difference."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from monitor.audio.recording_frames import frames_of
from monitor.domain import FloatArray, LogMelWindow, SourceState
from monitor.errors import MissingInputError
from monitor.features.log_mel import FrameWindows
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.offline.replay import DrawAlerts, RaisedAlert
from monitor.wording import counted
from training.sound.figures import label_in_hz


@dataclass(frozen=True, slots=True)
class HeardSection:
    """A stretch of a recording beside its reconstruction.

    ``heard_db`` and ``expected_db``: float32 ``(n_mels, n_frames)``, from ``begin_s`` on.
    """

    heard_db: FloatArray
    expected_db: FloatArray
    begin_s: float

    @property
    def residual_db(self) -> FloatArray:
        """What was heard less what was expected, in dB, the window's level left out."""
        return self.heard_db - self.expected_db


_BEFORE_S, _AFTER_S = 12.0, 6.0
INDEX = "index.html"


def page_writer(folder: Path) -> DrawAlerts:
    """A function that writes a page for each alert into ``folder``, and ``index.html``.

    Without an alert it writes nothing, and no folder. Raises ``MissingInputError`` at once where
    ``folder`` is a file.
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
            _write_page(folder / name, bundle, network, one)
        (folder / INDEX).write_text(_index(names, raised), encoding="utf-8")

    return write


def _page_name(raised: RaisedAlert, number: int) -> str:
    """The number keeps recordings of one name in different folders apart."""
    return f"{number:03d}-{raised.recording.stem}-{raised.at_s:.0f}s.html"


def _write_page(path: Path, bundle: Bundle, network: Network, raised: RaisedAlert) -> None:
    alert = raised.alert
    begin_s = max(0.0, raised.at_s - _BEFORE_S)
    section = hear_section(raised.recording, bundle, network, begin_s, raised.at_s + _AFTER_S)
    bands = ", ".join(f"{low:.0f} to {high:.0f} Hz" for low, high in alert.bands_hz)
    write_alert_page(
        path,
        section,
        bundle.spec,
        title=f"{raised.recording.name}: raised at {raised.at_s:.1f} s",
        facts={
            "score": f"{alert.score:.1f}, threshold {alert.threshold:.1f}",
            "plain reconstruction error": f"{alert.loss:.3g}",
            "where the error is largest": bands,
            "budget": f"{counted(alert.false_alarms_per_week, 'false alarm')} a week",
            "bundle": alert.bundle_sha256,
        },
    )


def _index(names: Sequence[str], raised: Sequence[RaisedAlert]) -> str:
    rows = "".join(
        f"<tr><td><a href='{html.escape(quote(name), quote=True)}'>"
        f"{html.escape(str(one.recording))}</a><td>{one.at_s:.1f}<td>{one.alert.at}"
        f"<td>{one.alert.score:.1f}<td>{one.alert.threshold:.1f}"
        for name, one in zip(names, raised, strict=True)
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Alerts</title>"
        "<style>body{font:15px system-ui;margin:2em auto;max-width:1000px}"
        "th,td{text-align:left;padding-right:2em}</style>"
        f"<h1>{counted(len(raised), 'alert')}</h1><table><tr><th>recording<th>second"
        f"<th>time<th>score<th>threshold{rows}</table></html>\n"
    )


def hear_section(
    recording: Path, bundle: Bundle, network: Network, begin_s: float, end_s: float
) -> HeardSection:
    """The log-mel of ``[begin_s, end_s)`` and its reconstruction, window beside window."""
    spec = bundle.spec
    side_by_side = [
        window
        for window in _windows(recording, spec, end_s)
        if window.first_sample >= begin_s * spec.sample_rate_hz
    ][:: max(1, spec.window_frames // spec.window_hop_frames)]
    if not side_by_side:
        raise ValueError(f"{recording}: no whole window between {begin_s:g} and {end_s:g} s")
    return HeardSection(
        np.concatenate([w.values_db for w in side_by_side], axis=1),
        np.concatenate([network.reconstruct(w.values_db) for w in side_by_side], axis=1),
        side_by_side[0].first_sample / spec.sample_rate_hz,
    )


def write_alert_page(
    path: Path, section: HeardSection, spec: LogMelSpec, *, title: str, facts: dict[str, str]
) -> None:
    """One HTML file with the picture in it and the facts of the alert beneath."""
    buffer = io.BytesIO()
    _figure(section, spec).savefig(buffer, format="png", dpi=110)
    picture = base64.b64encode(buffer.getvalue()).decode("ascii")
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
        for name, value in facts.items()
    )
    path.write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<title>{html.escape(title)}</title>"
        "<style>body{font:15px system-ui;margin:2em auto;max-width:1000px}"
        "img{width:100%}th{text-align:left;padding-right:2em;font-weight:600}</style>"
        f"<h1>{html.escape(title)}</h1>"
        f"<img alt='log-mel, reconstruction and residual' src='data:image/png;base64,{picture}'>"
        f"<table>{rows}</table></html>\n",
        encoding="utf-8",
    )


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


def _figure(section: HeardSection, spec: LogMelSpec) -> Figure:
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(11, 9), layout="constrained")
        grid = figure.add_gridspec(3, 2, width_ratios=(4, 1))
        panels = [figure.add_subplot(grid[row, 0]) for row in range(3)]
        low, high = np.percentile(section.heard_db, (1, 99.5))
        limit = max(1.0, float(np.percentile(np.abs(section.residual_db), 99)))
        for axes, values, name, style in (
            (panels[0], section.heard_db, "heard (dB)", {"vmin": low, "vmax": high}),
            (panels[1], section.expected_db, "expected (dB)", {"vmin": low, "vmax": high}),
            (
                panels[2],
                section.residual_db,
                "heard - expected (dB)",
                {"vmin": -limit, "vmax": limit, "cmap": "RdBu_r"},
            ),
        ):
            seconds = values.shape[1] / spec.frame_rate_hz
            extent = (section.begin_s, section.begin_s + seconds, -0.5, spec.n_mels - 0.5)
            image = axes.imshow(values, origin="lower", aspect="auto", extent=extent, **style)
            figure.colorbar(image, ax=axes, pad=0.01)
            axes.set_title(name, loc="left")
            label_in_hz(axes, spec)
        panels[2].set_xlabel("time in the recording (s)")
        profile = figure.add_subplot(grid[2, 1])
        profile.plot(section.residual_db.mean(axis=1), np.arange(spec.n_mels))
        profile.axvline(0.0, color="0.6", linewidth=0.8)
        profile.set_xlabel("mean (dB)")
        profile.set_ylim(-0.5, spec.n_mels - 0.5)
        label_in_hz(profile, spec)
    return figure
