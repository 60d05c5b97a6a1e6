"""A quiet and a loud operating state are found in healthy values, and odd recordings are not."""

from __future__ import annotations

from itertools import compress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.calibration.loudness_states import in_the_loudest_state, is_loud
from monitor.calibration.tail import rare_threshold
from monitor.domain import DoubleArray


def squares(n_recordings: int, rng: np.random.Generator, louder: float = 0.0) -> list[DoubleArray]:
    """Squared distances of recordings of one state, two values each."""
    return [louder + rng.chisquare(30, 2) for _ in range(n_recordings)]


def test_the_quiet_state_is_moved_to_the_loud_one() -> None:
    """The gap between two states is taken for a tail."""
    rng = np.random.default_rng(0)
    expected = rng.permutation(np.repeat([False, True], [8, 4]))
    values = [60.0 * loud + rng.chisquare(30, 2) for loud in expected]
    np.testing.assert_array_equal(is_loud(values), expected)
    moved = in_the_loudest_state(values)
    quiet, loud = (np.concatenate(list(compress(moved, own))) for own in (~expected, expected))
    assert quiet.mean() == pytest.approx(loud.mean())
    np.testing.assert_array_equal(loud, np.concatenate(list(compress(values, expected))))


def test_two_states_give_nearly_the_threshold_of_the_louder_one() -> None:
    """The threshold of a machine with two states is so high that faults are missed."""
    rng = np.random.default_rng(1)
    loud = squares(16, rng, 60.0)
    two = rare_threshold([*squares(16, rng), *loud], 1e-5, 0)
    assert two < 1.3 * rare_threshold(loud, 1e-5, 0)


def test_recordings_of_one_state_stay_as_they_are() -> None:
    """Healthy variation is taken for a state, and the threshold becomes too low."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        values = squares(16, rng)
        assert not is_loud(values).any()
        assert all(map(np.array_equal, in_the_loudest_state(values), values))


def test_one_odd_file_and_few_files_are_not_a_state() -> None:
    """The parts of one unusual recording are taken for a state of the machine."""
    rng = np.random.default_rng(3)
    values = [*squares(10, rng), *squares(2, rng, 400.0)]
    assert is_loud(values).tolist() == [False] * 10 + [True] * 2
    assert not is_loud(values, [*range(10), 10, 10]).any()
    assert not is_loud([*squares(3, rng), *squares(2, rng, 400.0)]).any()


groups = st.lists(st.lists(st.integers(0, 9).map(float), min_size=1, max_size=4), max_size=12)


@given(groups.filter(bool))
def test_values_are_only_moved_upwards_and_keep_their_order(found: list[list[float]]) -> None:
    """A healthy value becomes smaller, or equal values divide by zero."""
    values = [np.array(group) for group in found]
    moved = in_the_loudest_state(values)
    for before, after in zip(values, moved, strict=True):
        assert np.ptp(after - before) == pytest.approx(0.0, abs=1e-9)
        assert (after >= before - 1e-9).all()
