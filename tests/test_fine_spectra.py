"""Envelope and line spectra: any blocks give the same windows, at the places of log-mel windows."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import pytest
import scipy.signal
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import AudioBlock
from monitor.errors import SourceFault
from monitor.features.envelope import EnvelopeSpec
from monitor.features.line_spectrum import LineSpec
from monitor.features.log_mel import LogMelStream
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.prominence import chance_db2, hann, prominence_db
from monitor.features.sample_tiles import check_block
from tests.fine_spectra import (
    ODD_BANDS,
    OVERLAPPING,
    SMALL,
    SMALL_LINES,
    mean_db,
    same,
    stream_of,
    windows_of,
)
from tests.sounds import noise

SPECS = [SMALL, ODD_BANDS, SMALL_LINES, OVERLAPPING, EnvelopeSpec(), LineSpec()]
_Spec = TypeVar("_Spec", EnvelopeSpec, LineSpec)


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=25)
@given(data=st.data())
def test_any_cut_gives_bit_identical_windows(
    spec: EnvelopeSpec | LineSpec, data: st.DataObject
) -> None:
    """Live sound and replay give different scores."""
    samples = noise(data.draw(st.integers(0, 4 * spec.window_samples)), seed=1)
    cuts = data.draw(st.lists(st.integers(0, len(samples)), max_size=40))
    assert same(windows_of(samples, spec, cuts), windows_of(samples, spec))


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=15)
@given(data=st.data())
def test_no_window_contains_a_gap(spec: EnvelopeSpec | LineSpec, data: st.DataObject) -> None:
    """Sound from before a gap is joined to sound from after it."""
    before = noise(data.draw(st.integers(0, 3 * spec.window_samples)), seed=2)
    after = noise(3 * spec.window_samples, seed=3)
    stream, place = stream_of(spec), data.draw(st.integers(0, 100_000))
    stream.push(AudioBlock(before, spec.sample_rate_hz, 0))
    windows = stream.push(AudioBlock(after, spec.sample_rate_hz, place, discontinuous=True))
    expected = windows_of(after, spec)
    assert expected
    assert [w.first_sample - place for w in windows] == [w.first_sample for w in expected]
    assert [w.end_sample - place for w in windows] == [w.end_sample for w in expected]
    assert all(
        np.array_equal(a.values_db, b.values_db) for a, b in zip(windows, expected, strict=True)
    )


LOG_MEL_SPECS = [
    LogMelSpec(),
    LogMelSpec(sample_rate_hz=48_000, n_fft=2048, hop_length=1536, f_max_hz=20_000.0),
    LogMelSpec(window_frames=64),
]


@pytest.mark.parametrize("log_mel", LOG_MEL_SPECS)
def test_windows_are_at_the_places_of_the_log_mel_windows(log_mel: LogMelSpec) -> None:
    """Two kinds of evidence of one score are from different sound."""
    samples = noise(5 * log_mel.window_samples + 321)
    block = AudioBlock(samples, log_mel.sample_rate_hz, 700, discontinuous=True)
    places = [(w.first_sample, w.end_sample) for w in LogMelStream(log_mel).push(block)]
    assert len(places) > 4
    for spec in (EnvelopeSpec.for_log_mel(log_mel), LineSpec.for_log_mel(log_mel)):
        windows = stream_of(spec).push(block)
        assert [(w.first_sample, w.end_sample) for w in windows] == places


@pytest.mark.parametrize("spec", [EnvelopeSpec(), LineSpec(), SMALL, SMALL_LINES])
def test_a_window_depends_on_its_own_newest_samples_only(spec: EnvelopeSpec | LineSpec) -> None:
    """A window is made from samples before or after it."""
    samples = noise(4 * spec.window_samples)
    windows = windows_of(samples, spec)
    window = windows[1]
    if isinstance(spec, EnvelopeSpec):
        used, inside = spec.used_samples, 3 * spec.frame_hop
    else:
        used, inside = spec.n_fft, 3
    for first, end in ((0, window.end_sample - used), (window.end_sample, len(samples))):
        changed = samples.copy()
        changed[first:end] = 0.5
        assert np.array_equal(windows_of(changed, spec)[1].values_db, window.values_db)
    for place in (window.end_sample - used + inside, window.end_sample - inside):
        changed = samples.copy()
        changed[place] += 1.0
        assert not np.array_equal(windows_of(changed, spec)[1].values_db, window.values_db)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("gain_db", [-40.0, 15.0])
def test_a_change_of_level_changes_nothing(spec: EnvelopeSpec | LineSpec, gain_db: float) -> None:
    """Another gain of the microphone is an alert."""
    samples = noise(3 * spec.window_samples)
    louder = samples * np.float32(10 ** (gain_db / 20))
    assert np.abs(mean_db(louder, spec) - mean_db(samples, spec)).max() < 0.01


@pytest.mark.parametrize("spec", SPECS)
def test_the_variance_by_chance_is_that_of_noise(spec: EnvelopeSpec | LineSpec) -> None:
    """Short spans give higher scores than long ones, or lower ones."""
    values = np.stack([w.values_db for w in windows_of(noise(120 * spec.window_samples), spec)])
    n = 10
    means = values[: len(values) // n * n].reshape(-1, n, *values.shape[1:]).mean(axis=1)
    # The mean around each bin takes some of it away: the logarithms of neighbours correlate with
    # 0.30, their powers with 4/9.
    share = 1.0 - 1.6 / (2 * spec.neighbours + 1)
    measured = float(means.var(axis=0).mean()) * n / share
    assert measured == pytest.approx(spec.chance_db2, rel=0.1)


@pytest.mark.parametrize("spec", SPECS)
def test_silence_gives_finite_values(spec: EnvelopeSpec | LineSpec) -> None:
    """A pause of the machine makes every later score NaN."""
    values = mean_db(np.zeros(2 * spec.window_samples, np.float32), spec)
    assert np.isfinite(values).all()


@pytest.mark.parametrize("spec", [SMALL, SMALL_LINES])
def test_refused_blocks_leave_the_stream_as_it_was(spec: EnvelopeSpec | LineSpec) -> None:
    """One bad block changes the windows after it."""
    samples = noise(3 * spec.window_samples)
    bad = samples[:50].copy()
    bad[7] = np.nan
    stream, windows = stream_of(spec), []
    for first in range(0, len(samples), 50):
        for refused in (
            AudioBlock(bad, spec.sample_rate_hz, first, discontinuous=True),
            AudioBlock(samples[:50], 44_100, first),
            AudioBlock(samples[:50].reshape(2, 25), spec.sample_rate_hz, first),
        ):
            with pytest.raises(SourceFault):
                stream.push(refused)
        block = AudioBlock(samples[first : first + 50], spec.sample_rate_hz, first)
        windows += stream.push(block)
    assert same(windows, windows_of(samples, spec))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("loud", [0.1, 3e38])
@pytest.mark.filterwarnings("error")
def test_samples_that_are_not_finite_are_refused_beside_any_others(bad: float, loud: float) -> None:
    """Sound of a damaged file is scored, or a warning floods the log."""
    samples = np.full(100, loud, np.float32)
    check_block(AudioBlock(samples, 8_000, 0), 8_000)
    check_block(AudioBlock(samples[:0], 8_000, 0), 8_000)
    for place in (0, 57, 99):
        damaged = samples.copy()
        damaged[place] = bad
        with pytest.raises(SourceFault, match="NaN"):
            check_block(AudioBlock(damaged, 8_000, 0), 8_000)


@pytest.mark.parametrize("spec", SPECS)
def test_later_sound_changes_no_window_that_was_handed_out(spec: EnvelopeSpec | LineSpec) -> None:
    """Windows that wait for the scorer all hold the newest sound."""
    samples, stream = noise(12 * spec.window_samples), stream_of(spec)
    windows = stream.push(AudioBlock(samples, spec.sample_rate_hz, 0))
    copies = [window.values_db.copy() for window in windows]
    stream.push(AudioBlock(-2 * samples[::-1], spec.sample_rate_hz, len(samples)))
    assert len(windows) > 8
    assert all(np.array_equal(a.values_db, b) for a, b in zip(windows, copies, strict=True))


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_is_the_same_after_json(spec: EnvelopeSpec | LineSpec) -> None:
    """A bundle's features differ from those it was trained with."""
    assert type(spec).from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("cls", "values", "name"),
    [
        (EnvelopeSpec, {"frame_hop": 31}, "frame_hop"),
        (EnvelopeSpec, {"frame_hop": 0}, "frame_hop"),
        (EnvelopeSpec, {"hop_frames": True}, "hop_frames"),
        (EnvelopeSpec, {"window_samples": 16_415}, "window_samples"),
        (EnvelopeSpec, {"f_min_hz": "4"}, "f_min_hz"),
        (EnvelopeSpec, {"f_min_hz": 1.5}, "f_min_hz"),
        (EnvelopeSpec, {"neighbours": 0}, "neighbours"),
        (EnvelopeSpec, {"hann": 1}, "hann"),
        (LineSpec, {"n_fft": 100.5}, "n_fft"),
        (LineSpec, {"n_fft": 8_191}, "n_fft must be a multiple of 4"),
        (LineSpec, {"window_samples": 8_191}, "window_samples"),
        (LineSpec, {"f_min_hz": float("nan")}, "f_min_hz"),
        (LineSpec, {"hop_samples": 0}, "hop_samples"),
        (LineSpec, {"sample_rate_hz": 10}, "sample_rate_hz"),
    ],
)
def test_impossible_values_are_refused_by_name(
    cls: type[_Spec], values: dict[str, Any], name: str
) -> None:
    """A damaged bundle fails later with an error that helps nobody."""
    with pytest.raises(ValueError, match=name):
        cls.from_dict(values)


def test_log_mel_windows_that_do_not_fit_are_refused() -> None:
    """Windows are silently at other places than those of log-mel."""
    with pytest.raises(ValueError, match="multiple"):
        EnvelopeSpec.for_log_mel(LogMelSpec(hop_length=301))
    with pytest.raises(ValueError, match="window_samples"):
        EnvelopeSpec.for_log_mel(LogMelSpec(window_frames=16))


@pytest.mark.parametrize("neighbours", [1, 2, 7, 12, 32])
def test_a_prominence_is_the_distance_from_the_mean_around(neighbours: int) -> None:
    """A row takes part in the mean of the next one, or bins are missing in it."""
    spectra = np.random.default_rng(1).normal(0, 5, (3, 70)).astype(np.float32)
    padded = np.pad(spectra, ((0, 0), (neighbours, neighbours)), mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * neighbours + 1, axis=1)
    expected = spectra - around.mean(axis=-1)
    assert np.abs(prominence_db(spectra, neighbours) - expected).max() < 1e-5


def test_prominence_is_linear() -> None:
    """The mean over a span differs from the prominence of the span."""
    spectra = np.random.default_rng(0).normal(0, 5, (6, 3, 80)).astype(np.float32)
    one_by_one = np.mean([prominence_db(one, 7) for one in spectra], axis=0)
    assert np.abs(prominence_db(spectra.mean(axis=0), 7) - one_by_one).max() < 1e-5


def test_the_variance_of_overlapping_windows_is_that_of_their_logarithms() -> None:
    """Recordings of another length are judged more strictly, or less."""
    alone = (10 / np.log(10)) ** 2 * np.pi**2 / 6
    assert chance_db2(512, 512) == pytest.approx(alone)
    # Spence's function of scipy is Li2(1 - x); half of a Hann window's power correlates with 1/36.
    half = 2 * scipy.special.spence(1 - 1 / 36) * (10 / np.log(10)) ** 2
    assert chance_db2(512, 256) == pytest.approx(alone + half, rel=1e-3)
    assert np.allclose(hann(64), scipy.signal.get_window("hann", 64))
