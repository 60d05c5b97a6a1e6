"""The least that each part of the pipeline could take: its arithmetic in a few calls of numpy.

Everything is computed on arrays that exist already and of the right shape, by nothing but the
transforms, products and sums that the result needs. What a part keeps from window to window, and
what it decides, is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from monitor.domain import FloatArray
from monitor.features.fourier import transform
from monitor.features.mel_filterbank import mel_filterbank
from monitor.model.bundle import Bundle
from monitor.model.network import Network

_TILE = 16
_FLOOR = np.float32(1e-12)
_REPEATS = 200
_ROUNDS = 15


def floors_s(bundle: Bundle, network: Network, recording: Path) -> Iterator[tuple[str, float]]:
    """Each part that has a floor, and the processor time for one window."""
    samples, rate_hz = soundfile.read(recording, dtype="float32", frames=64_000)
    hop = bundle.spec.window_hop_samples
    hop_s = hop / rate_hz
    yield "decode", _decode_s(recording, hop)
    for name, run in (
        ("signal check", _signal_check(samples[:4_000])),
        ("capture check", _gaps(samples[:8_000])),
    ):
        cell_s = (4_000 if name == "signal check" else 8_000) / rate_hz
        yield name, seconds_of(run) * hop_s / cell_s
    yield "log-mel", seconds_of(_log_mel(bundle, samples))
    yield "envelope", seconds_of(_envelope(samples[:hop]))
    yield "lines", seconds_of(_lines(samples[:hop]))
    windows = np.zeros((1, bundle.spec.n_mels, bundle.spec.window_frames), np.float32)
    yield "graph", seconds_of(lambda: network.run(windows))
    yield "evidence and distances", seconds_of(_distance(bundle))
    if bundle.peaks is not None:
        yield "peaks", seconds_of(_peaks(bundle.peaks.scores.n_values))
        yield "long spans", seconds_of(_sums(bundle.peaks.scores.n_values))
    yield "operation", seconds_of(_low_level(bundle))


def seconds_of(run: Callable[[], object]) -> float:
    """The shortest processor time of one call, as the mean of many in a row."""
    run()
    shortest = float("inf")
    for _ in range(_ROUNDS):
        started = time.thread_time()
        for _ in range(_REPEATS):
            run()
        shortest = min(shortest, (time.thread_time() - started) / _REPEATS)
    return shortest


def _decode_s(recording: Path, n_samples: int) -> float:
    block = np.empty(4 * n_samples, np.int16)
    out = np.empty(4 * n_samples, np.float32)

    def run() -> None:
        with soundfile.SoundFile(recording) as file:
            for _ in range(16):
                np.multiply(file.read(out=block), np.float32(2.0**-15), out=out)

    return seconds_of(run) / 64


def _signal_check(cell: FloatArray) -> Callable[[], object]:
    ones = np.ones_like(cell)
    return lambda: (np.dot(cell, cell), np.dot(cell, ones))


def _power(rows: FloatArray, window: FloatArray) -> tuple[Callable[[], object], FloatArray]:
    """The power of the transform of ``rows`` under a window. Shape: ``(n, n_fft)``."""
    n_bins = rows.shape[1] // 2 + 1
    windowed = np.empty(rows.shape, np.float32)
    spectrum = np.empty((len(rows), n_bins), np.complex64)
    parts = spectrum.reshape(-1).view(np.float32)
    power = np.empty((len(rows), n_bins), np.float32)

    def run() -> None:
        np.multiply(rows, window, windowed)
        transform(windowed, spectrum)
        np.multiply(parts, parts, parts)
        np.add(parts[::2], parts[1::2], power.reshape(-1))
        np.add(power, _FLOOR, power)

    return run, power


def _hann(length: int) -> FloatArray:
    return (length * np.hanning(length + 1)[:-1]).astype(np.float32)


def _frames(samples: FloatArray, length: int, hop: int) -> npt.NDArray[np.float32]:
    return np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]


def _gaps(cell: FloatArray) -> Callable[[], object]:
    run, _ = _power(_frames(cell, 256, 128), _hann(256))
    return run


def _log_mel(bundle: Bundle, samples: FloatArray) -> Callable[[], object]:
    spec = bundle.spec
    run, power = _power(_frames(samples, spec.n_fft, spec.hop_length)[:_TILE], _hann(spec.n_fft))
    weights = mel_filterbank(
        spec.f_min_hz, spec.f_max_hz, spec.n_mels, spec.n_fft, spec.sample_rate_hz
    )
    transposed = np.ascontiguousarray(weights.T.astype(np.float32))
    levels_db = np.empty((_TILE, spec.n_mels), np.float32)

    def whole() -> None:
        run()
        np.matmul(power, transposed, out=levels_db)
        np.log10(levels_db, levels_db)

    return whole


def _envelope(samples: FloatArray) -> Callable[[], object]:
    frames = samples.reshape(-1, 32)
    weights = np.ones((32, 64), np.float32)
    products = np.empty((len(frames), 64), np.float32)
    envelopes = np.ones((16, 512), np.float32)
    spectra, power = _power(envelopes, _hann(512))

    def run() -> None:
        np.matmul(frames, weights, out=products)
        np.multiply(products, products, products)
        spectra()
        np.log10(power, power)

    return run


def _lines(samples: FloatArray) -> Callable[[], object]:
    run, power = _power(np.ascontiguousarray(samples.reshape(-1, 4).T), _hann(len(samples) // 4))

    def whole() -> None:
        run()
        np.log10(power, power)

    return whole


def _distance(bundle: Bundle) -> Callable[[], object]:
    columns = np.ascontiguousarray(bundle.head.whitener.T)
    row = np.zeros(len(columns))

    def run() -> object:
        whitened = row @ columns
        return np.dot(whitened, whitened)

    return run


def _peaks(n_values: int) -> Callable[[], object]:
    rows = np.ones((3, n_values), np.float32)
    work, powers = np.empty(n_values, np.float32), np.empty(n_values, np.float32)

    def run() -> object:
        np.add(rows[0], rows[1], work)
        np.add(work, rows[2], work)
        np.multiply(work, work, powers)
        np.multiply(powers, powers, work)
        np.multiply(work, powers, work)
        return np.dot(work, work)

    return run


def _sums(n_values: int) -> Callable[[], object]:
    row, parts = np.ones(n_values, np.float32), np.ones((4, n_values), np.float32)

    def run() -> None:
        np.add(parts, row, parts)

    return run


def _low_level(bundle: Bundle) -> Callable[[], object]:
    spec = bundle.spec
    frames_db = np.random.default_rng(0).random((spec.n_mels, 4 * spec.window_hop_frames))
    single = frames_db.astype(np.float32)
    return lambda: np.partition(single, 6, axis=1)
