"""Envelope and line spectra: the values are correct, and faults show at their frequencies."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from monitor.domain import DoubleArray, FloatArray
from monitor.features.envelope import EnvelopeSpec
from monitor.features.line_spectrum import LineSpec
from tests.fine_spectra import ODD_BANDS, SMALL, SMALL_LINES, mean_db, windows_of
from tests.sounds import noise

RATE_HZ = 16_000


def bands_by_scipy(samples: FloatArray, spec: EnvelopeSpec) -> DoubleArray:
    """Envelopes of a window's samples. Shape: ``(n_bands, n_frames)``."""
    _, _, spectra = scipy.signal.stft(
        samples[spec.offset_samples :].astype(np.float64),
        nperseg=2 * spec.frame_hop,
        noverlap=spec.frame_hop,
        boundary=None,
        padded=False,
    )
    power = np.square(np.abs(spectra))
    power[0] = 0.0
    middle = power[1::2] + 0.5 * power[:-1:2] + 0.5 * power[2::2]
    return np.asarray(np.sqrt(middle))


def without_mean_around(spectrum_db: DoubleArray, neighbours: int) -> DoubleArray:
    padded = np.pad(spectrum_db, ((0, 0), (neighbours, neighbours)), mode="reflect")
    kernel = np.full((1, 2 * neighbours + 1), 1.0 / (2 * neighbours + 1))
    around_db: DoubleArray = scipy.signal.convolve2d(padded, kernel, mode="valid")
    return spectrum_db - around_db


@pytest.mark.parametrize("spec", [EnvelopeSpec(), SMALL, ODD_BANDS])
def test_envelope_spectra_agree_with_scipy(spec: EnvelopeSpec) -> None:
    """The values are not those of the formula."""
    samples = noise(spec.window_samples) * np.linspace(0.1, 1.0, spec.window_samples, dtype="f4")
    (window,) = windows_of(samples, spec)
    envelopes = bands_by_scipy(samples, spec)
    assert envelopes.shape == (spec.n_bands, 2 * spec.hop_frames)
    window_mean = np.average(
        envelopes, axis=1, weights=scipy.signal.get_window("hann", 2 * spec.hop_frames)
    )
    rates_hz, power = scipy.signal.periodogram(
        envelopes / window_mean[:, np.newaxis],
        fs=spec.envelope_rate_hz,
        window="hann",
        detrend=False,
        return_onesided=False,
    )
    kept = slice(spec.first_bin, spec.hop_frames + 1)
    assert np.allclose(np.abs(rates_hz[kept]), spec.rates_hz)
    assert spec.rates_hz[0] >= spec.f_min_hz
    spectrum_db = 10.0 * np.log10(power[:, kept] * spec.envelope_rate_hz + 1e-6)
    expected = without_mean_around(spectrum_db, spec.neighbours)
    assert window.values_db.shape == expected.shape
    assert np.abs(window.values_db - expected).max() < 0.02


@pytest.mark.parametrize("spec", [LineSpec(), SMALL_LINES, LineSpec(n_fft=604)])
def test_line_spectra_agree_with_scipy(spec: LineSpec) -> None:
    """The values are not those of the formula."""
    samples = noise(spec.window_samples)
    (window,) = windows_of(samples, spec)
    newest = samples[-spec.n_fft :].astype(np.float64)
    frequencies_hz, power = scipy.signal.periodogram(
        newest, fs=spec.sample_rate_hz, window="hann", detrend=False
    )
    assert np.allclose(frequencies_hz[spec.bin_slice], spec.frequencies_hz)
    assert spec.f_min_hz <= spec.frequencies_hz[0]
    assert spec.frequencies_hz[-1] <= 0.95 * spec.sample_rate_hz / 2
    spectrum_db = 10.0 * np.log10(power[np.newaxis, spec.bin_slice])
    expected = without_mean_around(spectrum_db, spec.neighbours)
    assert np.abs(window.values_db - expected).max() < 0.02


@pytest.mark.parametrize(
    ("impact_hz", "resonance_hz"), [(87.0, 3_200.0), (41.0, 1_300.0), (119.0, 6_200.0)]
)
def test_impacts_show_at_their_rate_in_the_band_they_excite(
    impact_hz: float, resonance_hz: float
) -> None:
    """A bearing fault is not seen, or named wrongly."""
    spec = EnvelopeSpec()
    ring_s = np.arange(800) / RATE_HZ
    ring = np.exp(-0.03 * 2 * np.pi * resonance_hz * ring_s)
    ring *= np.sin(2 * np.pi * resonance_hz * ring_s)
    train = np.zeros(10 * RATE_HZ)
    train[(np.arange(0, 10, 1 / impact_hz) * RATE_HZ).astype(int)] = 1.0
    fault = scipy.signal.fftconvolve(train, ring)[: len(train)]
    background = noise(len(train)).astype(np.float64)
    # 18 dB quieter than the background.
    fault *= background.std() / fault.std() * 10 ** (-18 / 20)
    values_db = mean_db((background + fault).astype(np.float32), spec)
    band, rate = np.unravel_index(values_db.argmax(), values_db.shape)
    assert abs(spec.rates_hz[rate] - impact_hz) < 1.0
    low_hz, high_hz = spec.band_edges_hz[band : band + 2]
    assert low_hz - 250 <= resonance_hz <= high_hz + 250
    assert values_db.max() > 1.5 * mean_db(background.astype(np.float32), spec).max()


def test_a_faint_tone_shows_at_its_frequency() -> None:
    """A new tone is not seen."""
    spec = LineSpec()
    at_s = np.arange(10 * RATE_HZ) / RATE_HZ
    background = noise(len(at_s))
    tone = np.sin(2 * np.pi * 2_718.0 * at_s) * background.std() * np.sqrt(2) * 10 ** (-24 / 20)
    values_db = mean_db(background + tone.astype(np.float32), spec)
    assert abs(spec.frequencies_hz[values_db[0].argmax()] - 2_718.0) < 2.0
    assert values_db.max() > 2 * mean_db(background, spec).max()
