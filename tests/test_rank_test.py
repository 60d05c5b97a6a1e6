"""The rank test, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monitor.calibration.two_sample import share_higher


@pytest.mark.parametrize(("n", "shift"), [(8, 3.0), (30, 0.5), (100, 0.0)])
def test_the_chance_is_that_of_the_rank_test(n: int, shift: float) -> None:
    """A wrong probability refuses healthy machines or accepts other ones."""
    rng = np.random.default_rng(n)
    new, own = rng.normal(shift, size=n).tolist(), rng.normal(size=n + 5).tolist()
    expected = stats.mannwhitneyu(new, own, alternative="greater", method="asymptotic")
    share, chance = share_higher(new, own)
    assert share == pytest.approx(expected.statistic / (n * (n + 5)))
    assert chance == pytest.approx(expected.pvalue, rel=1e-6)
