"""The faults of ``injected_faults`` have the rates, bands and levels that they state."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection.injection import SoundPiece
from benchmarks.recall.rows import false_alarms
from monitor.domain import DoubleArray, FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from training.sound import injected_faults as faults
from training.sound.injected_faults import FAULTS, LEVELS_DB, fault

RATE_HZ = 16_000
N = 8 * RATE_HZ
SEEDS = range(4)


def power(samples: DoubleArray | FloatArray) -> tuple[DoubleArray, DoubleArray]:
    """Frequencies in Hz and the power spectrum without its mean, both ``(n_bins,)``."""
    spectrum = np.abs(np.fft.rfft((samples - samples.mean()) * np.hanning(len(samples)))) ** 2
    return np.asarray(np.fft.rfftfreq(len(samples), 1.0 / RATE_HZ)), np.asarray(spectrum)


def envelope(samples: FloatArray) -> DoubleArray:
    """The size of the analytic signal (Hilbert)."""
    spectrum = np.fft.fft(samples)
    spectrum[len(spectrum) // 2 :] = 0.0
    return 2.0 * np.abs(np.fft.ifft(spectrum))


def median_hz(samples: FloatArray) -> float:
    """Half of the power is below this frequency."""
    frequency_hz, spectrum = power(samples)
    total = np.cumsum(spectrum)
    return float(frequency_hz[np.searchsorted(total, total[-1] / 2)])


def strongest_hz(samples: DoubleArray | FloatArray, above_hz: float = 0.0) -> float:
    frequency_hz, spectrum = power(samples)
    return float(frequency_hz[np.argmax(np.where(frequency_hz > above_hz, spectrum, 0.0))])


def test_impacts_repeat_at_their_rate_in_their_resonance() -> None:
    """The rate or the resonance is outside its limits."""
    for seed in SEEDS:
        sound = fault("impacts", N, RATE_HZ, (seed,))
        low_hz, high_hz = faults.IMPACT_RATE_HZ
        assert 0.98 * low_hz <= strongest_hz(envelope(sound), 20.0) <= 1.02 * high_hz
        assert faults.RESONANCE_HZ[0] * 0.9 <= median_hz(sound) <= faults.RESONANCE_HZ[1] * 1.1


def test_a_line_is_narrow() -> None:
    """The power of a line is spread over more than some hertz."""
    for seed in SEEDS:
        sound = fault("line", N, RATE_HZ, (seed,))
        frequency_hz, spectrum = power(sound)
        tone_hz = strongest_hz(sound)
        assert faults.LINE_HZ[0] - 3 <= tone_hz <= faults.LINE_HZ[1] + 3
        assert spectrum[np.abs(frequency_hz - tone_hz) < 5.0].sum() > 0.99 * spectrum.sum()


def test_a_rub_is_a_band_that_swells_with_the_shaft() -> None:
    """The noise is outside its band, or does not swell once in each turn."""
    for seed in SEEDS:
        sound = fault("rub", N, RATE_HZ, (seed,))
        frequency_hz, spectrum = power(sound)
        inside = np.abs(np.log2(np.maximum(frequency_hz, 1.0) / median_hz(sound))) < 0.7
        assert spectrum[inside].sum() > 0.99 * spectrum.sum()
        low_hz, high_hz = faults.SHAFT_HZ
        assert low_hz * 0.98 <= strongest_hz(envelope(sound) ** 2, 5.0) <= high_hz * 1.02


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_has_its_level_and_depends_on_its_seed_only(kind: str) -> None:
    """The level is another one, or the same seed gives another fault."""
    machine = np.random.default_rng(0).standard_normal(N).astype(np.float32)
    sound = fault(kind, N, RATE_HZ, (1, 2))
    np.testing.assert_array_equal(sound, fault(kind, N, RATE_HZ, (1, 2)))
    assert np.abs(np.corrcoef(sound, fault(kind, N, RATE_HZ, (1, 3)))[0, 1]) < 0.5
    assert np.sqrt(np.square(sound, dtype=np.float64).mean()) == pytest.approx(1.0, rel=1e-5)
    clean = SoundPiece(machine, LogMelSpec()).frames_db
    louder = [
        (SoundPiece(machine, LogMelSpec()).with_sound(sound, level) - clean).max()
        for level in LEVELS_DB
    ]
    assert louder == sorted(louder, reverse=True)


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_fits_a_lower_sample_rate(kind: str) -> None:
    """A fault at 8 kHz is outside of its limits, is at a wrong frequency or is silent."""
    for seed in range(20):
        sound = fault(kind, N // 2, RATE_HZ // 2, (seed,))
        assert np.sqrt(np.square(sound, dtype=np.float64).mean()) == pytest.approx(1.0, rel=1e-5)
        # Half of the samples per second: power() shows twice the frequency.
        full_hz = median_hz(fault(kind, N, RATE_HZ, (seed,)))
        assert median_hz(sound) == pytest.approx(full_hz, rel=0.3)


def test_false_alarms_have_limits() -> None:
    """The limits of a count are not those of Poisson's distribution (Garwood 1936)."""
    week_s = 7 * 24 * 3600.0
    assert false_alarms(0, week_s) == "0 in 168.00 h, 0 to 4"
    assert false_alarms(10, week_s) == "10 in 168.00 h, 5 to 18"
