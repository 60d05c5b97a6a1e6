"""Healthy scores of channels: made as at run time, from the same sound, without the recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from monitor.calibration.channels import ChannelKey
from monitor.domain import AudioBlock
from monitor.errors import BadInputError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.features.spectra import SPECTRA, SpectraSpec, WindowStream
from monitor.model.long_spans import long_spans
from monitor.model.network import Network
from monitor.model.scorer import Scorer
from tests.bundles import machine_sound, make_bundle
from tests.fine_spectra import score_of
from tests.test_long_spans import with_channels
from training.sound.channels import Statistics, score_sections
from training.sound.peak_statistics import PieceSpectra, piece_spectra
from training.sound.recordings import Recording, cut_into, read_recording
from training.sound.section_sound import section_blocks, sound_of
from training.sound.section_spectra import SectionSpectra, section_spectra

SPEC = LogMelSpec()
RATE_HZ = SPEC.sample_rate_hz
SPECTRA_SPEC = SpectraSpec.for_log_mel(SPEC)
assert SPECTRA_SPEC is not None


def written(folder: Path, name: str, samples: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    path = folder / name
    sf.write(path, samples, rate_hz, subtype="FLOAT")
    return path


def sections_of(recordings: list[Recording], paths: list[Path]) -> SectionSpectra:
    assert SPECTRA_SPEC is not None
    return SectionSpectra(recordings, paths, SPEC, SPECTRA_SPEC)


def test_training_scores_channels_as_the_run_time_does(tmp_path: Path) -> None:
    """Thresholds are made from other scores than those that are compared with them."""
    bundle = with_channels(make_bundle(tmp_path / "bundle"))
    assert bundle.peaks is not None
    path = written(tmp_path, "a.wav", machine_sound(45.0, seed=21, fault=0.05))
    recording = read_recording(path, SPEC)
    network = Network(bundle)
    output = network.run(recording.windows(SPEC))
    scored = score_sections(
        [output.evidence],
        [Statistics(bundle.head, bundle.peaks.healthy)],
        [0],
        SPEC,
        span_windows=bundle.span_windows,
        spans=long_spans(SPEC, 3.5),
        sound=sections_of([recording], [path]).windows(),
    )
    samples = sf.read(path, dtype="float32")[0]
    windows = WindowStream(SPEC, SPECTRA_SPEC).push(AudioBlock(samples, RATE_HZ, 0))
    whole = bundle.recording_score()
    live = Scorer(bundle, network, whole, min_fault_s=3.5).push(windows)
    for number, channel in enumerate(bundle.calibration.channels, start=1):
        key = ChannelKey(channel.evidence, channel.span_s, channel.step_s)
        expected = [score.value for score in live if score.channel == number]
        actual = scored.channels[0][key]
        if expected:
            np.testing.assert_allclose(actual, expected, rtol=1e-5)
        else:  # the recording is shorter than the span
            assert len(actual) == 1
    np.testing.assert_allclose(scored.wholes[0], whole.peaks, rtol=1e-5)


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100])
def test_the_sound_of_a_section_is_that_of_its_frames(tmp_path: Path, rate_hz: int) -> None:
    """The spectra of a section are from another place of the file than its log-mel."""
    rng = np.random.default_rng(3)
    sound = 0.1 * rng.normal(size=20 * rate_hz).astype(np.float32)
    sound[: 6 * rate_hz] = 0.0  # refused as silence: the frames begin later
    path = written(tmp_path, "a.wav", sound, rate_hz)
    recording = read_recording(path, SPEC)
    assert recording.first_sample > 4 * RATE_HZ
    sections = cut_into([recording], 3, least_frames=64)
    assert len(sections) == 3
    for section in sections:
        blocks = [block for _, block in section_blocks(path, SPEC, [sound_of(section, SPEC)])]
        frames = np.concatenate(
            [
                window.values_db.T[:16]
                for block in [join(blocks)]
                for window in WindowStream(SPEC).push(block)
            ]
        )
        assert np.abs(frames - section.frames_db[: len(frames)]).max() < 0.5


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 44_100, 8_000])
def test_a_recording_that_is_replaced_during_a_training_is_reported(
    tmp_path: Path, rate_hz: int
) -> None:
    """The spectra would be those of another sound than the log-mel, without a word."""
    rng = np.random.default_rng(5)
    sound = 0.1 * rng.normal(size=(2, 20 * rate_hz)).astype(np.float32)
    sound[0, : 6 * rate_hz] = 0.0  # refused as silence: the frames begin later
    path = written(tmp_path, "a.wav", sound[0], rate_hz)
    recordings = cut_into([read_recording(path, SPEC)], 3, least_frames=64)
    sections = sections_of(recordings, [path] * 3)
    assert len(list(sections.windows())) == sum(sections.n_windows)
    written(tmp_path, "a.wav", sound[1], rate_hz)
    with pytest.raises(BadInputError, match=r"a\.wav: its sound has changed"):
        list(sections.windows())


def join(blocks: list[AudioBlock]) -> AudioBlock:
    assert [block.discontinuous for block in blocks] == [True] + [False] * (len(blocks) - 1)
    return AudioBlock(np.concatenate([block.samples for block in blocks]), RATE_HZ, 0)


def pieces(tmp_path: Path, tones_hz: list[float]) -> tuple[PieceSpectra, SectionSpectra]:
    """Recordings with a tone, each at another frequency."""
    recordings, paths = [], []
    rng = np.random.default_rng(0)
    time_s = np.arange(20 * RATE_HZ) / RATE_HZ
    for number, tone_hz in enumerate(tones_hz):
        tone = 0.02 * np.sin(2 * np.pi * tone_hz * time_s)
        noise = 0.05 * rng.normal(size=len(time_s))
        paths.append(written(tmp_path, f"{number}.wav", (tone + noise).astype(np.float32)))
        recordings.append(read_recording(paths[-1], SPEC))
    sound = sections_of(recordings, paths)
    found = piece_spectra(sound)
    assert found is not None
    return found, sound


def test_another_speed_within_a_percent_is_no_peak(tmp_path: Path) -> None:
    """A motor that turns 1 % faster in winter raises an alert."""
    found, sound = pieces(tmp_path, [2_000.0, 2_000.0, 2_000.0, 2_000.0, 2_020.0, 2_200.0])
    inside = np.array([True] * 4 + [False] * 2)
    _, lines = found.healthy(inside, sound, 8_000.0)

    def score(index: int) -> float:
        mean = found.means[1][found.section == index].mean(axis=0)
        return score_of(lines, mean, int(found.n_windows[found.section == index].sum()))

    assert score(4) < 1.3 * max(score(index) for index in range(4))
    assert score(5) > 3.0 * score(4)


def test_frequencies_that_are_not_scored_have_no_peaks(tmp_path: Path) -> None:
    """A resampler that changes the highest frequencies raises an alert."""
    found, sound = pieces(tmp_path, [2_000.0] * 4 + [7_300.0])
    inside = np.array([True] * 4 + [False])
    mean = found.means[1][found.section == 4].mean(axis=0)
    n_windows = int(found.n_windows[found.section == 4].sum())
    everything, below = (
        score_of(found.healthy(inside, sound, f_max_hz)[1], mean, n_windows)
        for f_max_hz in (8_000.0, 7_000.0)
    )
    assert everything > 3.0 * below


def test_log_mel_has_no_spectra(tmp_path: Path) -> None:
    """Training on log-mel fails, because it has no samples to compute spectra from."""
    recording = Recording("a", np.zeros((100, SPEC.n_mels), np.float32))
    assert piece_spectra(sections_of([recording], [tmp_path / "a.npy"])) is None


def test_windows_that_do_not_fit_the_spectra_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """With features for 48 kHz, faint faults are missed without a known reason."""
    spec = LogMelSpec(sample_rate_hz=48_000)
    assert section_spectra([], [], spec) is None
    assert "windows of 0.35 s, a new one every 0.17 s" in caplog.text
    assert section_spectra([], [], SPEC) is not None


def test_a_file_that_is_gone_leaves_out_the_spectra(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A recording that was deleted during a long training loses the whole training."""
    path = written(tmp_path, "a.wav", machine_sound(15.0))
    recording = read_recording(path, SPEC)
    path.unlink()
    assert piece_spectra(sections_of([recording], [path])) is None
    assert "a.wav" in caplog.text
    assert SPECTRA == ("envelope", "lines")
