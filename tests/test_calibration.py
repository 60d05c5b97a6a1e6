"""Healthy scores to a threshold: the budget is kept, and too little data is reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from monitor.calibration.blocks import WEEK_S
from monitor.calibration.tail import fit_generalised_pareto
from monitor.calibration.threshold import HealthyRecording, calibrate
from monitor.detection.persistence import Persistence
from monitor.detection.persistent_scores import persistent_scores
from monitor.errors import BadInputError
from monitor.model.manifest import Calibration
from monitor.text.wording import counted, duration

HOP_S, SPAN_S = 0.256, 4.0
RULE = Persistence.lasting(2.0, 0.9, SPAN_S, HOP_S)


def recording(n_scores: int, rng: np.random.Generator) -> HealthyRecording:
    """Scores as correlated as overlapping spans make them."""
    smooth = np.convolve(rng.normal(size=n_scores + 15), np.ones(16) / 4, "valid")[:n_scores]
    whole = 20.0 + float(smooth.mean())
    return HealthyRecording(
        20.0 + smooth, np.full(n_scores, -30.0), n_scores * HOP_S, whole, np.array([whole])
    )


def alarms(scores: np.ndarray, threshold: float) -> int:
    """How often the persistent score rises over the threshold."""
    over = persistent_scores(scores, RULE) > threshold
    return int(over[0]) + int((over[1:] & ~over[:-1]).sum())


@pytest.mark.parametrize("budget", [5_000.0, 1_000.0, 100.0])
@pytest.mark.parametrize(("n_scores", "n_recordings"), [(300, 60), (RULE.out_of + 4, 600)])
def test_the_budget_is_kept_on_unseen_healthy_sound(
    budget: float, n_scores: int, n_recordings: int
) -> None:
    """More false alarms than the budget are raised."""
    rng = np.random.default_rng(1)
    calibration = calibrate(
        [recording(n_scores, rng) for _ in range(n_recordings)],
        false_alarms_per_week=budget,
        persistence=RULE,
        hop_s=HOP_S,
        span_s=SPAN_S,
        distances=True,
    )
    unseen = [recording(2_000, rng) for _ in range(150)]
    weeks = sum(r.seconds for r in unseen) / WEEK_S
    rate = sum(alarms(r.scores, calibration.threshold) for r in unseen) / weeks
    assert rate <= 2.0 * budget


def test_a_threshold_is_counted_or_reported_as_an_estimate() -> None:
    """An estimated threshold is treated as a counted one."""
    rng = np.random.default_rng(2)
    recordings = [recording(300, rng) for _ in range(40)]
    counted = calibrate(
        recordings,
        false_alarms_per_week=2_000.0,
        persistence=RULE,
        hop_s=HOP_S,
        span_s=SPAN_S,
        distances=True,
    )
    extrapolated = calibrate(
        recordings,
        false_alarms_per_week=1.0,
        persistence=RULE,
        hop_s=HOP_S,
        span_s=SPAN_S,
        distances=True,
    )
    assert counted.method == "conformal"
    assert extrapolated.method == "generalised_pareto"
    assert extrapolated.supported_false_alarms_per_week > 1.0
    assert "Only 51 minutes recorded: the threshold for 1 false alarm a week" in extrapolated.note
    assert extrapolated.threshold > counted.threshold


def test_too_little_healthy_sound_is_an_error() -> None:
    """A threshold is set without enough data."""
    with pytest.raises(BadInputError, match="too little to set a threshold"):
        calibrate(
            [recording(20, np.random.default_rng(0))],
            false_alarms_per_week=1.0,
            persistence=RULE,
            hop_s=HOP_S,
            span_s=SPAN_S,
            distances=True,
        )


def test_the_parts_of_one_file_are_one_recording() -> None:
    """One recording counts as eight independent ones, because it is divided for the statistics."""
    rng = np.random.default_rng(3)

    def calibrated(parts: list[HealthyRecording], files: list[int]) -> Calibration:
        return calibrate(
            parts,
            false_alarms_per_week=1.0,
            persistence=RULE,
            hop_s=HOP_S,
            span_s=SPAN_S,
            distances=True,
            files=files,
        )

    parts = [recording(100, rng) for _ in range(8)]
    joined = recording(20, rng)
    joined = replace(
        joined,
        scores=np.concatenate([part.scores for part in parts]),
        levels_db=np.concatenate([part.levels_db for part in parts]),
        seconds=sum(part.seconds for part in parts),
    )
    one, as_one = calibrated(parts, [0] * 8), calibrated([joined], [0])
    assert one.recordings == as_one.recordings == 1
    assert one.threshold == pytest.approx(as_one.threshold, rel=0.1)
    with pytest.raises(BadInputError, match="healthy sound in 1 recording is too little"):
        calibrated([recording(20, rng), recording(20, rng)], [0, 0])


def test_notes_have_singular_and_plural() -> None:
    """A note reads "1 false alarms"."""
    assert [counted(n, "false alarm") for n in (1, 2, 0.5)] == [
        "1 false alarm",
        "2 false alarms",
        "0.5 false alarms",
    ]
    lengths_s = (1, 45, 90, 119.6, 150, 240, 3600, 7169, 7170, 7200, 108_000, 171_000, 604_800)
    assert [duration(s) for s in lengths_s] == [
        "1 second",
        "45 seconds",
        "90 seconds",
        "2 minutes",
        "3 minutes",
        "4 minutes",
        "60 minutes",
        "119 minutes",
        "2 hours",
        "2 hours",
        "30 hours",
        "2 days",
        "7 days",
    ]


@pytest.mark.parametrize("d", [10, 100, 288])
def test_an_extrapolated_threshold_of_distances_is_near_the_truth(d: int) -> None:
    """A low threshold raises false alarms, a high one detects no fault."""
    rng = np.random.default_rng(d)
    chance = 1e-5
    thresholds = []
    for _ in range(5):
        distances = np.sqrt(rng.chisquare(d, 200))
        thresholds.append(
            calibrate(
                [
                    HealthyRecording(np.array([x]), np.array([-30.0]), 1.0, x, np.array([x]))
                    for x in distances
                ],
                false_alarms_per_week=chance * WEEK_S,
                persistence=Persistence(1, 1),
                hop_s=1.0,
                span_s=1.0,
                distances=True,
            ).threshold
        )
    truth = float(np.sqrt(stats.chi2.ppf(1.0 - chance, d)))
    assert sum(threshold > truth for threshold in thresholds) >= 4
    assert np.median(thresholds) < 1.3 * truth
    assert max(thresholds) < 1.6 * truth


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.08])
def test_the_tail_fit_agrees_with_scipy_on_plenty_of_data(shape: float) -> None:
    """Extrapolated thresholds come from a wrong tail."""
    excesses = stats.genpareto.rvs(shape, scale=2.0, size=5_000, random_state=3)
    fitted = fit_generalised_pareto(excesses, lightest=-1.0, heaviest=1.0)
    expected_shape, _, expected_scale = stats.genpareto.fit(excesses, floc=0)
    assert fitted.shape == pytest.approx(expected_shape, abs=0.03)
    assert fitted.scale == pytest.approx(expected_scale, rel=0.03)
    expected = stats.genpareto.ppf(0.9999, fitted.shape, scale=fitted.scale)
    assert fitted.quantile(0.9999) == pytest.approx(expected, rel=1e-9)


def test_equal_excesses_have_no_tail() -> None:
    """Equal scores end in a division by zero."""
    assert fit_generalised_pareto(np.zeros(20), lightest=-1.0, heaviest=1.0).quantile(0.99) == 0.0


@pytest.mark.parametrize("span_s", [0.8, 2.0, 10.0, 40.0])
@pytest.mark.parametrize("share", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("hop_s", [0.25, 0.512])
def test_no_sound_shorter_than_the_least_fault_can_meet_the_rule(
    span_s: float, share: float, hop_s: float
) -> None:
    """A slammed door raises an alert although it is shorter than min_fault_s."""
    least_s = 3.0
    rule = Persistence.lasting(least_s, share, span_s, hop_s)
    ends_s = span_s + hop_s * np.arange(4000)
    for onset_s in np.linspace(300.0, 301.0, 41):
        for lasts_s, meets in ((least_s - 1e-3, False), (rule.required * hop_s, True)):
            touched = (ends_s > onset_s) & (ends_s - span_s < onset_s + lasts_s)
            assert bool((persistent_scores(touched.astype(float), rule) > 0.5).any()) is meets


def test_recordings_too_short_for_an_alert_are_reported() -> None:
    """Clips that are too short to raise an alert are reported as healthy."""
    rng = np.random.default_rng(4)
    for n_scores, reported in ((RULE.required - 8, True), (300, False)):
        short = calibrate(
            [recording(n_scores, rng) for _ in range(40)],
            false_alarms_per_week=1.0,
            persistence=RULE,
            hop_s=HOP_S,
            span_s=SPAN_S,
            distances=True,
        )
        assert ("raise no alert" in short.note) is reported


def test_a_recording_shorter_than_the_rule_counts_once() -> None:
    """Clips of a few seconds cannot be used for a calibration."""
    assert len(persistent_scores(np.arange(5.0), Persistence(9, 10))) == 1
    assert len(persistent_scores(np.empty(0), Persistence(9, 10))) == 0
