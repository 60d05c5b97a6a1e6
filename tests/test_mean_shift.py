"""The shift between two sets of recordings, compared with scipy's t test and with known shifts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from monitor.calibration.two_sample import Shift, mean_shift
from monitor.model.head import sample_of

D = 60
Rows = npt.NDArray[np.float64]


def recordings(rng: np.random.Generator, n: int) -> Rows:
    """Evidence that varies in a dozen directions, as that of real machines does."""
    mixing = np.random.default_rng(99).normal(size=(12, D))
    return rng.normal(size=(n, 12)) @ mixing + 0.5 * rng.normal(size=(n, D))


def shift_between(own: Rows, new: Rows) -> Shift:
    shift = mean_shift(sample_of(own), sample_of(new))
    assert shift is not None
    return shift


def test_the_strength_is_that_of_the_t_statistics() -> None:
    """A shift is treated as chance, or chance for a shift."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(9, D)) * np.arange(1, D + 1)
    new = own[::-1] + rng.normal(size=D)
    t = stats.ttest_ind(own, new).statistic
    expected = np.square(t).mean() * (16 - 2) / 16
    assert shift_between(own, new).strength == pytest.approx(expected)


@pytest.mark.parametrize(("n_own", "n_new"), [(4, 8), (8, 8), (150, 25), (20, 5)])
def test_recordings_of_one_machine_show_no_shift(n_own: int, n_new: int) -> None:
    """Healthy machines with many recordings are refused."""
    rng = np.random.default_rng(n_own)
    shifts = [shift_between(recordings(rng, n_own), recordings(rng, n_new)) for _ in range(200)]
    assert np.mean([s.strength for s in shifts]) == pytest.approx(1.0, abs=0.2)
    assert np.mean([s.size for s in shifts]) == pytest.approx(0.0, abs=0.1)
    assert np.mean([s.strength > 2.5 for s in shifts]) <= 0.01


def test_the_size_of_a_shift_does_not_depend_on_the_number_of_recordings() -> None:
    """With a hundred recordings a small change is treated as another machine."""
    rng = np.random.default_rng(1)
    deviations = recordings(rng, 2000).std(axis=0)
    for n in (10, 40, 160):
        sizes = [
            shift_between(recordings(rng, n), recordings(rng, n) + 0.8 * deviations).size
            for _ in range(40)
        ]
        assert np.mean(sizes) == pytest.approx(0.64, abs=0.12)


@pytest.mark.parametrize("swapped", [False, True])
def test_recordings_of_one_state_are_no_other_machine(swapped: bool) -> None:
    """A pump that was recorded at one speed only is treated as another pump."""
    rng = np.random.default_rng(2)
    states = 8.0 * rng.normal(size=(3, D))
    strengths = []
    for state in range(30):
        everywhere = recordings(rng, 12) + states[np.arange(12) % 3]
        here = recordings(rng, 8) + states[state % 3]
        pair = (here, everywhere) if swapped else (everywhere, here)
        strengths.append(shift_between(*pair).strength)
    assert np.mean(np.array(strengths) > 2.5) <= 0.1
    foreign = recordings(rng, 12) + states[np.arange(12) % 3] + 20.0 * rng.normal(size=D)
    assert shift_between(everywhere, foreign).strength > 2.5


def test_too_few_recordings_give_no_shift() -> None:
    """Two pairs of recordings decide whether it is the same machine."""
    two = sample_of(np.random.default_rng(3).normal(size=(2, D)))
    assert mean_shift(two, two) is None


def test_constant_numbers_are_accepted() -> None:
    """A band without sound ends a calibration in a division by zero."""
    own = recordings(np.random.default_rng(4), 6)
    own[:, :5] = 1.0
    assert shift_between(own, own).strength == 0.0
    nothing = sample_of(np.zeros((4, D)))
    assert mean_shift(nothing, nothing) is None
