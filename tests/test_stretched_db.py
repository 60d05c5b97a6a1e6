"""Stretched decibels: amplitudes up to a limit, decibels above it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
from hypothesis import given
from hypothesis import strategies as st

from monitor.model.peaks import HealthyPeaks, PeakRule, healthy_peaks
from monitor.model.stretched_db import slopes, stretch, stretched, unstretched, variance_of_noise
from tests.fine_spectra import score_of

LIMITS_DB = [3.0, 10.0, 20.0]
PER_NEPER_DB = 20.0 / math.log(10.0)


@pytest.mark.parametrize("limit_db", LIMITS_DB)
def test_values_are_amplitudes_up_to_the_limit_and_decibels_above(limit_db: float) -> None:
    """The score is not that of the page."""
    below_db = np.linspace(-40.0, limit_db, 50)
    amplitudes = PER_NEPER_DB * (10.0 ** (below_db / 20.0) - 1.0)
    assert np.allclose(stretched(below_db, limit_db), amplitudes)
    above_db = np.linspace(limit_db, 90.0, 50)
    steps = np.diff(stretched(above_db, limit_db)) / np.diff(above_db)
    assert np.allclose(steps, 10.0 ** (limit_db / 20.0))
    assert stretched(np.zeros(1), limit_db)[0] == 0.0


@given(
    values_db=st.lists(st.floats(-60.0, 120.0), min_size=1, max_size=30),
    limit_db=st.sampled_from([0.0, *LIMITS_DB]),
)
def test_stretched_values_have_their_order_and_can_be_read_in_decibels(
    values_db: list[float], limit_db: float
) -> None:
    """A louder tone has a lower value, or the variation of a tone is that of another level."""
    ordered_db = np.sort(values_db)
    values = stretched(ordered_db, limit_db)
    assert (np.diff(values) >= 0.0).all()
    assert np.allclose(unstretched(values, limit_db), ordered_db, atol=1e-6)
    step_db = 1e-4
    grown = stretched(ordered_db + step_db, limit_db) - stretched(ordered_db - step_db, limit_db)
    near_limit = np.abs(ordered_db - limit_db) <= step_db
    expected = slopes(ordered_db, limit_db)
    assert np.allclose((grown / (2 * step_db))[~near_limit], expected[~near_limit], rtol=1e-3)


@pytest.mark.parametrize("limit_db", LIMITS_DB)
def test_single_precision_gives_the_same_values(limit_db: float) -> None:
    """The run time scores by other values than the training."""
    values_db = np.random.default_rng(0).normal(0.0, 12.0, (3, 500)).astype(np.float32)
    row = values_db.copy()
    stretch(row, limit_db)
    assert np.allclose(row, stretched(values_db, limit_db), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("limit_db", [0.0, *LIMITS_DB])
def test_the_variance_of_noise_is_that_of_the_exponential_distribution(limit_db: float) -> None:
    """Short sound of a healthy machine is judged more strictly than long sound, or less."""

    def moment(order: int) -> float:
        def of(power: float) -> float:
            above_db = 10.0 * math.log10(power) + 10.0 * np.euler_gamma / math.log(10.0)
            return float(stretched(np.array([above_db]), limit_db)[0]) ** order * math.exp(-power)

        parts = [(0.0, 1e-3), (1e-3, 1.0), (1.0, 60.0)]
        return float(sum(scipy.integrate.quad(of, *part, limit=200)[0] for part in parts))

    mean = np.array([moment(1)])
    slope = slopes(unstretched(mean, limit_db), limit_db)[0]
    variance_db2 = (moment(2) - mean[0] ** 2) / slope**2
    of_logarithm_db2 = (10.0 / math.log(10.0)) ** 2 * math.pi**2 / 6.0
    assert variance_of_noise(limit_db) == pytest.approx(variance_db2 / of_logarithm_db2, rel=0.002)


def test_a_strong_tone_may_vary_by_as_many_decibels_as_without_stretching() -> None:
    """A loud healthy tone that is a little louder is an alert, or a far louder one is none."""
    shape = (1, 80)
    tones_db = np.random.default_rng(0).normal(25.0, 2.0, (8, *shape))
    n_windows = np.full(8, 30)
    louder_db = np.full(shape, 25.0)
    louder_db[0, 40] = 37.0
    scores = {}
    for limit_db in (0.0, 10.0):
        rule = PeakRule(amplitude_to_db=limit_db)
        healthy = healthy_peaks(stretched(tones_db, limit_db), n_windows, 20.0, rule)
        scores[limit_db] = score_of(healthy, louder_db, 30)
    assert scores[10.0] == pytest.approx(scores[0.0], rel=1e-4)


@pytest.mark.filterwarnings("error")
def test_the_purest_tone_has_a_finite_score() -> None:
    """A test tone gives an infinite score, which is no score at all."""
    shape = (1, 40)
    rule = PeakRule(first_bin=4, amplitude_to_db=10.0)
    healthy = HealthyPeaks(np.zeros(shape), np.full(shape, 0.25), 29.0, 400, rule)
    tone = np.zeros(shape)
    tone[0, [6, 16]] = 130.0
    assert 500.0 < score_of(healthy, tone, 2_000) < 1e4
    assert score_of(healthy, np.zeros(shape), 2_000) == 0.0


@pytest.mark.parametrize("limit_db", [-1.0, 20.5, float("nan")])
def test_a_limit_without_meaning_is_refused(limit_db: float) -> None:
    """A damaged bundle scores by another formula."""
    with pytest.raises(ValueError, match="limit of the amplitude"):
        PeakRule(amplitude_to_db=limit_db)
