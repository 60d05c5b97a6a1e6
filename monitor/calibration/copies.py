"""Recordings that hold the same sound: identical files, cuttings, other formats, rates or gains.

Copies make little sound look like much, and a recording that is scored by statistics from its
own copy scores far too low. Two recordings of a steady machine have the same spectrum, but
never the same noise: what remains of the log-mel after its slow course is removed is random,
and agrees only where the sound is the same. Measured on real and simulated machines, the
largest correlation of three seconds of two different recordings is 0.19 (0.27 for one whose
noise repeats with each turn), and the smallest of a copy is 0.29 (Opus of 12 kbit/s; 0.40 for
a copy that begins between two frames, 0.7 and more for MP3, 8 kHz or A-law).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monitor.domain import FloatArray

SAME_SOUND = 0.25
"""The least correlation of a copy among recordings of one machine."""
SAME_SOUND_ELSEWHERE = 0.6
"""The same for recordings of another machine: microphones in one hall pick up the same noise, and
recordings of two toy cars into which the same noise was mixed correlate by up to 0.43."""
_UNIQUE = 1.5
"""How much larger it is than at any other place: noise that repeats with each turn is not."""
_CERTAIN = 0.9
_LEAST_SHARE = 0.5
_WHOLE = 0.9
_CHUNK_FRAMES = (96, 64, 32)
_MOST_CHUNKS = 5
_FFT_FRAMES = 512
_FRAMES_AT_ONCE = 4096
_RECORDINGS_AT_ONCE = 128
_SAME_PLACE = 2
_NOWHERE = -1
_PEAK_FRAMES = 4
_SLOW_FRAMES = 4
_MOST_BANDS = 48
_LEAST_DEVIATION_DB = 0.3
_CLIP = 3.0
_LEAST_POWER = 0.1
_ABOUT_AS_LONG = 0.02
_CUT_OFF_DB = 20.0
_SAME_PERIOD = 0.35


@dataclass(frozen=True, slots=True)
class Copy:
    """Recording ``index`` holds the sound of recording ``of``; ``share`` of it, 0.5 to 1."""

    index: int
    of: int
    share: float


def find_copies(recordings: Sequence[FloatArray], n_originals: int = 0) -> list[Copy]:
    """The recordings whose sound is in another one, in rising order of ``index``.

    ``recordings``: log-mel frames ``(n_frames, n_mels)`` in dB each, or what :func:`thinned`
    keeps of them. Of recordings with the same
    sound the longest is none, and of equally long ones the first whose top bands are not cut off. A
    recording is a copy where at least half of it is found in others. One without noise (pure
    tones) cannot be judged and is no copy. The first ``n_originals`` are of another machine and
    are never copies.
    """
    if len(recordings) < 2:
        return []
    no_chunks = _Chunks(np.empty(0, np.intp), np.empty((0, 0, 0), np.float32))
    chunks = [no_chunks] * n_originals + [_chunks(own) for own in recordings[n_originals:]]
    found = _found(chunks, recordings, n_originals)
    # A whole copy is treated as its original: a copy of it may contain little of the original.
    stands_for: dict[int, int] = {}
    copies: list[Copy] = []
    originals = list(range(n_originals))
    for index in [*originals, *(i for i in _best_first(recordings) if i >= n_originals)]:
        known = list(stands_for)
        hits = found[index][:, known]
        share = float(hits.any(axis=1).mean()) if hits.size else 0.0
        if share < _LEAST_SHARE or index < n_originals:
            stands_for[index] = index
            continue
        original = stands_for[known[int(hits.sum(axis=0).argmax())]]
        copies.append(Copy(index, original, share))
        if share > _WHOLE:
            stands_for[index] = original
    return sorted(copies, key=lambda copy: copy.index)


def repeats_after(frames_db: FloatArray) -> int | None:
    """After how many frames a recording begins again, for one sound joined to itself.

    Shape: ``(n_frames, n_mels)``. None where it does not repeat.
    """
    fine = fine_structure(frames_db)
    length = min(_CHUNK_FRAMES[0], len(fine) // 2)
    if length < _CHUNK_FRAMES[-1] or not _is_noisy(fine[:length]):
        return None
    n_fft = 1 << (len(fine) + length - 1).bit_length()
    spectrum = np.fft.rfft(fine, n_fft, axis=0)
    first = np.fft.rfft(fine[:length], n_fft, axis=0)
    products = np.fft.irfft((spectrum * first.conj()).sum(axis=1), n_fft)
    correlation = products[: len(fine) - length + 1] / _norms(fine, length)
    correlation /= max(float(np.linalg.norm(fine[:length])), 1e-9)
    correlation[:length] = 0.0
    best = float(correlation.max())
    if best < _SAME_PERIOD:
        return None
    period = int(np.flatnonzero(correlation > 0.8 * best)[0])
    period += int(correlation[period : period + _PEAK_FRAMES].argmax())
    head, tail = fine[:-period], fine[period:]
    norm = max(float(np.linalg.norm(head) * np.linalg.norm(tail)), 1e-9)
    return period if float((head * tail).sum()) / norm > _SAME_PERIOD else None


def thinned(frames_db: FloatArray) -> FloatArray:
    """The bands that copies are found by, in a third of the memory or less.

    Shape: ``(n_frames, n_mels)`` to ``(n_frames, n_bands)``, at most 48 bands.
    """
    step = -(-frames_db.shape[1] // _MOST_BANDS)
    return np.ascontiguousarray(frames_db[:, ::step])


def fine_structure(frames_db: FloatArray) -> FloatArray:
    """The random part of log-mel: free of level, spectrum and slow course, in deviations.

    Shape: ``(n_frames, n_mels)`` to ``(n_frames, n_bands)``.
    """
    values = thinned(frames_db).astype(np.float32)
    values -= np.median(values, axis=1, keepdims=True)
    sums = np.concatenate((np.zeros((1, values.shape[1])), np.cumsum(values, axis=0, dtype=float)))
    at = np.arange(len(values))
    first = np.maximum(at - _SLOW_FRAMES, 0)
    last = np.minimum(at + _SLOW_FRAMES + 1, len(values))
    values -= (sums[last] - sums[first]) / (last - first)[:, None]
    values /= np.maximum(values.std(axis=0), _LEAST_DEVIATION_DB)
    fine: FloatArray = np.clip(values, -_CLIP, _CLIP).astype(np.float32)
    return fine


def _best_first(recordings: Sequence[FloatArray]) -> list[int]:
    """Longest first; of about equally long ones those whose top bands are not cut off."""
    longest_first = sorted(range(len(recordings)), key=lambda i: -len(recordings[i]))
    order: list[int] = []
    while longest_first:
        least = (1.0 - _ABOUT_AS_LONG) * len(recordings[longest_first[0]])
        alike = [i for i in longest_first if len(recordings[i]) >= least]
        top_db = {i: _top_bands_db(recordings[i]) for i in alike}
        cut_off_db = max(top_db.values()) - _CUT_OFF_DB
        order += sorted(alike, key=lambda i: (top_db[i] < cut_off_db, i))
        longest_first = longest_first[len(alike) :]
    return order


def _top_bands_db(frames_db: FloatArray) -> float:
    """The level of the top eighth of the bands below the loudest; codecs cut them off."""
    spectrum = np.median(frames_db, axis=0)
    return float(spectrum[-max(1, len(spectrum) // 8) :].mean() - spectrum.max())


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
            noisy = np.array([_is_noisy(template) for template in templates])
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
        norms = _norms(fine, length)
        least = SAME_SOUND_ELSEWHERE if index < n_originals else SAME_SOUND
        yield index, _peaks((correlation[:, : len(norms)] / norms).astype(np.float32), least)
        first += len(own)


def _peaks(correlation: FloatArray, least: float) -> npt.NDArray[np.intp]:
    """Where a template is found: at a clear maximum, ``_NOWHERE`` if there is none.

    Shape: ``(n_templates, n_lags)`` to ``(n_templates,)``.
    """
    at, rows = correlation.argmax(axis=1), np.arange(len(correlation))
    best = correlation[rows, at]
    for offset in range(-_PEAK_FRAMES, _PEAK_FRAMES + 1):
        correlation[rows, np.clip(at + offset, 0, correlation.shape[1] - 1)] = 0.0
    unique = (best >= _CERTAIN) | (best >= _UNIQUE * correlation.max(axis=1))
    found: npt.NDArray[np.intp] = np.where((best >= least) & unique, at, _NOWHERE)
    return found


def _spectra(pieces: FloatArray) -> npt.NDArray[np.complexfloating]:
    """Shape: ``(n, n_frames, n_bands)`` to ``(n_frequencies, n, n_bands)``."""
    spectra: npt.NDArray[np.complexfloating] = np.fft.rfft(pieces, _FFT_FRAMES, axis=1)
    return np.ascontiguousarray(spectra.transpose(1, 0, 2))


def _norms(fine: FloatArray, length: int) -> FloatArray:
    """The norm of every ``length`` successive frames. Shape: ``(n_frames - length + 1,)``."""
    sums = np.concatenate(([0.0], np.cumsum(np.square(fine).sum(axis=1, dtype=float))))
    norms: FloatArray = np.sqrt(np.maximum(sums[length:] - sums[:-length], 1e-9)).astype(np.float32)
    return norms


def _is_noisy(fine: FloatArray) -> bool:
    return float(np.square(fine).mean()) > _LEAST_POWER
