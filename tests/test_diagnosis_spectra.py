"""The spectra of a diagnosis agree with scipy, with IEC 61260-1 and with published tables."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from monitor.diagnosis.bearings import KNOWN, Bearing, known_bearing
from monitor.diagnosis.combs import fitted_comb
from monitor.diagnosis.envelopes import bands_of
from monitor.diagnosis.segments import SegmentPlan, widest
from monitor.diagnosis.sound import Spectra, segments_of
from monitor.diagnosis.third_octaves import mid_bands_hz, third_octaves_db
from monitor.domain import FloatArray
from tests.diagnosed_sounds import RATE_HZ, impacts, machine

PLAN = SegmentPlan(RATE_HZ, 4.0)
BAND = 3
"""3 to 4 kHz."""


def spectra_of(samples: FloatArray) -> Spectra:
    segments = segments_of(samples, PLAN)
    assert segments is not None
    return segments.averaged()


def band_by_scipy(samples: FloatArray) -> np.ndarray:
    """The complex signal of the band, by another filter. Shape: ``(n_samples,)``."""
    band = bands_of(RATE_HZ)[BAND]
    edges = (band.low_hz + 50.0, band.high_hz - 50.0)
    sos = scipy.signal.butter(12, edges, "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(scipy.signal.hilbert(scipy.signal.sosfiltfilt(sos, samples)))


@pytest.fixture(scope="module")
def struck() -> FloatArray:
    return machine(30.0, 1, tones=()) + impacts(30.0, 41.3, 2, level=0.15)


@pytest.fixture(scope="module")
def clicks() -> FloatArray:
    """Clicks in white noise: a spectrum that is flat already."""
    sound = np.random.default_rng(4).normal(0.0, 0.01, 30 * RATE_HZ)
    times_s = np.arange(1.0 / 41.3, 29.9, 1.0 / 41.3)
    random = np.random.default_rng(5)
    times_s += random.uniform(-0.0005, 0.0005, len(times_s))
    sound[np.rint(times_s * RATE_HZ).astype(int)] += 0.25
    return sound.astype(np.float32)


def test_kurtosis_agrees_with_scipy(clicks: FloatArray) -> None:
    """The most impulsive band would be another one."""
    power = np.abs(band_by_scipy(clicks)) ** 2
    expected = float((power**2).mean() / power.mean() ** 2 - 2.0)
    found = spectra_of(clicks).kurtosis
    assert expected > 1.0
    assert found[BAND] == pytest.approx(expected, rel=0.15)
    assert abs(spectra_of(machine(30.0, 3, tones=())).kurtosis[BAND]) < 0.05


def test_the_most_impulsive_band_is_that_of_the_resonance(struck: FloatArray) -> None:
    """Rates would be looked for in a band without impacts."""
    band = bands_of(RATE_HZ)[int(spectra_of(struck).kurtosis.argmax())]
    assert band.low_hz <= 3_200.0 <= band.high_hz


def test_the_envelope_spectrum_agrees_with_scipy(clicks: FloatArray) -> None:
    """Levels and rates of the envelope would be wrong."""
    envelope = np.abs(band_by_scipy(clicks))
    _, _, spectra = scipy.signal.stft(
        envelope / envelope.mean() - 1.0,
        fs=RATE_HZ,
        window="hann",
        nperseg=PLAN.n_samples,
        boundary=None,
        padded=False,
    )
    expected_db = 20.0 * np.log10(np.abs(spectra)).mean(axis=1)
    found_db = spectra_of(clicks).envelope_db[BAND]
    lines = [round(41.3 * harmonic / PLAN.bin_hz) for harmonic in range(1, 7)]
    difference_db = found_db[lines] - expected_db[lines]
    assert np.ptp(difference_db) < 1.0
    middle = slice(20, 400)
    offset_db = np.median(found_db[middle] - expected_db[middle])
    assert np.abs(difference_db - offset_db).max() < 1.0


# IEC 61260-1:2014, table 1, class 1: the normalised frequency as a power of the octave ratio, and
# the least and the largest attenuation in dB relative to the middle of the band, as two other
# programs quote it, leonardojacomussi's OctFilter and a plot of masks.
CLASS_1 = [
    (0.0, -0.4, 0.4),
    (1 / 8, -0.4, 0.5),
    (1 / 4, -0.4, 0.7),
    (3 / 8, -0.4, 1.4),
    (1 / 2, 1.2, 5.3),
    (1.0, 16.6, np.inf),
    (2.0, 40.5, np.inf),
    (3.0, 60.0, np.inf),
    (4.0, 70.0, np.inf),
]
RATIO = 10.0**0.3


def third_of(octave: float) -> float:
    """The breakpoint of the octave filter as a frequency of a third-octave filter, annex of it."""
    edge, edge_third = RATIO**0.5 - 1.0, RATIO ** (1.0 / 6.0) - 1.0
    return float(1.0 + edge_third / edge * (RATIO**octave - 1.0))


def test_the_breakpoints_of_third_octaves_are_those_of_the_standard() -> None:
    """The limits would be compared at other frequencies.

    The numbers are in IEC 61260:1995, annex, as other implementations of its limits quote them.
    """
    published = [1.0, 1.02667, 1.05575, 1.08746, 1.12202, 1.29437, 1.88173, 3.05365, 5.39195]
    assert [third_of(octave) for octave, _, _ in CLASS_1] == pytest.approx(published, abs=2e-4)
    below = [1.0, 0.97402, 0.94719, 0.91958, 0.89125, 0.77257, 0.53143, 0.32748, 0.18546]
    assert [1.0 / one for one in published] == pytest.approx(below, abs=2e-5)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("middle", [9, 16, 22])
def test_third_octaves_keep_the_limits_of_class_1(middle: int, side: int) -> None:
    """A level would not be that of a sound level meter."""
    mid_hz = mid_bands_hz(RATE_HZ / 2.0)[middle]
    time_s = np.arange(20 * RATE_HZ) / RATE_HZ
    levels_db = {}
    for octave, _, _ in CLASS_1:
        hz = mid_hz * third_of(octave) ** side
        if 20.0 < hz < 0.45 * RATE_HZ:
            tone = np.sin(2.0 * np.pi * hz * time_s).astype(np.float32)
            density_db = spectra_of_tone(tone)
            levels_db[octave] = third_octaves_db(density_db, PLAN.bin_hz)[middle]
    assert levels_db[0.0] == pytest.approx(10.0 * np.log10(0.5), abs=0.05)
    for octave, least, most in CLASS_1:
        if octave in levels_db:
            assert least <= levels_db[0.0] - levels_db[octave] <= most, octave


def spectra_of_tone(tone: FloatArray) -> FloatArray:
    return spectra_of(tone).density_db


def test_third_octaves_are_named_as_in_the_standard() -> None:
    """A band would be called by another frequency."""
    nominal_hz = [25, 31.5, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800]
    nominal_hz += [1_000, 1_250, 1_600, 2_000, 2_500, 3_150, 4_000, 5_000, 6_300]
    exact_hz = mid_bands_hz(RATE_HZ / 2.0)
    assert len(exact_hz) == len(nominal_hz)
    assert exact_hz == pytest.approx(nominal_hz, rel=0.02)


@pytest.mark.parametrize(
    ("name", "inner", "outer", "cage", "ball"),
    [
        ("6205-2RS JEM", 5.4152, 3.5848, 0.39828, 4.7135),
        ("6203-2RS", 4.9469, 3.0530, 0.3817, 3.9874),
    ],
)
def test_bearing_rates_are_those_of_the_maker(
    name: str, inner: float, outer: float, cage: float, ball: float
) -> None:
    """Defect frequencies of SKF bearings, in multiples of the speed, as the Bearing Data Center of
    Case Western Reserve University publishes them. Another part would be named."""
    one = known_bearing(name)
    found = (one.inner_order, one.outer_order, one.cage_order, 2.0 * one.ball_order)
    assert found == pytest.approx((inner, outer, cage, ball), rel=3e-4)


def test_a_roller_bearing_at_an_angle_has_its_published_rates() -> None:
    """Rexnord ZA-2115 at 2000 rpm: 236.4, 296.9, 139.9 and 14.8 Hz (Qiu et al. 2006)."""
    one = KNOWN["ZA-2115"]
    orders = (one.outer_order, one.inner_order, one.ball_order, one.cage_order)
    hz = [order * 2000.0 / 60.0 for order in orders]
    assert hz == pytest.approx((236.4, 296.9, 139.9, 14.8), rel=2e-3)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((2, 7.9, 39.0, 0.0), "balls must be from 3 to 200, not 2"),
        ((9, 39.0, 7.9, 0.0), "ball_mm must be above 0 and below pitch_mm, not 39 with pitch_mm"),
        ((9, 7.9, 39.0, 90.0), "angle_deg must be from 0 to below 90, not 90"),
    ],
)
def test_an_impossible_bearing_is_refused(
    values: tuple[int, float, float, float], says: str
) -> None:
    """Its rates would be nonsense."""
    with pytest.raises(ValueError, match=says):
        Bearing("x", *values)


@pytest.mark.parametrize("rate_hz", [7.3, 41.3, 118.9])
def test_a_rate_is_read_between_the_bins(rate_hz: float) -> None:
    """A rate would be wrong by more than half a percent."""
    sound = spectra_of(machine(30.0, 5, tones=()) + impacts(30.0, rate_hz, 6, level=0.2))
    fit = fitted_comb(
        sound.envelope_prominence_db[BAND], PLAN.bin_hz, rate_hz * 1.002, 4.0 * sound.deviation_db
    )
    assert abs(fit.rate_hz / rate_hz - 1.0) < 0.002
    assert abs(fit.rate_hz - rate_hz) < 3.0 * fit.uncertainty_hz


def test_the_largest_value_around_is_found() -> None:
    """A healthy line a little beside would not be seen, and its neighbour called new."""
    values = np.random.default_rng(0).normal(0.0, 1.0, 200).astype(np.float32)
    reach = (np.arange(200) // 25).astype(np.intp)
    found = widest(values, reach)
    for bin_number, near in enumerate(reach):
        around = values[max(0, bin_number - near) : bin_number + near + 1]
        assert found[bin_number] == around.max()
