"""The log-mel of a clip, its reconstruction by the network, and their difference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.audio.resampling import StreamResampler
from monitor.domain import AudioBlock, DoubleArray, FloatArray
from monitor.evidence.clip import Clip
from monitor.evidence.sound_memory import as_float
from monitor.features.log_mel_frames import FrameStream
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.network import Network

ByteImage = npt.NDArray[np.uint8]

_MOST_COLUMNS = 2048
_BLOCK_S = 1.0
_LEAST_RESIDUAL_DB, _MOST_RESIDUAL_DB = 6.0, 40.0


@dataclass(frozen=True, slots=True)
class ClipFrames:
    """The frames of a clip.

    ``log_mel_db``: float32 ``(n_mels, n_frames)``, NaN where there is no sound.
    ``reconstruction_db``: the same shape, NaN where there is none; None without a network.
    """

    spec: LogMelSpec
    log_mel_db: FloatArray
    reconstruction_db: FloatArray | None

    @property
    def residual_db(self) -> FloatArray | None:
        """Recorded minus reconstruction; NaN where one of them is missing."""
        if self.reconstruction_db is None:
            return None
        difference: FloatArray = self.log_mel_db - self.reconstruction_db
        return difference


def frames_of_clip(clip: Clip, spec: LogMelSpec, network: Network | None) -> ClipFrames | None:
    """Compute the frames, and let the network reconstruct them. None for a clip without a frame.

    It waits for the lock of everything that computes, in short pieces, and never holds it long.
    """
    runs = list(_runs(clip, spec))
    n_frames = max((column + len(frames) for column, frames in runs), default=0)
    if not n_frames:
        return None
    log_mel_db = np.full((spec.n_mels, n_frames), np.nan, dtype=np.float32)
    expected_db = None if network is None else np.full_like(log_mel_db, np.nan)
    for column, frames in runs:
        part = slice(column, column + len(frames))
        log_mel_db[:, part] = frames.T
        if network is not None and expected_db is not None:
            expected_db[:, part] = _reconstructed(frames, spec, network)
    return ClipFrames(spec, log_mel_db, expected_db)


def image_bytes(frames: ClipFrames) -> tuple[bytes, dict[str, Any]]:
    """The images as bytes, and what describes them (``log_mel`` in ``docs/evidence.md``)."""
    group = -(-frames.log_mel_db.shape[1] // _MOST_COLUMNS)
    log_mel_db = _averaged(frames.log_mel_db, group)
    images = {"log_mel": log_mel_db}
    residual_db = frames.residual_db
    if frames.reconstruction_db is not None and residual_db is not None:
        images["reconstruction"] = _averaged(frames.reconstruction_db, group)
        images["residual"] = _averaged(residual_db, group)
    low_db, high_db = _range_db(log_mel_db)
    limit_db = _residual_limit_db(images.get("residual"))
    content = b"".join(
        (
            _signed(values, limit_db) if name == "residual" else _scaled(values, low_db, high_db)
        ).tobytes()
        for name, values in images.items()
    )
    spec = frames.spec
    about = {
        "images": list(images),
        "n_mels": spec.n_mels,
        "n_frames": log_mel_db.shape[1],
        "hop_s": group / spec.frame_rate_hz,
        "mel_hz": [round(float(hz), 1) for hz in spec.band_corners_hz[1:-1]],
        "low_db": low_db,
        "high_db": high_db,
        "residual_db": limit_db,
    }
    return content, about


def band_residual_db(frames: ClipFrames, from_s: float) -> list[float]:
    """The mean residual of each band from a position on; empty without a reconstruction."""
    residual_db = frames.residual_db
    if residual_db is None:
        return []
    first = min(max(0, round(from_s * frames.spec.frame_rate_hz)), residual_db.shape[1] - 1)
    part = residual_db[:, first:]
    known = np.isfinite(part)
    counts = np.maximum(1, known.sum(axis=1))
    mean = np.where(known, part, 0.0).sum(axis=1, dtype=np.float64) / counts
    return [round(float(value), 2) for value in mean]


def _runs(clip: Clip, spec: LogMelSpec) -> Iterator[tuple[int, FloatArray]]:
    """The frames of each part without a gap, ``(n, n_mels)``, and the column where they begin."""
    if not clip.is_sound:
        if clip.rows.shape[1] == spec.n_mels:
            yield 0, clip.rows
        return
    rate_hz = round(clip.rate_hz)
    for begin, end in _parts_with_sound(clip, rate_hz):
        resampler, stream = StreamResampler(spec.sample_rate_hz), FrameStream(spec)
        first_sample: int | None = None
        parts = []
        for at in range(begin, end, max(1, round(_BLOCK_S * rate_hz))):
            samples = as_float(clip.rows[at : min(end, at + round(_BLOCK_S * rate_hz))])
            block = resampler.push(AudioBlock(samples, rate_hz, at))
            if block is not None:
                first_sample = block.first_sample if first_sample is None else first_sample
                parts.append(stream.push(block))
        rest = resampler.flush()
        if rest is not None:
            first_sample = rest.first_sample if first_sample is None else first_sample
            parts.append(stream.push(rest))
        frames = np.concatenate(parts) if parts else np.empty((0, spec.n_mels), np.float32)
        if len(frames):
            yield round((first_sample or 0) / spec.hop_length), frames


def _parts_with_sound(clip: Clip, rate_hz: int) -> Iterator[tuple[int, int]]:
    begin = 0
    for at_s, length_s in [*clip.gaps, (clip.seconds, 0.0)]:
        end = min(len(clip.rows), round(at_s * rate_hz))
        if end > begin:
            yield begin, end
        begin = max(begin, round((at_s + length_s) * rate_hz))


def _reconstructed(frames: FloatArray, spec: LogMelSpec, network: Network) -> FloatArray:
    """The reconstruction of whole windows. Shape: ``(n, n_mels)`` to ``(n_mels, n)``.

    Windows do not overlap, except the last one. NaN if there is no whole window.
    """
    size = spec.window_frames
    expected_db = np.full((spec.n_mels, len(frames)), np.nan, dtype=np.float32)
    starts = [*range(0, len(frames) - size + 1, size)]
    if starts and starts[-1] + size < len(frames):
        starts.append(len(frames) - size)
    for start in starts:
        window = np.ascontiguousarray(frames[start : start + size].T)
        expected_db[:, start : start + size] = network.reconstruct(window)
    return expected_db


def _averaged(values: FloatArray, group: int) -> FloatArray:
    """The mean of every ``group`` columns; a rest is left out."""
    if group <= 1:
        return values
    n = values.shape[1] // group
    mean: FloatArray = values[:, : n * group].reshape(len(values), n, group).mean(axis=2)
    return mean


def _range_db(log_mel_db: FloatArray) -> tuple[float, float]:
    """The range in whole dB that nearly all values are in."""
    known: DoubleArray = log_mel_db[np.isfinite(log_mel_db)].astype(np.float64)
    if not known.size:
        return -100.0, 0.0
    low, high = np.percentile(known, (0.5, 99.9))
    return float(np.floor(low)), float(max(np.ceil(high), np.floor(low) + 1.0))


def _residual_limit_db(residual_db: FloatArray | None) -> float:
    if residual_db is None or not np.isfinite(residual_db).any():
        return _LEAST_RESIDUAL_DB
    size = float(np.ceil(np.percentile(np.abs(residual_db[np.isfinite(residual_db)]), 99.5)))
    return min(max(size, _LEAST_RESIDUAL_DB), _MOST_RESIDUAL_DB)


def _scaled(values_db: FloatArray, low_db: float, high_db: float) -> ByteImage:
    share = (np.nan_to_num(values_db, nan=low_db) - low_db) / (high_db - low_db)
    return np.rint(share.clip(0.0, 1.0) * 255.0).astype(np.uint8)


def _signed(values_db: FloatArray, limit_db: float) -> ByteImage:
    share = np.nan_to_num(values_db, nan=0.0) / limit_db
    return (np.rint(share.clip(-1.0, 1.0) * 127.0) + 128.0).astype(np.uint8)
