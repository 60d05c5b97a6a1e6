"""Whether a bundle fits the machine."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from monitor.calibration.machine_match import match_recordings, match_sound
from monitor.calibration.threshold import HealthyRecording, calibrate
from monitor.detection.persistence import Persistence
from monitor.model.head import Sample
from monitor.model.manifest import MOST_SCORES, Calibration
from monitor.model.reference_match import ReferenceMatch

SECONDS = 10.0


def recordings(
    n: int, whole: float, seed: int = 0, seconds: float = SECONDS
) -> list[HealthyRecording]:
    """Recordings whose scores are about ``whole``, with a standard deviation of 1."""
    rng = np.random.default_rng(seed)
    return [
        HealthyRecording(
            w + rng.normal(size=20), np.full(20, -30.0), seconds, float(w), np.array([w])
        )
        for w in rng.normal(whole, 1.0, n)
    ]


@cache
def calibration(n: int = 40) -> Calibration:
    return calibrate(
        recordings(n, 20.0, seed=1),
        false_alarms_per_week=1.0,
        persistence=Persistence(3, 4),
        hop_s=0.5,
        span_s=2.0,
        distances=True,
    )


def test_recordings_of_the_same_machine_fit() -> None:
    """A correct calibration is refused."""
    complaints = [
        match_recordings(calibration(), recordings(12, 20.0, seed)).complaint
        for seed in range(2, 52)
    ]
    assert complaints.count("") >= 49


def test_another_machine_under_the_threshold_is_refused() -> None:
    """Another machine is accepted because the threshold is far above healthy scores."""
    known = calibration()
    foreign = recordings(8, 23.0)
    assert max(float(np.median(r.scores)) for r in foreign) < known.threshold
    fit = match_recordings(known, foreign)
    assert not fit.matches
    assert "does not fit this machine" in fit.complaint


def test_a_smaller_shift_gives_a_warning() -> None:
    """A machine that has aged cannot be calibrated, or its change is not reported."""
    fit = match_recordings(calibration(), recordings(40, 21.2))
    assert fit.matches
    assert "differ from those" in fit.complaint


def test_two_recordings_are_not_compared() -> None:
    """Two unusual recordings are treated as another machine."""
    assert match_recordings(calibration(), recordings(2, 23.0)).complaint == ""


def test_short_recordings_are_not_compared_with_long_ones() -> None:
    """Short clips, which score higher, are treated as another machine."""
    assert match_recordings(calibration(), recordings(8, 23.0, seconds=4.0)).complaint == ""


def at_positions(
    recordings: list[HealthyRecording], positions: list[float]
) -> list[HealthyRecording]:
    return [
        replace(recording, reference_match=ReferenceMatch(1, position, limit=0.7))
        for recording, position in zip(recordings, positions, strict=True)
    ]


def test_a_reference_machine_is_refused_by_name_at_any_score() -> None:
    """A reference machine with a low score is accepted as the bundle's own."""
    known, own = calibration(), recordings(8, 20.0, seed=3)
    theirs = at_positions(own, [0.9, 1.1, 0.8, 0.75, 0.6, 1.0, 0.9, 0.2])
    fit = match_recordings(known, theirs, ["pump-1", "pump-2"])
    assert not fit.matches
    assert "does not fit this machine: 6 of 8 recordings are closer to" in fit.complaint
    assert "reference machine 2 (pump-2)" in fit.complaint
    for names in ((), ("pump-1", "")):
        assert "reference machine 2 than" in match_recordings(known, theirs, names).complaint
    few = match_recordings(known, theirs[:3], ["pump-1", "pump-2"])
    assert few.matches
    assert "3 of 3 recordings are closer to reference machine 2 (pump-2)" in few.complaint
    half = at_positions(own, [0.9] * 4 + [0.1] * 4)
    assert match_recordings(known, half).complaint == ""
    match = match_sound(known, 20.0, SECONDS, theirs[0].reference_match, ["pump-1", "pump-2"])
    assert not match.matches
    assert "closer to reference machine 2 (pump-2)" in match.complaint
    assert "the bundle does not fit it" in match.complaint
    assert match_sound(known, 20.0, SECONDS, theirs[-1].reference_match).matches


def test_recordings_far_above_everything_healthy_are_refused() -> None:
    """Another machine is accepted because a rank test needs more than four recordings."""
    known, foreign = calibration(4), recordings(8, 30.0)
    assert max(float(np.median(r.scores)) for r in foreign) < known.threshold
    fit = match_recordings(known, foreign)
    assert not fit.matches
    assert "8 of 8 recordings are far above all healthy scores" in fit.complaint
    assert "--continue" in fit.complaint
    one = match_recordings(known, foreign[:1])
    assert one.matches
    assert "1 of 1 recordings is far above all healthy scores" in one.complaint


def test_recordings_with_peaks_fit_a_calibration_by_the_same_recordings() -> None:
    """A second calibration is refused: only scores of whole recordings have peaks."""
    of_stretches = {"stretch_scores": tuple(np.linspace(11.0, 12.0, 40).tolist())}
    known = calibration().model_copy(update=of_stretches)
    assert match_recordings(known, recordings(40, 20.0, seed=1)).matches


def with_offsets(
    recordings: list[HealthyRecording], mean: float, seed: int = 0
) -> list[HealthyRecording]:
    """Recordings whose offsets have exactly the given mean and the variance 1."""
    rows = np.random.default_rng(seed).normal(size=(len(recordings), 30))
    rows = mean + (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1)
    return [replace(one, mean_offset=row) for one, row in zip(recordings, rows, strict=True)]


HEALTHY = Sample(np.zeros(30), np.ones(30), 40)


@pytest.mark.parametrize(
    ("n", "shift", "warned"),
    [
        (16, 0.0, False),
        (16, 0.42, False),
        (16, 0.5, True),
        (16, 3.0, True),
        (200, 0.3, False),
        (5, 0.7, False),
        (5, 0.8, True),
    ],
)
def test_a_shift_of_all_recordings_gives_a_warning(n: int, shift: float, warned: bool) -> None:
    """Another machine with low scores is calibrated without a warning."""
    new = with_offsets(recordings(n, 20.0, seed=5), shift)
    fit = match_recordings(calibration(), new, (), HEALTHY)
    assert fit.matches
    assert ("differ in the same direction" in fit.complaint) == warned
    assert bool(fit.complaint) == warned
    assert match_recordings(calibration(), new[:3], (), HEALTHY).complaint == ""
    assert match_recordings(calibration(), new).complaint == ""


def test_a_refusal_comes_before_a_warning() -> None:
    """A warning hides that the bundle does not fit."""
    known = calibration()
    faulty = at_positions(recordings(3, 2.0 * known.threshold), [0.9, 0.9, 0.9])
    fit = match_recordings(known, faulty)
    assert not fit.matches
    assert "3 of 3 recordings are above the threshold" in fit.complaint


def test_fewer_healthy_scores_allow_higher_new_scores() -> None:
    """Every fifth recording of the same machine is refused: it is above the highest of four."""

    def limit(n: int) -> float:
        stretches = np.linspace(19.0, 21.0, n)
        scores_of_ten = {"stretch_scores": tuple(stretches), "recording_scores": ()}
        known = calibration().model_copy(update=scores_of_ten)
        scores = np.linspace(21.0, 25.0, 400)
        return float(scores[[match_sound(known, s, SECONDS).matches for s in scores]].max())

    assert limit(4) == pytest.approx(22.5, abs=0.02)
    assert limit(40) == pytest.approx(21.6, abs=0.02)


def test_sound_far_above_everything_healthy_does_not_match() -> None:
    """A self-test at the wrong machine passes."""
    known = calibration()
    assert match_sound(known, 20.0, SECONDS).matches
    assert match_sound(known, max(known.recording_scores), SECONDS).matches
    match = match_sound(known, 30.0, SECONDS)
    assert not match.matches
    assert "the bundle does not fit it" in match.complaint
    assert match_sound(known, 30.0, 2.0).matches


@pytest.mark.slow
def test_a_healthy_machine_matches_with_recordings_of_any_length() -> None:
    """Every fifth self-test fails, because ten seconds vary more than the mean of minutes."""
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(12):
        stretches = rng.normal(20.0, 1.0, (12, 10))
        known = calibrate(
            [
                HealthyRecording(
                    np.repeat(s, 20), np.full(200, -30.0), 100.0, float(np.sqrt(np.mean(s**2))), s
                )
                for s in stretches
            ],
            false_alarms_per_week=1.0,
            persistence=Persistence(3, 4),
            hop_s=0.5,
            span_s=2.0,
            distances=True,
        )
        failed += sum(
            not match_sound(known, live, SECONDS).matches for live in rng.normal(20.0, 1.0, 20)
        )
    assert failed <= 2


def test_only_some_of_many_recording_scores_are_kept() -> None:
    """The manifest grows with every recording."""
    kept = calibration(1000).recording_scores
    assert len(kept) == MOST_SCORES
    assert np.median(kept) == pytest.approx(20.0, abs=0.1)
