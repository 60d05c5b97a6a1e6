"""What changes between days: altered copies of sound, their sizes, and whether they are added."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import torch

from monitor.domain import FloatArray
from monitor.offline.html_page import page
from tests.tiny_sound import SETTINGS, SPEC, simulated_frames, write_machine
from training.sound.alterations import ALTERATIONS
from training.sound.band_network import BandAutoencoder
from training.sound.crossfit import DayVariation, HealthySound, fit_statistics, gather
from training.sound.day_variation import changes_to_try, day_variation
from training.sound.evidence_graph import EvidenceGraph
from training.sound.network import SoundNetworkSpec
from training.sound.recording_days import days_of
from training.sound.recording_evidence import RecordingEvidence
from training.sound.recordings import Recording, cut_into, read_recording
from training.sound.request import AudioRequest, read_training_data
from training.sound.score_choice import Choice
from training.sound.scored_network import ScoredNetwork, train_and_score
from training.sound.variation_choice import (
    Change,
    KeptChange,
    VariationChoice,
    choose_variation,
    day_folds,
)
from training.sound.variation_page import variation_parts

RATE_HZ = SPEC.sample_rate_hz
D = 8
CPU = torch.device("cpu")
DIAGONAL = Choice("diagonal", 1.0, False, "")
BY_NAME = {alteration.name: alteration for alteration in ALTERATIONS}
SLOW, FAST = Change("a", 1.0, "x", 0), Change("a", 3.0, "x", 1)
OTHER = Change("b", 1.0, "x", 2)


def altered(name: str, samples: FloatArray, size: float, rate_hz: int = RATE_HZ) -> FloatArray:
    random = torch.Generator().manual_seed(0)
    return np.asarray(BY_NAME[name].alter(torch.from_numpy(samples), rate_hz, size, random))


def tone(hz: float, rate_hz: int = RATE_HZ) -> FloatArray:
    return np.sin(2 * np.pi * hz * np.arange(rate_hz) / rate_hz).astype(np.float32)


def level_db(samples: FloatArray) -> float:
    return float(10 * np.log10(np.square(samples, dtype=np.float64).mean()))


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 44_100])
@pytest.mark.parametrize("percent", [1.0, 1.5, 2.0, -1.5])
def test_a_faster_machine_sounds_higher_and_shorter(rate_hz: int, percent: float) -> None:
    """The change of speed has another size than the bundle states."""
    faster = altered("speed", tone(1000.0, rate_hz), percent, rate_hz)
    spectrum = np.abs(np.fft.rfft(faster * np.hanning(len(faster)), 8 * rate_hz))
    ratio = 1.0 + abs(percent) / 100.0
    expected_hz = 1000.0 * ratio if percent > 0 else 1000.0 / ratio
    assert spectrum.argmax() / 8 == pytest.approx(expected_hz, abs=0.3)
    assert len(faster) == pytest.approx(rate_hz * 1000.0 / expected_hz, abs=2)


@pytest.mark.parametrize(("hz", "expected_db"), [(250.0, -1.0), (1000.0, 0.0), (4000.0, 1.0)])
def test_the_slope_of_the_spectrum_is_in_db_per_octave(hz: float, expected_db: float) -> None:
    """The change of the slope has another size than the bundle states, or delays the sound."""
    before = tone(hz)
    after = altered("slope", before, 0.5)
    inner = slice(2000, -2000)
    assert level_db(after[inner]) - level_db(before[inner]) == pytest.approx(expected_db, abs=0.05)
    assert np.corrcoef(before[inner], after[inner])[0, 1] > 0.999


@pytest.mark.parametrize("name", ["noise", "reverberation"])
def test_noise_and_reverberation_have_the_stated_level(name: str) -> None:
    """Noise or reverberation has another level than the bundle states."""
    noise = np.random.default_rng(0).normal(0, 0.1, RATE_HZ).astype(np.float32)
    changed = altered(name, noise, -20.0)
    assert level_db(changed - noise) - level_db(noise) == pytest.approx(-20.0, abs=0.5)
    np.testing.assert_array_equal(changed, altered(name, noise, -20.0))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/0327/00.wav", "b/0327/01.wav", "a/0328/00.wav"], [0, 0, 1]),
        (["on_20200318t204819.wav", "on_20210210t012217.wav"], [0, 1]),
        (["pump_2026-11-23.wav", "pump_2026-11-22.wav"], [1, 0]),
        (["2026-11-23/1.wav", "2026-11-24/1.wav"], [0, 1]),
        (["0327/00.wav", "0327/01.wav"], None),
        (["0327/00.wav", "m1/1650.wav"], None),
        (["1500/00.wav", "2000/01.wav"], None),
        (["flight_001.wav", "flight_002.wav"], None),
    ],
)
def test_the_day_of_a_recording_is_that_of_its_name_or_folder(
    names: list[str], expected: list[int] | None
) -> None:
    """Recordings of one day count as several, or a speed or a number counts as a day."""
    days = days_of([Path(name) for name in names])
    assert (None if days is None else days.tolist()) == expected


def test_days_are_local_days_where_a_name_states_the_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The working day of a machine far from Greenwich would be divided into two."""
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    try:
        names = ["20261122T173000Z", "20261123T003000Z", "20261122T235900", "20261123T173000Z"]
        days = days_of([Path(f"{name}-000162300000.flac") for name in names])
    finally:
        monkeypatch.undo()
        time.tzset()
    assert days is not None
    assert days.tolist() == [0, 0, 0, 1]


def sound_of(rows: npt.NDArray[np.float64]) -> HealthySound:
    """A recording around each row."""
    recordings = []
    for number, row in enumerate(rows):
        recording = Recording(str(number), simulated_frames(0))
        n_windows = len(recording.windows(SPEC))
        jitter = np.random.default_rng(number).normal(0, 0.05, (n_windows, D))
        ones = np.ones(n_windows, np.float32)
        evidence = (row + jitter).astype(np.float32)
        recordings.append(
            RecordingEvidence.of(recording, SPEC, evidence=evidence, loss=ones, level_db=ones)
        )
    return gather(recordings, [], 3, parts=(), seed=0)


def three_days() -> tuple[HealthySound, npt.NDArray[np.intp]]:
    """Four recordings on each of three days, between which the first number moves by 3."""
    days = np.repeat(np.arange(3), 4)
    rows = np.random.default_rng(0).normal(0, 0.3, (12, D))
    rows[:, 0] += 3.0 * days
    return sound_of(rows), days


def offsets(n_recordings: int) -> DayVariation:
    """Change ``a`` moves the first number by 1 or 3, change ``b`` all others by 2."""
    moved = np.zeros((3, D))
    moved[0, 0], moved[1, 0], moved[2, 1:] = 1.0, 3.0, 2.0
    return DayVariation(
        np.tile(moved, (n_recordings, 1)),
        np.repeat(np.arange(n_recordings), 3),
        np.tile(np.arange(3), n_recordings),
    )


def test_the_size_is_the_one_that_fits_other_days() -> None:
    """A size that does not fit the recordings of other days, or a change that never happens."""
    sound, days = three_days()
    chosen, variation = choose_variation(
        sound,
        offsets(12),
        (SLOW, FAST, OTHER),
        DIAGONAL,
        day_fold=day_folds(days, 0),
        seed=0,
    )
    assert [kept.change for kept in variation.kept] == [FAST]
    assert variation.left_out == ("b",)
    assert variation.kept[0].gain > 0
    assert chosen is not None
    everything = np.ones(12, dtype=bool)
    with_it = replace(sound, variation=chosen)
    before, after = (
        fit_statistics(one, everything, use_references=False).scatter.deviations
        for one in (sound, with_it)
    )
    assert after[0] ** 2 - before[0] ** 2 == pytest.approx(9.0)
    np.testing.assert_allclose(after[1:], before[1:])


def test_a_change_that_makes_held_out_recordings_less_likely_is_left_out() -> None:
    """The covariance contains changes that the held-out recordings speak against."""
    sound = sound_of(np.random.default_rng(1).normal(0, 0.1, (12, D)))
    chosen, variation = choose_variation(
        sound, offsets(12), (SLOW, OTHER), DIAGONAL, day_fold=None, seed=0
    )
    assert (chosen, variation.kept, variation.left_out) == (None, (), ("a", "b"))


def test_days_are_not_held_out_where_hardly_anything_is_left() -> None:
    """Sizes are chosen with statistics of one or two recordings."""
    assert day_folds(np.array([0, 0, 1, 1]), 0) is None
    assert day_folds(None, 0) is None
    assert day_folds(np.array([0, 0, 0, 1]), 0) is not None


@pytest.fixture(scope="module")
def graph() -> EvidenceGraph:
    torch.manual_seed(0)
    shape = SoundNetworkSpec(
        n_mels=SPEC.n_mels, n_frames=SPEC.window_frames, channels=(4, 8), bottleneck=4
    )
    return EvidenceGraph(BandAutoencoder(shape)).eval()


def machine(seed: int, seconds: float, rate_hz: int = RATE_HZ) -> FloatArray:
    """A hum with its harmonics in noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    hum = sum(np.sin(2 * np.pi * 100.0 * k * t + rng.uniform(0, 6)) / k for k in range(1, 20))
    return np.asarray(0.05 * hum + rng.normal(0, 0.01, len(t)), np.float32)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100])
def test_every_section_is_altered_at_its_place_in_the_file(
    tmp_path: Path, graph: EvidenceGraph, rate_hz: int
) -> None:
    """Sections of a long recording show no variation, or that of another part."""
    path = tmp_path / "long.wav"
    parts = [machine(seed, 5.0, rate_hz) * 10 ** (-seed / 2) for seed in range(3)]
    soundfile.write(path, np.concatenate(parts), rate_hz)
    sections = cut_into([read_recording(path, SPEC)], 3, 32)
    changes = changes_to_try(every_size=False)
    variation = day_variation(graph, sections, [path] * 3, SPEC, changes, seed=0, device=CPU)
    assert variation is not None
    assert variation.recording.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    size = np.abs(variation.offsets).max(axis=1)
    names = [changes[number].name for number in variation.change]
    assert all(size[i] < 1e-3 for i, name in enumerate(names) if name == "gain")
    assert all(size[i] > 1e-3 for i, name in enumerate(names) if name in ("speed", "slope"))
    moved = [replace(section, first_frame=0) for section in sections]
    elsewhere = day_variation(graph, moved, [path] * 3, SPEC, changes, seed=0, device=CPU)
    assert elsewhere is not None
    assert set(elsewhere.recording.tolist()) == {0}


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> AudioRequest:
    folder = tmp_path_factory.mktemp("days")
    for number in range(8):
        day = folder / f"112{number % 2 + 1}"
        day.mkdir(exist_ok=True)
        soundfile.write(day / f"{number}.wav", machine(number, 4.0), RATE_HZ)
    return AudioRequest((folder,), folder / "bundle", settings=SETTINGS, device="cpu")


def learned(request: AudioRequest) -> ScoredNetwork:
    return train_and_score(request, read_training_data(request), CPU, ())


def without(request: AudioRequest) -> AudioRequest:
    training = SETTINGS.training.model_copy(update={"day_variation": False})
    return replace(request, settings=SETTINGS.model_copy(update={"training": training}))


def test_training_adds_variation_by_default_and_always_the_same(request_: AudioRequest) -> None:
    """The same recordings and seed give another bundle, or the variation cannot be switched off."""
    first, second, off = learned(request_), learned(request_), learned(without(request_))
    assert first.variation.kept
    assert "other days" in first.variation.reason
    assert first.variation == second.variation
    assert [one.whole for one in first.healthy] == [one.whole for one in second.healthy]
    assert off.sound.variation is None
    assert "switched off" in off.variation.reason
    assert [one.whole for one in off.healthy] != [one.whole for one in first.healthy]


def test_training_works_without_torchaudio(
    request_: AudioRequest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A torchaudio for another torch cannot be loaded, and nothing is trained."""
    monkeypatch.setitem(sys.modules, "training.sound.day_variation", None)
    result = learned(request_)
    assert result.sound.variation is None
    assert "torchaudio cannot be loaded" in result.variation.reason
    assert "torchaudio cannot be loaded" in caplog.text


def test_log_mel_has_no_sound_to_alter(tmp_path: Path) -> None:
    """Training on log-mel fails."""
    folder = write_machine(tmp_path / "own", 8)
    result = learned(AudioRequest((folder,), tmp_path / "b", settings=SETTINGS, device="cpu"))
    assert "log-mel" in result.variation.reason


def test_a_recording_that_is_gone_is_named(
    request_: AudioRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A piece that is removed during the training stops it."""
    data = read_training_data(request_)
    path = tmp_path / "1121" / "gone.wav"
    gone = replace(data.files[0], name=str(path), file_path=path)
    result = train_and_score(request_, replace(data, files=(gone, *data.files[1:])), CPU, ())
    assert result.variation.kept
    assert "gone.wav" in caplog.text


def test_the_report_shows_every_change_with_its_size() -> None:
    """The report does not show which variation is in the bundle."""
    speed = Change("speed", 1.5, "%", 0)
    variation = VariationChoice("usual sizes", (KeptChange(speed, 0.0123),), ("noise",))
    text = page("report", variation_parts(variation))
    for part in ("1.5 %", "+0.0123", "noise", "not added", "usual sizes"):
        assert part in text
    record = variation.record()
    assert record["kept"] == [
        {"change": "speed", "size": 1.5, "unit": "%", "log_likelihood": 0.0123}
    ]
    assert "switched off" in page("report", variation_parts(VariationChoice("switched off")))
