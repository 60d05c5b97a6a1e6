"""Log-mel features: any blocks give the same windows, and the values are correct."""

from __future__ import annotations

from itertools import pairwise

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal
import torch
import torchaudio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.domain import AudioBlock, FloatArray, LogMelBlock, LogMelWindow
from monitor.errors import SourceFault
from monitor.features.log_mel import FrameWindows, LogMelStream, log_mel_windows
from monitor.features.log_mel_frames import log_mel_frames
from monitor.features.log_mel_spec import LogMelSpec
from tests.sounds import noise

SPECS = [
    LogMelSpec(),
    LogMelSpec(window_hop_frames=32),
    LogMelSpec(n_fft=400, hop_length=160, n_mels=40, window_frames=7, window_hop_frames=3),
    LogMelSpec(sample_rate_hz=48_000, n_fft=2048, hop_length=1000, f_min_hz=50, f_max_hz=20_000),
]


def pushed_in_pieces(samples: FloatArray, cuts: list[int], spec: LogMelSpec) -> list[LogMelWindow]:
    stream = LogMelStream(spec)
    edges = [0, *sorted(cuts), len(samples)]
    windows: list[LogMelWindow] = []
    for first, end in pairwise(edges):
        windows += stream.push(AudioBlock(samples[first:end], spec.sample_rate_hz, first))
    return windows


@pytest.mark.parametrize("spec", SPECS)
@settings(max_examples=30)
@given(data=st.data())
def test_any_cut_gives_bit_identical_windows(spec: LogMelSpec, data: st.DataObject) -> None:
    """Live sound and replay give different scores."""
    samples = noise(data.draw(st.integers(0, 4 * spec.window_samples)), seed=1)
    cuts = data.draw(st.lists(st.integers(0, len(samples)), max_size=40))
    whole = pushed_in_pieces(samples, [], spec)
    pieces = pushed_in_pieces(samples, cuts, spec)
    assert [(w.first_sample, w.end_sample) for w in pieces] == [
        (w.first_sample, w.end_sample) for w in whole
    ]
    assert all(np.array_equal(a.values_db, b.values_db) for a, b in zip(pieces, whole, strict=True))


def librosa_filterbank(spec: LogMelSpec) -> npt.NDArray[np.float64]:
    weights: npt.NDArray[np.float64] = librosa.filters.mel(  # type: ignore[attr-defined]  # loaded on first use, so not exported to type checkers
        sr=spec.sample_rate_hz,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        fmin=spec.f_min_hz,
        fmax=spec.f_max_hz,
        dtype=np.float64,
    )
    return weights


@pytest.mark.parametrize("level", [1.0, 1e-5])
@pytest.mark.parametrize("spec", SPECS)
def test_frames_agree_with_librosa(spec: LogMelSpec, level: float) -> None:
    """A model trained on librosa's features gets other values at run time."""
    samples = noise(5 * spec.sample_rate_hz) * np.float32(level)
    # As in librosa.feature.melspectrogram, whose import compiles for half a minute.
    _, _, spectra = scipy.signal.stft(
        samples.astype(np.float64),
        nperseg=spec.n_fft,
        noverlap=spec.n_fft - spec.hop_length,
        boundary=None,
        padded=False,
    )
    window_sum = scipy.signal.get_window("hann", spec.n_fft).sum()
    power = librosa_filterbank(spec) @ np.square(np.abs(spectra) * window_sum)
    expected = 10.0 * np.log10(power + spec.power_floor).T
    actual = log_mel_frames(samples, spec)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() < 1e-4


@pytest.mark.parametrize("spec", SPECS)
def test_frames_agree_with_torchaudio(spec: LogMelSpec) -> None:
    """A model trained on torchaudio's features gets other values at run time."""
    samples = noise(5 * spec.sample_rate_hz)
    transform = torchaudio.transforms.MelSpectrogram(
        sample_rate=spec.sample_rate_hz,
        n_fft=spec.n_fft,
        hop_length=spec.hop_length,
        n_mels=spec.n_mels,
        f_min=spec.f_min_hz,
        f_max=spec.f_max_hz,
        center=False,
        norm="slaney",
        mel_scale="slaney",
    ).double()

    def difference_db() -> float:
        power = transform(torch.from_numpy(samples.astype(np.float64))).numpy()
        expected = 10.0 * np.log10(power + spec.power_floor).T
        return float(np.abs(log_mel_frames(samples, spec) - expected).max())

    # torchaudio computes its filterbank in float32, which alone moves single values by 1e-4 dB.
    assert difference_db() < 2e-4
    transform.mel_scale.fb = torch.from_numpy(librosa_filterbank(spec).T)
    assert difference_db() < 1e-4


@settings(max_examples=40)
@given(frequency_hz=st.floats(100, 7500), amplitude=st.floats(1e-3, 1.0))
def test_a_tone_lands_in_its_band(frequency_hz: float, amplitude: float) -> None:
    """An alert names the wrong frequencies."""
    spec = LogMelSpec()
    t_s = np.arange(spec.sample_rate_hz) / spec.sample_rate_hz
    tone = (amplitude * np.sin(2 * np.pi * frequency_hz * t_s)).astype(np.float32)
    loudest = int(log_mel_frames(tone, spec).mean(axis=0).argmax())
    low_hz, high_hz = spec.band_edges_hz(loudest)
    resolution_hz = spec.sample_rate_hz / spec.n_fft
    assert low_hz - resolution_hz <= frequency_hz <= high_hz + resolution_hz


def test_gain_adds_its_decibels_and_silence_is_the_floor() -> None:
    """Values are not decibels, or silence is minus infinity."""
    spec = LogMelSpec()
    samples = noise(20_000)
    louder = log_mel_frames(samples * np.float32(10.0), spec)
    assert np.abs(louder - log_mel_frames(samples, spec) - 20.0).max() < 1e-4
    silence = log_mel_frames(np.zeros(20_000, np.float32), spec)
    assert np.allclose(silence, 10 * np.log10(spec.power_floor))


@pytest.mark.parametrize("spec", SPECS)
def test_filterbank_is_librosas(spec: LogMelSpec) -> None:
    """The frequencies of a band differ from those of other programs."""
    expected = librosa_filterbank(spec)
    assert np.abs(spec.mel_filterbank - expected).max() < 1e-7


def test_no_window_straddles_a_discontinuity() -> None:
    """Sound from before and after a gap is scored together."""
    spec = LogMelSpec()
    samples = noise(3 * spec.window_samples)
    stream = LogMelStream(spec)
    stream.push(AudioBlock(samples[: spec.window_samples - 1], spec.sample_rate_hz, 0))
    start = 10_000_000
    after = stream.push(AudioBlock(samples, spec.sample_rate_hz, start, discontinuous=True))
    assert after[0].first_sample == start
    assert np.array_equal(after[0].values_db, log_mel_windows(samples, spec)[0])


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused_and_change_nothing(poison: float) -> None:
    """One NaN makes every later window invalid, or becomes a score."""
    spec = LogMelSpec()
    samples = noise(2 * spec.window_samples)
    stream, clean = LogMelStream(spec), LogMelStream(spec)
    first, second = samples[:9_000], samples[9_000:]
    bad = second.copy()
    bad[5] = poison
    stream.push(AudioBlock(first, spec.sample_rate_hz, 0))
    clean.push(AudioBlock(first, spec.sample_rate_hz, 0))
    with pytest.raises(SourceFault, match="NaN or infinite"):
        stream.push(AudioBlock(bad, spec.sample_rate_hz, 9_000))
    expected = clean.push(AudioBlock(second, spec.sample_rate_hz, 9_000))
    actual = stream.push(AudioBlock(second, spec.sample_rate_hz, 9_000))
    assert np.array_equal(actual[0].values_db, expected[0].values_db)


def test_another_rate_is_refused() -> None:
    """48 kHz audio is scored as slow 16 kHz audio."""
    with pytest.raises(SourceFault, match="48000 Hz arrived where 16000 Hz"):
        LogMelStream(LogMelSpec()).push(AudioBlock(noise(10), 48_000, 0))


@pytest.mark.parametrize("spec", SPECS[:2])
@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 100), max_size=20))
@example(cuts=[32, 64])
def test_precomputed_frames_give_the_windows_of_their_audio(
    spec: LogMelSpec, cuts: list[int]
) -> None:
    """A machine that sends log-mel gets other scores than one that sends sound."""
    samples = noise(100 * spec.hop_length + spec.n_fft - spec.hop_length)
    frames = log_mel_frames(samples, spec)
    assembler = FrameWindows(spec)
    edges = [0, *sorted(cuts), len(frames)]
    windows = [
        window
        for first, end in pairwise(edges)
        for window in assembler.push(LogMelBlock(frames[first:end], first))
    ]
    assert np.array_equal(np.stack([w.values_db for w in windows]), log_mel_windows(samples, spec))
    assert windows[-1].end_sample == windows[-1].first_sample + spec.window_samples


@pytest.mark.parametrize(
    "values",
    [
        {"n_mels": 1_000_000_000},
        {"n_mels": 0},
        {"n_fft": -1},
        {"n_fft": 1024.5},
        {"hop_length": 0},
        {"window_frames": 10**9},
        {"f_max_hz": float("nan")},
        {"f_max_hz": 9_000.0},
        {"power_floor": 0.0},
        {"sample_rate_hz": True},
        {"colour": 1},
    ],
)
def test_an_impossible_spec_is_refused_by_name(values: dict[str, object]) -> None:
    """A hostile bundle with a billion bands uses up the memory."""
    with pytest.raises(ValueError, match=next(iter(values))):
        LogMelSpec.from_dict(values)


def test_spec_survives_its_dictionary() -> None:
    """A loaded bundle has other features than those of its training."""
    for spec in SPECS:
        assert LogMelSpec.from_dict(spec.to_dict()) == spec
