"""Short sounds that come again and again raise an alert, and nothing else does in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.calibration.channels import ChannelKey
from monitor.calibration.recurring import recurring_channels, recurring_values
from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock, Decision, DoubleArray, FloatArray, Score
from monitor.model.bundle import Bundle
from monitor.model.channel_calibration import (
    RECURRING,
    ChannelBudget,
    ChannelCalibration,
    EvidenceKind,
)
from monitor.model.recurrence import (
    N_PARTS,
    NEEDED,
    PART_S,
    RECURRING_S,
    Recurrence,
    can_recur,
    parts_of,
)
from monitor.pipeline import Pipeline
from tests.bundles import machine_sound, make_bundle
from tests.test_long_spans import RATE_HZ, SPEC, with_channels

HOP_S = 0.512
SPAN_S = 2.08
PER_PART = parts_of(HOP_S)
NUMBER = 7


def score(number: int, value: float) -> Score:
    return Score(value, 0.1, 100 * number, 100 * number + 400, np.full(2, value, np.float32))


def recurring(values: Sequence[float] | DoubleArray) -> list[Score]:
    made = Recurrence(NUMBER, HOP_S)
    found = [made.push(score(number, float(value))) for number, value in enumerate(values)]
    return [one for one in found if one is not None]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), n_parts=st.integers(10, 25), rest=st.integers(0, PER_PART - 1))
def test_the_score_is_what_twelve_of_fifteen_minutes_reach(
    seed: int, n_parts: int, rest: int
) -> None:
    """Two noisy minutes raise an alert, or a fault of every minute does not."""
    values = np.random.default_rng(seed).exponential(1.0, n_parts * PER_PART + rest)
    minutes = values[: n_parts * PER_PART].reshape(n_parts, PER_PART).max(axis=1)
    found = recurring(values)
    assert len(found) == max(0, n_parts - N_PARTS + 1)
    for number, one in enumerate(found):
        newest = minutes[number : number + N_PARTS]
        assert one.value == np.sort(newest)[-NEEDED]
        assert one.channel == NUMBER
        assert one.band_error[0] == np.float32(newest.max())
        assert one.first_sample == 100 * number * PER_PART
        assert one.end_sample == 100 * ((number + N_PARTS) * PER_PART - 1) + 400


@settings(max_examples=60, deadline=None)
@given(min_fault_s=st.floats(0.0, 900.0), start=st.integers(0, 4 * PER_PART))
def test_one_sound_of_min_fault_never_reaches_enough_minutes(
    min_fault_s: float, start: int
) -> None:
    """Eight minutes of a vacuum cleaner raise an alert where min_fault_s is ten minutes."""
    if not can_recur(min_fault_s, SPAN_S):
        assert min_fault_s > 500.0
        return
    values = np.zeros(40 * PER_PART)
    values[start : start + int((min_fault_s + SPAN_S) / HOP_S) + 1] = 9.0
    assert max(one.value for one in recurring(values)) == 0.0


def test_the_next_score_after_forgetting_needs_a_whole_span() -> None:
    """The sound of an alert that was cleared raises it again."""
    made = Recurrence(NUMBER, HOP_S)
    for number in range(N_PARTS * PER_PART - 1):
        assert made.push(score(number, 5.0)) is None
    made.forget()
    later = [made.push(score(number, 1.0)) for number in range(N_PARTS * PER_PART)]
    assert [one.value for one in later if one is not None] == [1.0]


def thresholds_of(
    recordings: Sequence[DoubleArray], single: float = 10.0
) -> dict[EvidenceKind, tuple[float, ...]]:
    """The thresholds for 0.2, 1 and 50 a week, where all evidence has the same healthy scores."""
    of_channels = [
        {ChannelKey(kind, SPAN_S, HOP_S): values for kind in ("envelope", "lines")}
        for values in recordings
    ]
    budgets = {0.2: 1.2 * single, 1.0: single, 50.0: 0.8 * single}
    values = recurring_values(
        of_channels, recordings, range(len(recordings)), span_s=SPAN_S, hop_s=HOP_S
    )
    others = [
        ChannelCalibration(
            evidence=kind,
            span_s=span_s,
            step_s=HOP_S,
            score_median=1.0,
            budgets=tuple(
                ChannelBudget(false_alarms_per_week=one, threshold=scale * threshold)
                for one, threshold in budgets.items()
            ),
        )
        for kind in ("envelope", "lines")
        for span_s, scale in ((SPAN_S, 1.0), (120.0, 7.0))
    ]
    found = recurring_channels(values, others, budgets, 0)
    return {one.evidence: tuple(budget.threshold for budget in one.budgets) for one in found}


def test_no_threshold_is_below_that_of_a_single_sound() -> None:
    """What is usual in healthy sound raises an alert when it comes again and again."""
    recordings = [np.random.default_rng(n).uniform(1.0, 2.0, 4 * PER_PART) for n in range(8)]
    assert thresholds_of(recordings) == dict.fromkeys(RECURRING, (12.0, 10.0, 8.0))


def test_what_comes_again_and_again_in_healthy_sound_raises_no_alert() -> None:
    """A valve hisses every half minute, too short to change the other thresholds."""
    recordings = [np.random.default_rng(n).uniform(1.0, 2.0, 4 * PER_PART) for n in range(8)]
    for number, values in enumerate(recordings):
        values[:: PER_PART // 2] = 29.0 + 0.25 * number
    for thresholds in thresholds_of(recordings).values():
        assert list(thresholds) == sorted(thresholds, reverse=True)
        assert min(thresholds) > 30.0


def test_few_recordings_have_no_such_channels() -> None:
    """Three recordings are taken for a distribution."""
    assert thresholds_of([np.full(2 * PER_PART, 1.0)] * 3) == {}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose distance raises no alert by itself, only where it comes again and again."""
    made = with_channels(make_bundle(tmp_path_factory.mktemp("recurring"), spec=SPEC))
    again = ChannelCalibration(
        evidence="recurring_distance",
        span_s=RECURRING_S,
        step_s=PART_S,
        score_median=1.0,
        budgets=(ChannelBudget(false_alarms_per_week=1.0, threshold=made.calibration.threshold),),
    )
    calibration = made.calibration.model_copy(update={"channels": (again,)})
    return replace(made, manifest=made.manifest.model_copy(update={"calibration": calibration}))


def decisions(
    bundle: Bundle, samples: FloatArray, settings: DetectorSettings | None = None
) -> list[Decision]:
    pipeline = Pipeline(bundle, settings, decides_only=True)
    found = []
    for first in range(0, len(samples), 4 * RATE_HZ):
        block = AudioBlock(samples[first : first + 4 * RATE_HZ], RATE_HZ, first)
        found += pipeline.push(block).decisions
    return found


def squealing(every_s: float, until_s: float) -> FloatArray:
    """Sixteen and a half minutes with half a second of a loud tone every so often."""
    one = machine_sound(30.0, seed=4)
    samples = np.tile(one, 33)
    time_s = np.arange(len(samples)) / RATE_HZ
    is_on = (time_s % every_s < 0.5) & (time_s < until_s)
    tone = 20.0 * float(np.sqrt(np.square(one).mean())) * np.sin(2.0 * np.pi * 2_345.0 * time_s)
    return np.where(is_on, samples + tone, samples).astype(np.float32)


def test_a_squeal_every_half_minute_raises_an_alert(bundle: Bundle) -> None:
    """A belt that slips raises no alert, although it is as loud as the machine."""
    (raised,) = decisions(bundle, squealing(30.0, 1e9))
    assert (raised.kind, raised.channel, raised.span_s) == (
        "raised",
        "recurring_distance",
        RECURRING_S,
    )
    assert 890.0 < raised.at_sample / RATE_HZ < 920.0
    assert raised.score > raised.threshold


@pytest.mark.parametrize(("every_s", "until_s"), [(30.0, 600.0), (130.0, 1e9), (1e9, 1e9)])
def test_rare_or_past_sounds_raise_none(bundle: Bundle, every_s: float, until_s: float) -> None:
    """Ten minutes of hammering beside the machine raise an alert."""
    assert decisions(bundle, squealing(every_s, until_s)) == []


def test_a_long_min_fault_leaves_them_out(bundle: Bundle) -> None:
    """A sound of ten minutes raises an alert, although the settings say that none does."""
    settings = DetectorSettings(min_fault_s=600.0)
    assert decisions(bundle, squealing(30.0, 1e9), settings) == []
