"""A short run of the soak: limits of the folders, evidence and scores, but not growth."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks._soak.result import TOO_SHORT, Result, Sample, check_growth
from benchmarks.soak import soak


def result(*rss_mb: float) -> Result:
    """Measurements from the first hour on, one every six minutes of sound."""
    samples = [
        Sample(1.0 + number / 10, rss, descriptors=20, threads=6)
        for number, rss in enumerate(rss_mb)
    ]
    return Result(samples, 60.0, 50.0, 0.2, 4)


def test_memory_that_grows_is_a_problem() -> None:
    """The benchmark would not report a leak."""
    flat, growing = result(*[100.0] * 40), result(*[100.0 + n / 5 for n in range(40)])
    check_growth(flat)
    check_growth(growing)
    assert flat.problems == []
    assert flat.slope_mb_per_hour == pytest.approx(0.0, abs=1e-9)
    assert len(growing.problems) == 1
    assert growing.slope_mb_per_hour == pytest.approx(2.0)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_folders_stay_within_their_limits_and_evidence_is_there(tmp_path: Path) -> None:
    """After weeks, a node would have a full disk, or alerts without their sound."""
    found = soak(tmp_path, hours=0.25, speed=50.0)
    assert found.problems == [TOO_SHORT]
    assert found.alerts >= 2
    assert found.evidence_there == found.evidence_named >= 2
    assert 0 < found.most_history_bytes <= 10_000_000
    assert 0 < found.most_evidence_bytes <= 10_000_000
