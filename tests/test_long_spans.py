"""Scores over 15 s to 15 min: a short sound never raises them, and cuts do not change them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import AudioBlock, DoubleArray, FloatArray, LogMelWindow, Score
from monitor.errors import BundleError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.spectra import SPECTRA, SpectraSpec, WindowStream
from monitor.model.arrays import pack_arrays
from monitor.model.bundle import Bundle
from monitor.model.channel_calibration import ChannelBudget, ChannelCalibration, EvidenceKind
from monitor.model.channel_scores import every_channel
from monitor.model.head import DistanceHead, LossHead
from monitor.model.long_spans import LongSpan, SpanMean, long_spans
from monitor.model.network import Network
from monitor.model.peak_evidence import PeakEvidence, pack_peaks, parse_peaks
from monitor.model.peaks import PeakRule, healthy_peaks
from monitor.model.scorer import Scorer
from monitor.pipeline import Pipeline
from tests.bundles import machine_sound, make_bundle

SPEC = LogMelSpec()
RATE_HZ = SPEC.sample_rate_hz
SPECTRA_SPEC = SpectraSpec.for_log_mel(SPEC)
assert SPECTRA_SPEC is not None
D = 6
HEAD = DistanceHead(np.zeros((1, D)), np.eye(D))


def pushed(span: LongSpan, rows: DoubleArray) -> Iterator[tuple[int, float]]:
    """The number of the last window of each score, and the score."""
    mean = SpanMean(span, HEAD)
    for number, row in enumerate(rows):
        if mean.push(row, None):
            yield number, mean.distance()


@settings(max_examples=40, deadline=None)
@given(
    number=st.integers(0, 4),
    min_fault_s=st.sampled_from([1.0, 3.5, 5.0, 20.0]),
    start=st.floats(0.0, 1.0),
    share=st.floats(0.0, 0.999),
)
def test_a_sound_shorter_than_min_fault_raises_no_score(
    number: int, min_fault_s: float, start: float, share: float
) -> None:
    """A slammed door raises an alert minutes later, because it is loud enough for the average."""
    spans = long_spans(SPEC, min_fault_s)
    if number >= len(spans):
        return
    span = spans[number]
    n_windows = 2 * span.n_windows
    begins_s = start * n_windows * SPEC.window_hop_s
    ends_s = begins_s + share * min_fault_s
    first_s = np.arange(n_windows) * SPEC.window_hop_s
    is_inside = (first_s < ends_s) & (first_s + SPEC.window_s > begins_s)
    rows = np.where(is_inside[:, None], 1e9, 0.0) * np.ones(D)
    scores = [score for _, score in pushed(span, rows)]
    assert len(scores) == span.n_parts + 1
    assert max(scores) < 1e-3


def test_a_lasting_change_is_averaged() -> None:
    """Chance variation hides a faint change over a long span too."""
    span = long_spans(SPEC, 3.5)[3]
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4 * span.n_windows, D))
    rows[2 * span.n_windows :] += 0.3
    scores = dict(pushed(span, rows))
    healthy = [score for number, score in scores.items() if number < 2 * span.n_windows]
    changed = [score for number, score in scores.items() if number >= 3 * span.n_windows]
    assert max(healthy) < 0.5 * 0.3 * np.sqrt(D)
    assert min(changed) > 0.7 * 0.3 * np.sqrt(D)


def test_long_faults_only_leave_long_spans() -> None:
    """A span is used of which a sound that must not raise an alert fills the half."""
    assert len(long_spans(SPEC, 3.5)) == 5
    assert len(long_spans(SPEC, 10.0)) == 2
    assert [round(span.span_s(SPEC)) for span in long_spans(SPEC, 100.0)] == [902]
    assert not long_spans(SPEC, 3_000.0)


@given(
    window_frames=st.integers(1, 64),
    hop_share=st.floats(0.0, 1.0),
    min_fault_s=st.floats(0.0, 30.0),
)
def test_the_run_time_scores_the_span_that_was_calibrated(
    window_frames: int, hop_share: float, min_fault_s: float
) -> None:
    """With windows that overlap by more than half, the scores are over a longer span."""
    hop = max(1, round(hop_share * window_frames))
    spec = LogMelSpec(window_frames=window_frames, window_hop_frames=hop)
    for span in long_spans(spec, min_fault_s):
        calibrated = span.span_s(spec), span.step_s(spec)
        assert LongSpan.calibrated(*calibrated, spec, min_fault_s) == span


def with_channels(bundle: Bundle) -> Bundle:
    """The bundle with every channel, made from its own healthy sound."""
    assert SPECTRA_SPEC is not None
    windows = list(windows_of(machine_sound(60.0, seed=3)))
    thirds = [windows[:35], windows[35:70], windows[70:]]
    healthy = [
        healthy_peaks(
            np.stack([np.mean([w.spectra[i] for w in part], axis=0) for part in thirds]).astype(
                np.float64
            ),
            np.array([len(part) for part in thirds]),
            (SPECTRA_SPEC.envelope, SPECTRA_SPEC.lines)[i].chance_db2,
        )
        for i in range(2)
    ]
    channels = [channel(kind, bundle.actual_span_s, SPEC.window_hop_s) for kind in KINDS[1:]]
    for span in long_spans(SPEC, 3.5):
        channels += [channel(kind, span.span_s(SPEC), span.step_s(SPEC)) for kind in KINDS]
    calibration = bundle.calibration.model_copy(update={"channels": tuple(channels)})
    return replace(
        bundle,
        manifest=bundle.manifest.model_copy(update={"calibration": calibration}),
        peaks=PeakEvidence(SPECTRA_SPEC, tuple(healthy), (1.0, 1.0)),
    )


KINDS: tuple[EvidenceKind, ...] = ("distance", "envelope", "lines")


def channel(kind: EvidenceKind, span_s: float, step_s: float) -> ChannelCalibration:
    budget = ChannelBudget(false_alarms_per_week=1.0, threshold=10.0)
    return ChannelCalibration(
        evidence=kind, span_s=span_s, step_s=step_s, score_median=4.0, budgets=(budget,)
    )


def windows_of(samples: FloatArray, cuts: tuple[int, ...] = ()) -> Iterator[LogMelWindow]:
    stream = WindowStream(SPEC, SPECTRA_SPEC)
    for first, end in pairwise((0, *sorted(cuts), len(samples))):
        yield from stream.push(AudioBlock(samples[first:end], RATE_HZ, first))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return with_channels(make_bundle(tmp_path_factory.mktemp("bundle")))


def plain(scores: list[Score]) -> list[tuple[object, ...]]:
    return [(s.channel, s.value, s.first_sample, s.end_sample, s.bands_hz) for s in scores]


@settings(max_examples=8, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 40 * RATE_HZ), max_size=10).map(tuple),
    batches=st.lists(st.integers(0, 75), max_size=5),
)
def test_any_cut_gives_the_same_channel_scores(
    bundle: Bundle, cuts: tuple[int, ...], batches: list[int]
) -> None:
    """Live sound gives other scores over long spans than a recording of it."""
    samples = machine_sound(40.0, seed=9, fault=0.1)
    network = Network(bundle)
    whole = list(windows_of(samples))
    expected = Scorer(bundle, network, min_fault_s=3.5).push(whole)
    pieces = list(windows_of(samples, cuts))
    scorer = Scorer(bundle, network, min_fault_s=3.5)
    actual = [
        score
        for first, end in pairwise((0, *sorted(batches), len(pieces)))
        for score in scorer.push(pieces[first:end])
    ]
    assert {score.channel for score in expected} == set(range(12))
    assert plain(actual) == plain(expected)
    ends = [score.end_sample for score in expected]
    assert ends == sorted(ends)


@pytest.mark.parametrize("level", [0.5, 4.5, 1e9])
def test_only_scores_below_their_level_are_upper_bounds(bundle: Bundle, level: float) -> None:
    """A score that would raise an alert is too high, or one that would raise none is too low."""
    network, windows = Network(bundle), list(windows_of(machine_sound(60.0, seed=9, fault=0.05)))
    exact = Scorer(bundle, network, min_fault_s=3.5).push(windows)
    scorer = Scorer(bundle, network, min_fault_s=3.5)
    scorer.allow_bounds(dict.fromkeys(range(12), level))
    pairs = list(zip(exact, scorer.push(windows), strict=True))
    assert any(one.channel in {4, 5, 7, 8, 10, 11} for one, _ in pairs)
    for one, other in pairs:
        assert one.channel == other.channel
        assert other.value == one.value or one.value < other.value < level


def test_bounds_change_no_decision(bundle: Bundle) -> None:
    """An alert is raised, reported or cleared otherwise, to save time."""
    samples = np.concatenate([machine_sound(25.0, seed=n) for n in range(4)])
    time_s = np.arange(len(samples)) / RATE_HZ
    for start_s, end_s, level in ((30.0, 55.0, 0.003), (70.0, 74.0, 0.1)):
        line = level * np.sin(2 * np.pi * 2_345.0 * time_s)
        samples += np.where((time_s > start_s) & (time_s < end_s), line, 0.0).astype(np.float32)
    network = Network(bundle)
    outputs = [
        Pipeline(bundle, None, network, decides_only=decides_only).push(
            AudioBlock(samples, RATE_HZ, 0)
        )
        for decides_only in (False, True)
    ]
    decided = [[asdict(d) | {"band_error": None} for d in o.decisions] for o in outputs]
    assert decided[0] == decided[1] != []
    values = [[score.value for score in output.channel_scores] for output in outputs]
    assert values[0] != values[1]


def test_a_gap_does_not_end_a_long_span(bundle: Bundle) -> None:
    """A lost block each minute prevents every score over minutes."""
    scorer = Scorer(bundle, Network(bundle), min_fault_s=3.5)
    windows = list(windows_of(machine_sound(20.0, seed=9)))
    moved = [
        replace(w, first_sample=w.first_sample + 10**6, end_sample=w.end_sample + 10**6)
        for w in windows
    ]
    assert {score.channel for score in scorer.push(windows[:15])} == {0, 1, 2}
    assert {3, 4, 5, 6, 7, 8} <= {score.channel for score in scorer.push(moved[:20])}
    scorer.forget_long()
    assert {score.channel for score in scorer.push(moved[20:36])} == {0, 1, 2}


def test_log_mel_has_distances_only(bundle: Bundle) -> None:
    """Log-mel without samples stops the scores over long spans, or gives peaks of nothing."""
    windows = [replace(w, spectra=()) for w in windows_of(machine_sound(40.0, seed=9))]
    scores = Scorer(bundle, Network(bundle), min_fault_s=3.5).push(windows)
    assert {score.channel for score in scores} == {0, 3, 6, 9}


def test_a_bundle_without_distances_has_no_channels(bundle: Bundle) -> None:
    """A bundle that is scored by its plain error stops the pipeline when a long span is full."""
    plain = replace(bundle, head=LossHead.for_evidence(bundle.head.centres.shape[1]))
    windows = list(windows_of(machine_sound(40.0, seed=9)))
    scores = Scorer(plain, Network(bundle), min_fault_s=3.5).push(windows)
    assert {score.channel for score in scores} == {0}
    assert not every_channel(plain, 3.5)


def test_every_channel_can_be_calibrated_again(bundle: Bundle) -> None:
    """After a calibration with few recordings, a bundle has lost its long spans for ever."""
    few = bundle.calibration.model_copy(update={"channels": ()})
    less = replace(bundle, manifest=bundle.manifest.model_copy(update={"calibration": few}))
    known = {(one.evidence, one.span_s) for one in bundle.calibration.channels}
    assert {(kind, span_s) for kind, span_s, _ in every_channel(less, 3.5)} == known
    assert not every_channel(replace(less, peaks=None), 3.5)


def test_a_new_line_and_impacts_stand_out_where_they_are(bundle: Bundle) -> None:
    """The peaks miss a narrow line or repeated impacts, or name other frequencies."""
    healthy = machine_sound(25.0, seed=11)
    time_s = np.arange(len(healthy)) / RATE_HZ
    line = healthy + 0.02 * np.sin(2 * np.pi * 2_345.0 * time_s).astype(np.float32)
    impacts = healthy.copy()
    ring_s = np.arange(200) / RATE_HZ
    ring = (np.exp(-ring_s * 800) * np.sin(2 * np.pi * 3_250.0 * ring_s)).astype(np.float32)
    for start in range(0, len(impacts) - 200, RATE_HZ // 87):
        impacts[start : start + 200] += 0.15 * ring
    network = Network(bundle)

    def largest(samples: FloatArray, kind: str) -> Score:
        scores = Scorer(bundle, network, min_fault_s=3.5).push(list(windows_of(samples)))
        number = 1 + SPECTRA.index(kind)
        return max((s for s in scores if s.channel == number), key=lambda s: s.value)

    for kind, samples, at_hz in (("lines", line, 2_345.0), ("envelope", impacts, 3_250.0)):
        found = largest(samples, kind)
        assert found.value > 2.0 * largest(healthy, kind).value
        ((low_hz, high_hz),) = found.bands_hz
        assert low_hz <= at_hz <= high_hz


def test_a_short_loud_sound_adds_no_peaks_to_a_long_span(bundle: Bundle) -> None:
    """A tool that whines for three seconds raises an alert over 15 s."""
    healthy = machine_sound(40.0, seed=12)
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    whine = (0.3 * np.sin(2 * np.pi * 3_210.0 * time_s)).astype(np.float32)
    short, lasting = healthy.copy(), healthy.copy()
    short[20 * RATE_HZ : 23 * RATE_HZ] += whine
    lasting[3 * RATE_HZ : 39 * RATE_HZ] += np.tile(whine, 12)
    network = Network(bundle)

    def largest(samples: FloatArray) -> float:
        scores = Scorer(bundle, network, min_fault_s=3.5).push(list(windows_of(samples)))
        return max(score.value for score in scores if score.channel in {5, 8})

    assert largest(lasting) > 5.0 * largest(healthy)
    assert largest(short) < 1.4 * largest(healthy)


def test_peaks_are_stored_with_the_bundle(bundle: Bundle) -> None:
    """A loaded bundle gives other scores of peaks."""
    assert bundle.peaks is not None
    again = parse_peaks(Path("peaks.npz"), pack_peaks(bundle.peaks), bundle.peaks.spec)
    for one, other in zip(again.healthy, bundle.peaks.healthy, strict=True):
        np.testing.assert_allclose(one.level_db, other.level_db, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(one.variance_db2, other.variance_db2, rtol=1e-5)
        assert (one.chance_db2, one.n_recordings) == (other.chance_db2, other.n_recordings)
        assert one.rule == other.rule


def _with_rule(bundle: Bundle, rule: list[float] | None) -> bytes:
    """``peaks.npz`` of the bundle with another rule for the envelope, or without any rule."""
    assert bundle.peaks is not None
    with np.load(io.BytesIO(pack_peaks(bundle.peaks))) as stored:
        arrays = {name: stored[name] for name in stored.files if not name.endswith("_rule")}
    if rule is not None:
        arrays["envelope_rule"] = np.array(rule, dtype=np.float32)
    return pack_arrays(arrays)


def test_peaks_of_earlier_bundles_are_scored_as_before(bundle: Bundle) -> None:
    """The thresholds of an installed bundle no longer fit its scores."""
    assert bundle.peaks is not None
    again = parse_peaks(Path("p.npz"), _with_rule(bundle, None), bundle.peaks.spec)
    assert [one.rule for one in again.healthy] == [PeakRule(6, 0)] * 2
    again = parse_peaks(Path("p.npz"), _with_rule(bundle, [12.0, 4.0]), bundle.peaks.spec)
    assert again.healthy[0].rule == PeakRule(12, 4, amplitude_to_db=0.0)
    assert again.healthy[0].chance_db2 == bundle.peaks.spec.envelope.chance_db2


@pytest.mark.parametrize("rule", [[7.0, 0.0], [12.0, -1.0], [12.0], [12.0, 0.0, 30.0]])
def test_a_rule_without_meaning_is_an_error_of_the_bundle(
    bundle: Bundle, rule: list[float]
) -> None:
    """A damaged bundle scores by another formula."""
    assert bundle.peaks is not None
    with pytest.raises(BundleError, match="envelope_rule"):
        parse_peaks(Path("peaks.npz"), _with_rule(bundle, rule), bundle.peaks.spec)
