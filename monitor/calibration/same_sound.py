"""Where pieces of recordings are found again in other recordings.

Measured on real and simulated machines, the largest correlation of three seconds of two different
recordings is 0.19 (0.27 for one whose noise repeats with each turn), and the smallest of a copy is
0.29 (Opus of 12 kbit/s; 0.40 for a copy that begins between two frames, 0.7 and more for MP3,
8 kHz or A-law).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.calibration.fine_structure import PEAK_FRAMES, fine_structure, is_noisy, norms_of
from monitor.domain import FloatArray

SAME_SOUND = 0.25
"""The least correlation of a copy among recordings of one machine."""
SAME_SOUND_ELSEWHERE = 0.6
"""The same for recordings of another machine: microphones in one hall pick up the same noise, and
recordings of two toy cars into which the same noise was mixed correlate by up to 0.43."""
_UNIQUE = 1.5
"""How much larger it is than at any other place: noise that repeats with each turn is not."""
_CERTAIN = 0.9
_CHUNK_FRAMES = (96, 64, 32)
_MOST_CHUNKS = 5
_FFT_FRAMES = 512
_FRAMES_AT_ONCE = 4096
_RECORDINGS_AT_ONCE = 128
_SAME_PLACE = 2
_NOWHERE = -1


def find_pieces(recordings: Sequence[FloatArray], n_originals: int) -> list[npt.NDArray[np.bool_]]:
    """For each recording whether each of its pieces is in each other one: ``(n_pieces, n)``.

    ``recordings``: log-mel frames ``(n_frames, n_mels)`` in dB each. The first ``n_originals`` are
    of another machine: no pieces are taken from them.
    """
    no_chunks = _Chunks(np.empty(0, np.intp), np.empty((0, 0, 0), np.float32))
    chunks = [no_chunks] * n_originals + [_chunks(own) for own in recordings[n_originals:]]
    return _found(chunks, recordings, n_originals)


@dataclass(frozen=True, slots=True)
class _Chunks:
    """Pieces spread evenly over a recording: ``fine`` ``(n, chunk_frames, n_bands)``."""

    starts: npt.NDArray[np.intp]
    fine: FloatArray


def _chunks(frames_db: FloatArray) -> _Chunks:
    fine = fine_structure(frames_db)
    length = next((n for n in _CHUNK_FRAMES if n <= len(fine)), None)
    if length is None:
        return _Chunks(np.empty(0, np.intp), np.empty((0, 0, fine.shape[1]), np.float32))
    starts = np.linspace(0, len(fine) - length, min(_MOST_CHUNKS, len(fine) // length)).astype(int)
    return _Chunks(starts, np.stack([fine[start : start + length] for start in starts]))


def _found(
    chunks: Sequence[_Chunks], recordings: Sequence[FloatArray], n_originals: int
) -> list[npt.NDArray[np.bool_]]:
    """For each recording whether each of its chunks is in each other one: ``(n_chunks, n)``."""
    found = [np.zeros((len(own.starts), len(recordings)), dtype=bool) for own in chunks]
    for length in _CHUNK_FRAMES:
        of_length = [i for i, own in enumerate(chunks) if own.fine.shape[1] == length]
        for first in range(0, len(of_length), _RECORDINGS_AT_ONCE):
            members = of_length[first : first + _RECORDINGS_AT_ONCE]
            templates = np.concatenate([chunks[i].fine for i in members])
            noisy = np.array([is_noisy(template) for template in templates])
            ends = np.cumsum([len(chunks[i].starts) for i in members])
            for other, places in _places(templates, recordings, n_originals):
                places[~noisy] = _NOWHERE
                for index, own in zip(members, np.split(places, ends[:-1]), strict=True):
                    if index != other:
                        found[index][:, other] = _in_step(own, chunks[index].starts)
    return found


def _in_step(places: npt.NDArray[np.intp], starts: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """The chunks that are found, all by the same time later or earlier. Shape: ``(n_chunks,)``.

    Of several chunks at least two: one alone may be a click that both recordings hold.
    """
    hits: npt.NDArray[np.bool_] = places != _NOWHERE
    if not hits.any():
        return hits
    offsets = places - starts
    hits &= np.abs(offsets - np.median(offsets[hits])) <= _SAME_PLACE
    return hits if int(hits.sum()) >= min(2, len(hits)) else np.zeros_like(hits)


def _places(
    templates: FloatArray, recordings: Sequence[FloatArray], n_originals: int
) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """For each recording where each template is in it. Shape: ``(n_templates,)`` each."""
    norms = np.maximum(np.sqrt(np.square(templates).sum(axis=(1, 2))), 1e-9)
    spectra = _spectra(templates / norms[:, None, None]).conj()
    batch: list[tuple[int, FloatArray]] = []
    for index, frames_db in enumerate(recordings):
        if len(frames_db) >= templates.shape[1]:
            batch.append((index, fine_structure(frames_db)))
        if sum(len(fine) for _, fine in batch) > _FRAMES_AT_ONCE or index == len(recordings) - 1:
            yield from _places_in(batch, spectra, templates.shape[1], n_originals)
            batch = []


def _places_in(
    batch: Sequence[tuple[int, FloatArray]],
    spectra: npt.NDArray[np.complexfloating],
    length: int,
    n_originals: int,
) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    step = _FFT_FRAMES - length + 1
    starts = [range(0, len(fine) - length + 1, step) for _, fine in batch]
    blocks = np.zeros((sum(map(len, starts)), _FFT_FRAMES, spectra.shape[2]), np.float32)
    pieces = [
        f[s : s + _FFT_FRAMES] for (_, f), own in zip(batch, starts, strict=True) for s in own
    ]
    for block, piece in zip(blocks, pieces, strict=True):
        block[: len(piece)] = piece
    # One matrix product for each frequency: (n_blocks, n_bands) x (n_bands, n_templates).
    products = np.matmul(_spectra(blocks), spectra.transpose(0, 2, 1))
    lags = np.fft.irfft(np.ascontiguousarray(products.transpose(2, 1, 0)), _FFT_FRAMES)
    first = 0
    for (index, fine), own in zip(batch, starts, strict=True):
        correlation = lags[:, first : first + len(own), :step].reshape(len(lags), -1)
        norms = norms_of(fine, length)
        least = SAME_SOUND_ELSEWHERE if index < n_originals else SAME_SOUND
        yield index, _peaks((correlation[:, : len(norms)] / norms).astype(np.float32), least)
        first += len(own)


def _peaks(correlation: FloatArray, least: float) -> npt.NDArray[np.intp]:
    """Where a template is found: at a clear maximum, ``_NOWHERE`` if there is none.

    Shape: ``(n_templates, n_lags)`` to ``(n_templates,)``.
    """
    at, rows = correlation.argmax(axis=1), np.arange(len(correlation))
    best = correlation[rows, at]
    for offset in range(-PEAK_FRAMES, PEAK_FRAMES + 1):
        correlation[rows, np.clip(at + offset, 0, correlation.shape[1] - 1)] = 0.0
    unique = (best >= _CERTAIN) | (best >= _UNIQUE * correlation.max(axis=1))
    found: npt.NDArray[np.intp] = np.where((best >= least) & unique, at, _NOWHERE)
    return found


def _spectra(pieces: FloatArray) -> npt.NDArray[np.complexfloating]:
    """Shape: ``(n, n_frames, n_bands)`` to ``(n_frequencies, n, n_bands)``."""
    spectra: npt.NDArray[np.complexfloating] = np.fft.rfft(pieces, _FFT_FRAMES, axis=1)
    return np.ascontiguousarray(spectra.transpose(1, 0, 2))
