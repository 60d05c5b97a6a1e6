"""A small picture of a clip: the recorded sound, and what differs from healthy sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.domain import DoubleArray, FloatArray
from monitor.evidence import dot_font
from monitor.evidence.images import ClipFrames
from monitor.evidence.png import Colour, png_bytes

MOST_BYTES = 60_000
"""The largest picture. A message of MQTT with it is then small enough for usual brokers."""

_COLUMNS, _COLUMN_PIXELS = 192, 3
_LEAST_ROWS = 128
_LEFT, _RIGHT, _TITLE, _BOTTOM = 46, 12, 14, 22
_LEVELS = (32, 24, 16, 12, 8, 4)
_TICKS_HZ = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
_LEAST_TICK_DISTANCE = 12
_WHITE, _BLACK, _MARK = 0, 1, 2
_FIXED: tuple[Colour, ...] = ((255, 255, 255), (40, 40, 40), (220, 20, 60))
_SEQUENTIAL = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_DIVERGING = ((33, 102, 172), (146, 197, 222), (247, 247, 247), (244, 165, 130), (178, 24, 43))

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Panel:
    """``values``: ``(n_rows, n_columns)``, the lowest band first, 0 to 1, NaN without sound."""

    title: str
    values: DoubleArray
    first_colour: int


def picture_bytes(frames: ClipFrames, at_s: float) -> bytes:
    """A PNG of at most ``MOST_BYTES``. ``at_s``: where the decision was, marked by a line."""
    for levels in _LEVELS:
        content = _drawn(frames, at_s, levels)
        if len(content) <= MOST_BYTES:
            break
    return content


def _drawn(frames: ClipFrames, at_s: float, levels: int) -> bytes:
    seconds = frames.log_mel_db.shape[1] / frames.spec.frame_rate_hz
    band_hz = _rows(np.asarray(frames.spec.band_corners_hz[1:-1])[:, None])[:, 0]
    first = len(_FIXED)
    panels = [_Panel("recorded sound", _share(_cells(frames.log_mel_db)), first)]
    residual_db = frames.residual_db
    if residual_db is not None:
        cells = _cells(residual_db)
        known = np.abs(cells[np.isfinite(cells)])
        limit_db = max(3.0, float(np.ceil(np.percentile(known, 99)))) if known.size else 3.0
        title = f"difference from healthy sound (-{limit_db:.0f} to +{limit_db:.0f} dB)"
        panels.append(_Panel(title, cells / limit_db / 2.0 + 0.5, first + levels))
    canvas = np.concatenate([_panel(one, levels, band_hz, seconds, at_s) for one in panels])
    palette = (*_FIXED, *_colours(_SEQUENTIAL, levels), *_colours(_DIVERGING, levels))
    return png_bytes(canvas, palette)


def _panel(panel: _Panel, levels: int, band_hz: DoubleArray, seconds: float, at_s: float) -> Pixels:
    """A panel with its title and its axes."""
    cells = panel.values[::-1]
    known = np.isfinite(cells)
    steps = np.minimum((np.nan_to_num(cells).clip(0.0, 1.0) * levels).astype(int), levels - 1)
    colours = np.where(known, steps + panel.first_colour, _WHITE).astype(np.uint8)
    image = np.repeat(colours, _COLUMN_PIXELS, axis=1)
    height, width = image.shape
    canvas = np.full((_TITLE + height + _BOTTOM, _LEFT + width + _RIGHT), _WHITE, dtype=np.uint8)
    canvas[_TITLE : _TITLE + height, _LEFT : _LEFT + width] = image
    _write(canvas, panel.title, _LEFT, 3)
    _frequency_axis(canvas, band_hz, height)
    _time_axis(canvas, seconds, at_s, height, width)
    return canvas


def _frequency_axis(canvas: Pixels, band_hz: DoubleArray, height: int) -> None:
    last = canvas.shape[0]
    for tick_hz in _TICKS_HZ:
        if not band_hz[0] <= tick_hz <= band_hz[-1]:
            continue
        row = float(np.interp(tick_hz, band_hz, np.arange(len(band_hz))))
        y = _TITLE + height - 1 - round(row)
        if last - y < _LEAST_TICK_DISTANCE or y < _TITLE:
            continue
        last = y
        canvas[y, _LEFT - 4 : _LEFT] = _BLACK
        text = f"{tick_hz // 1000} kHz" if tick_hz >= 1_000 else f"{tick_hz} Hz"
        x = _LEFT - 6 - dot_font.ADVANCE * len(text)
        _write(canvas, text, x, y - dot_font.HEIGHT // 2)


def _time_axis(canvas: Pixels, seconds: float, at_s: float, height: int, width: int) -> None:
    """Seconds before and after the decision."""
    step_s = next((step for step in (1, 2, 5, 10, 20, 50) if seconds / step <= 10.0), 100)
    bottom = _TITLE + height
    first = -int(at_s // step_s) * step_s
    for tick_s in range(first, int(seconds - at_s) + 1, step_s):
        x = _LEFT + round((at_s + tick_s) / seconds * (width - 1))
        if not _LEFT <= x < _LEFT + width:
            continue
        canvas[bottom : bottom + 4, x] = _BLACK
        if tick_s == 0:
            canvas[_TITLE:bottom, x] = _MARK
        text = f"{tick_s:+d} s" if tick_s else "0 s"
        _write(canvas, text, x - dot_font.ADVANCE * len(text) // 2, bottom + 7)


def _write(canvas: Pixels, text: str, x: int, y: int) -> None:
    shape = dot_font.dots(text)
    x = max(0, min(x, canvas.shape[1] - shape.shape[1]))
    y = max(0, min(y, canvas.shape[0] - shape.shape[0]))
    part = canvas[y : y + shape.shape[0], x : x + shape.shape[1]]
    part[shape[:, : part.shape[1]]] = _BLACK


def _cells(values_db: FloatArray) -> DoubleArray:
    """The means of cells of the picture. Shape: ``(n_mels, n_frames)`` to ``(rows, columns)``."""
    n = values_db.shape[1]
    edges = np.linspace(0, n, min(_COLUMNS, n) + 1).astype(int)
    known = np.isfinite(values_db)
    sums = np.add.reduceat(np.where(known, values_db, 0.0).astype(np.float64), edges[:-1], axis=1)
    counts = np.add.reduceat(known.astype(np.float64), edges[:-1], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / counts
    columns = np.arange(_COLUMNS) * means.shape[1] // _COLUMNS
    return _rows(means[:, columns])


def _rows(values: DoubleArray) -> DoubleArray:
    """As many rows as the picture has: bands are repeated, or joined where there are many."""
    n = len(values)
    if n < _LEAST_ROWS:
        return np.repeat(values, -(-_LEAST_ROWS // n), axis=0)
    group = n // _LEAST_ROWS
    used = n // group * group
    mean: DoubleArray = values[:used].reshape(n // group, group, -1).mean(axis=1)
    return mean


def _share(values_db: DoubleArray) -> DoubleArray:
    """Where values are between their low and their high ones, 0 to 1."""
    known = values_db[np.isfinite(values_db)]
    if not known.size:
        return values_db
    low, high = np.percentile(known, (1.0, 99.8))
    share: DoubleArray = (values_db - low) / max(1.0, high - low)
    return share


def _colours(anchors: Sequence[Colour], levels: int) -> list[Colour]:
    """``levels`` colours from the first anchor to the last one."""
    at = np.linspace(0.0, len(anchors) - 1.0, levels)
    channels = [
        np.rint(np.interp(at, np.arange(len(anchors)), [anchor[i] for anchor in anchors]))
        for i in range(3)
    ]
    return [(int(r), int(g), int(b)) for r, g, b in zip(*channels, strict=True)]
