"""A recording chain that changes the sound is named, and never raises an alert."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from monitor.audio.bandwidth import end_of_sound, missing_from, weakened_edge
from monitor.audio.cells import SoundCells
from monitor.audio.spectral_gaps import CODEC_SHARE, SpectralGaps
from monitor.detection.capture_check import CaptureCheck, declared_fault
from monitor.detection.capture_fault import CaptureFault
from monitor.detection.offset_leak import OffsetLeak
from monitor.domain import AudioBlock, CaptureChain, FloatArray, SourceState, SourceStatus
from monitor.errors import BundleError
from monitor.features.log_mel import log_mel_windows
from monitor.model.bundle import Bundle, load_bundle, write_manifest
from monitor.model.capture import Capture
from monitor.pipeline import Pipeline, PipelineOutput
from tests.bundles import SPEC, as_windows, machine_sound, make_bundle
from tests.captures import (
    RATE_HZ,
    SCORED_BANDS,
    bundle_with_capture,
    capture_of,
    healthy_capture,
)
from tests.sounds import levels, output_of


def narrowed(samples: FloatArray, to_hz: int) -> FloatArray:
    """Through a lower rate and back, as in an upsampled copy."""
    low = soxr.resample(samples, RATE_HZ, to_hz, "HQ")
    return np.asarray(soxr.resample(low, to_hz, RATE_HZ, "HQ"), np.float32)


def telephone(samples: FloatArray) -> FloatArray:
    sos = signal.butter(8, [300, 3400], "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(signal.sosfilt(sos, samples), np.float32)


def with_codec_gaps(samples: FloatArray) -> FloatArray:
    """The sound after a codec with too few bits: stretches of the spectrum are left out."""
    _, _, spectrum = signal.stft(samples, RATE_HZ, nperseg=512)
    rng = np.random.default_rng(0)
    n_bands, n_times = -(-spectrum.shape[0] // 12), -(-spectrum.shape[1] // 3)
    kept = np.kron(rng.random((n_bands, n_times)) > 0.3, np.ones((12, 3)))
    _, left = signal.istft(
        spectrum * kept[: spectrum.shape[0], : spectrum.shape[1]], RATE_HZ, nperseg=512
    )
    return np.asarray(left[: len(samples)], np.float32)


@pytest.fixture(scope="module")
def capture() -> Capture:
    return healthy_capture()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, capture: Capture) -> Bundle:
    return bundle_with_capture(tmp_path_factory.mktemp("bundle"), capture)


def reasons(output: PipelineOutput) -> list[str]:
    return [state.reason for state in output.states if state.reason]


@pytest.mark.parametrize(("to_hz", "end_hz"), [(8_000, 4_000), (11_025, 5_512), (14_000, 7_000)])
def test_a_narrower_sound_is_degraded_and_named(bundle: Bundle, to_hz: int, end_hz: int) -> None:
    """An upsampled copy of healthy sound raises an alert."""
    output = output_of(Pipeline(bundle), narrowed(machine_sound(30.0, seed=50), to_hz), [])
    assert reasons(output) == ["bandwidth"]
    assert not output.scores
    assert not output.decisions
    assert output.states[-1].status is SourceStatus.DEGRADED
    named_khz = float(output.states[-1].detail.split("ends at ")[1].split(" kHz")[0])
    assert named_khz == pytest.approx(end_hz / 1000, rel=0.08)


def test_a_part_that_is_not_judged_is_named_in_blocks_of_any_length(bundle: Bundle) -> None:
    """A replay passes over a part of the recording in silence, because the next part is sound."""
    sound = machine_sound(40.0, seed=50)
    sound[20 * RATE_HZ : 21 * RATE_HZ] = narrowed(sound[20 * RATE_HZ : 21 * RATE_HZ], 8_000)
    for cuts in ([], list(range(0, len(sound), RATE_HZ // 2))):
        pipeline = Pipeline(bundle)
        output_of(pipeline, sound, cuts)
        assert pipeline.capture_fault is None
        assert pipeline.not_judged is not None
        assert pipeline.not_judged.reason == "bandwidth"


@pytest.mark.parametrize(("gain", "reason"), [(0.0, "silence"), (1e4, "clipping")])
def test_a_part_without_usable_sound_is_named(bundle: Bundle, gain: float, reason: str) -> None:
    """A recording of a microphone that fails is called normal."""
    sound = machine_sound(20.0, seed=50)
    sound[5 * RATE_HZ : 15 * RATE_HZ] *= np.float32(gain)
    pipeline = Pipeline(bundle)
    assert output_of(pipeline, np.clip(sound, -1.0, 1.0), []).scores
    assert pipeline.not_judged is not None
    assert pipeline.not_judged.reason == reason


def test_a_telephone_line_is_degraded(bundle: Bundle) -> None:
    """Healthy sound over a telephone raises an alert."""
    output = output_of(Pipeline(bundle), telephone(machine_sound(30.0, seed=50)), [])
    assert (reasons(output), output.decisions) == (["bandwidth"], [])


@pytest.mark.parametrize("gains_above", [(0.3, 0.3), (0.62, 0.0)])
def test_a_low_pass_at_the_edge_of_the_scored_bands_is_degraded(
    bundle: Bundle, capture: Capture, gains_above: tuple[float, float]
) -> None:
    """MP3 of healthy sound raises an alert, because its low-pass weakens one scored band.

    4 dB are enough where the sound ends above that band.
    """
    edge_hz = SPEC.band_corners_hz[SCORED_BANDS - 1]
    above_hz = SPEC.band_corners_hz[SCORED_BANDS + 1]
    at_edge, above = gains_above
    frequencies_hz = [0.0, edge_hz - 100.0, edge_hz, above_hz, above_hz + 50.0, RATE_HZ / 2]
    gains = [1.0, 1.0, at_edge, at_edge, above, above]
    taps = signal.firwin2(513, frequencies_hz, gains, fs=RATE_HZ)
    weak = signal.lfilter(taps, 1.0, machine_sound(30.0, seed=50)).astype(np.float32)
    output = output_of(Pipeline(bundle), weak, [])
    assert reasons(output) == ["bandwidth"]
    assert not output.scores
    assert not output.decisions
    check = CaptureCheck(capture, SPEC)
    check.measure(AudioBlock(weak, RATE_HZ, 0))
    windows = as_windows(log_mel_windows(weak, SPEC), SPEC)
    assert all(isinstance(group, SourceState) for group in check.scorable(windows))


def with_bits(samples: FloatArray, bits: int, *, dither: bool = False) -> FloatArray:
    steps = samples.astype(np.float64) * 2.0 ** (bits - 1)
    if dither:
        steps += np.random.default_rng(0).triangular(-1.0, 0.0, 1.0, len(steps))
    return (np.round(steps) / 2.0 ** (bits - 1)).astype(np.float32)


def with_capture(bundle: Bundle, capture: Capture, path: Path) -> Bundle:
    shutil.copytree(bundle.path, path)
    write_manifest(path, bundle.manifest.model_copy(update={"capture": capture}))
    return load_bundle(path)


@pytest.mark.parametrize("dither", [False, True])
@pytest.mark.parametrize(("rate_hz", "level"), [(RATE_HZ, 0.06), (48_000, 0.04)])
def test_few_bits_are_capture_changed_unless_trained_on(
    bundle: Bundle, rate_hz: int, level: float, dither: bool, tmp_path: Path
) -> None:
    """The noise of 8 bits is louder than a quiet machine, and raises an alert."""
    train = [np.float32(level) * machine_sound(15.0, seed=seed) for seed in range(4)]
    sound = np.float32(level) * machine_sound(20.0, seed=50)
    fine = soxr.resample(sound, RATE_HZ, rate_hz, "HQ").astype(np.float32)
    coarse = with_bits(fine, 8, dither=dither)
    quiet = with_capture(bundle, capture_of(train), tmp_path / "quiet")
    outputs = [
        output_of(Pipeline(quiet), coarse, cuts, rate_hz=rate_hz)
        for cuts in ([], [1_000, 70_001, 70_002, 200_000])
    ]
    for output in outputs:
        assert reasons(output) == ["capture_changed"]
        assert "only 8 bits" in output.states[-1].detail
        assert (output.scores, output.decisions) == ([], [])
    assert reasons(output_of(Pipeline(quiet), fine, [], rate_hz=rate_hz)) == []
    with_16_bits = with_bits(fine, 16, dither=dither)
    assert reasons(output_of(Pipeline(quiet), with_16_bits, [], rate_hz=rate_hz)) == []
    trained_on = capture_of([with_bits(one, 8, dither=dither) for one in train])
    same = with_capture(bundle, trained_on, tmp_path / "same")
    if rate_hz == RATE_HZ:
        assert reasons(output_of(Pipeline(same), coarse, [])) == []


def test_a_lower_rate_is_named_at_once(bundle: Bundle) -> None:
    """A microphone that is opened at 8000 Hz raises an alert."""
    low = soxr.resample(machine_sound(20.0, seed=50), RATE_HZ, 8_000).astype(np.float32)
    output = output_of(Pipeline(bundle), low, [], rate_hz=8_000)
    assert (reasons(output), output.scores, output.decisions) == (["bandwidth"], [], [])


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 96_000])
def test_a_higher_rate_changes_no_score(bundle: Bundle, rate_hz: int) -> None:
    """Sound that a server resamples is reported as another machine."""
    sound = machine_sound(12.0, seed=50)
    high = soxr.resample(sound, RATE_HZ, rate_hz, "HQ").astype(np.float32)
    assert (
        reasons(output_of(Pipeline(bundle), high, [], rate_hz=rate_hz))
        == reasons(output_of(Pipeline(bundle), sound, []))
        == []
    )


def test_codec_gaps_are_capture_changed(bundle: Bundle) -> None:
    """MP3 with too few bits raises an alert."""
    output = output_of(Pipeline(bundle), with_codec_gaps(machine_sound(30.0, seed=50)), [])
    assert (reasons(output), output.decisions) == (["capture_changed"], [])
    assert not output.scores


def test_scores_go_on_when_the_chain_is_right_again(bundle: Bundle) -> None:
    """A machine stays unmonitored after its stream was narrow for a while."""
    sound = machine_sound(45.0, seed=50)
    narrow = np.concatenate(
        (
            sound[: 15 * RATE_HZ],
            narrowed(sound, 8_000)[15 * RATE_HZ : 30 * RATE_HZ],
            sound[30 * RATE_HZ :],
        )
    )
    output = output_of(Pipeline(bundle), narrow, [])
    assert (reasons(output), output.decisions) == (["bandwidth"], [])
    assert output.scores[0].first_sample < 15 * RATE_HZ
    assert output.scores[-1].end_sample > 44 * RATE_HZ
    for score in output.scores:  # no score contains narrow sound, but for the edge of one window
        assert score.end_sample < 16.5 * RATE_HZ or score.first_sample > 29 * RATE_HZ


@pytest.mark.parametrize(
    "change",
    [
        lambda sound: sound * np.float32(0.03),
        lambda sound: sound * np.float32(3.0),
        lambda sound: np.random.default_rng(1).normal(0, 1e-3, len(sound)).astype(np.float32),
    ],
    ids=["much quieter", "louder", "off"],
)
def test_another_level_and_a_machine_that_is_off_are_no_chain_faults(
    bundle: Bundle, change: object
) -> None:
    """A stopped machine is reported as a fault of the microphone."""
    changed = change(machine_sound(20.0, seed=50))  # type: ignore[operator]  # one of the lambdas
    assert not {"bandwidth", "capture_changed"} & set(
        reasons(output_of(Pipeline(bundle), changed, []))
    )


def test_a_fault_still_raises_an_alert(bundle: Bundle) -> None:
    """A fault of the machine is hidden as a fault of the chain."""
    output = output_of(Pipeline(bundle), machine_sound(30.0, seed=50, fault=0.1), [])
    assert [decision.kind for decision in output.decisions][:1] == ["raised"]
    assert reasons(output) == []


@settings(max_examples=15)
@given(cuts=st.lists(st.integers(1, 20 * RATE_HZ - 1), max_size=12, unique=True))
def test_any_cutting_gives_the_same(bundle: Bundle, cuts: list[int]) -> None:
    """What is judged depends on how the stream was cut."""
    sound = machine_sound(20.0, seed=50)
    narrow, coded = narrowed(sound, 8_000), with_codec_gaps(sound)
    mixed = np.concatenate((sound[: 5 * RATE_HZ], narrow[5 * RATE_HZ : 8 * RATE_HZ],
                            sound[8 * RATE_HZ : 15 * RATE_HZ], coded[15 * RATE_HZ :]))  # fmt: skip
    whole, cut = output_of(Pipeline(bundle), mixed, []), output_of(Pipeline(bundle), mixed, cuts)
    assert [(s.value, s.first_sample) for s in whole.scores] == [
        (s.value, s.first_sample) for s in cut.scores
    ]
    assert [(s.status, s.reason) for s in whole.states] == [
        (s.status, s.reason) for s in cut.states
    ]


@pytest.mark.parametrize(
    ("chain", "fault"),
    [
        (CaptureChain("file", 48_000, 1, "OPUS", 24.0), True),
        (CaptureChain("file", 48_000, 1, "OPUS", 50.0), True),
        (CaptureChain("file", 48_000, 1, "OPUS", 64.0), False),
        (CaptureChain("file", 48_000, 2, "MP3", 64.0), True),
        (CaptureChain("file", 44_100, 1, "MP3", 64.0), True),
        (CaptureChain("file", 16_000, 1, "MP3", 64.0), False),
        (CaptureChain("file", 48_000, 1, "MP3", 80.0), False),
        (CaptureChain("file", 48_000, 2, "MP3", 128.0), False),
        (CaptureChain("file", 48_000, 1, "AAC", 50.0), True),
        (CaptureChain("file", 48_000, 1, "AAC", 64.0), False),
        (CaptureChain("file", 48_000, 1, "WMA", 64.0), True),
        (CaptureChain("file", 48_000, 1, "WMA", 96.0), False),
        (CaptureChain("file", 48_000, 1, "VORBIS", 66.0), True),
        (CaptureChain("file", 48_000, 1, "VORBIS", None), False),
        (CaptureChain("file", 48_000, 1, "WAV IMA_ADPCM"), True),
        (CaptureChain("file", 48_000, 1, "WAV MS_ADPCM"), True),
        (CaptureChain("file", 48_000, 1, "WAV PCM_16"), False),
    ],
    ids=str,
)
def test_a_lossy_encoding_with_few_bits_is_capture_changed(
    capture: Capture, chain: CaptureChain, fault: bool
) -> None:
    """A healthy recording that was compressed for sending raises an alert."""
    found = declared_fault(capture, chain.sample_rate_hz, chain)
    assert (found is not None and found.reason == "capture_changed") is fault
    known = capture.model_copy(update={"chains": (chain,)})
    assert declared_fault(known, chain.sample_rate_hz, chain) is None


@pytest.mark.parametrize(("offset", "state"), [(0.0005, ""), (0.05, "dc_offset")])
def test_an_offset_that_is_louder_than_the_machine_is_named(
    bundle: Bundle, offset: float, state: str
) -> None:
    """Another converter raises an alert of a quiet machine, although its sound is the same."""
    sound = 0.1 * machine_sound(30.0, seed=50) + np.float32(offset)
    found = Pipeline(bundle)
    assert reasons(output_of(found, sound, [])) == [state] * bool(state)
    assert "DC offset of +0.0500" in found.state.detail or not state


def test_a_trained_offset_is_no_fault() -> None:
    """A microphone that always has an offset would never be monitored."""
    sounds = [0.1 * machine_sound(5.0, seed=seed) + np.float32(0.05) for seed in range(2)]
    leak = OffsetLeak(capture_of(sounds), SPEC)
    for gain in (0.2, 1.0, 3.0):
        for end_sample, cell in SoundCells().push(AudioBlock(gain * sounds[0], RATE_HZ, 0)):
            leak.measure(end_sample, cell)
        leak.add(len(sounds[0]), levels(gain * sounds[0])[-1])
        assert leak.offset is None


@given(
    shift_db=st.floats(-40.0, 40.0),
    tilt_db=st.floats(-12.0, 12.0),
    seed=st.integers(0, 5),
)
def test_gain_and_tone_control_are_no_bandwidth_faults(
    capture: Capture, shift_db: float, tilt_db: float, seed: int
) -> None:
    """A microphone with another frequency response is reported with a wrong bandwidth."""
    tilt = np.linspace(0.0, tilt_db, SPEC.n_mels)
    low_db = np.array(capture.low_db)
    for window_db in levels(machine_sound(2.0, seed=60 + seed)):
        changed = (window_db + shift_db + tilt).astype(np.float32)
        assert missing_from(changed, low_db, SCORED_BANDS) is None
        assert weakened_edge(changed, low_db, SCORED_BANDS) is None
        assert end_of_sound(changed) is None


@given(cuts=st.lists(st.integers(1, 3 * RATE_HZ - 1), max_size=20, unique=True))
def test_gaps_do_not_depend_on_the_cutting(cuts: list[int]) -> None:
    """The same stream gives another state with another block size."""
    sound = with_codec_gaps(machine_sound(3.0, seed=1))
    whole = SpectralGaps(RATE_HZ).push(AudioBlock(sound, RATE_HZ, 0))
    meter, pieces = SpectralGaps(RATE_HZ), []
    for first, end in pairwise([0, *sorted(cuts), len(sound)]):
        pieces += meter.push(AudioBlock(sound[first:end], RATE_HZ, first))
    assert pieces == whole
    assert len(whole) == 6
    assert all(share > CODEC_SHARE for _, share in whole)


@pytest.mark.parametrize("seed", range(3))
def test_natural_sound_has_hardly_any_gaps(seed: int) -> None:
    """Noise, tones and impacts are treated as a codec."""
    rng, n_samples = np.random.default_rng(seed), 4 * RATE_HZ
    time_s = np.arange(n_samples) / RATE_HZ
    impacts = np.zeros(n_samples)
    impacts[:: RATE_HZ // 7] = 1.0
    ringing = signal.lfilter([1.0], [1.0, -1.6, 0.9], impacts)
    for sound in (
        rng.normal(0, 0.1, n_samples),
        rng.normal(0, 1e-3, n_samples) + 0.3 * np.sin(2 * np.pi * 4_321 * time_s),
        rng.normal(0, 1e-3, n_samples) + 0.2 * ringing,
        np.round(rng.normal(0, 2e-4, n_samples) * 2**15) / 2**15,
    ):
        block = AudioBlock(sound.astype(np.float32), RATE_HZ, 0)
        shares = [share for _, share in SpectralGaps(RATE_HZ).push(block)]
        assert np.mean(shares) < 0.6 * CODEC_SHARE


def test_a_capture_of_other_features_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """A damaged manifest stops the daemon with a traceback."""
    manifest = bundle.manifest.model_dump(mode="json")
    make_bundle(tmp_path)
    manifest["capture"]["low_db"] = manifest["capture"]["low_db"][:-1]
    (tmp_path / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="low_db: 127 values for 128 bands"):
        load_bundle(tmp_path)


def test_a_fault_of_the_chain_ends_after_four_good_windows_in_a_row() -> None:
    """A fault that comes and goes would be reported again and again."""
    fault = CaptureFault[int]()
    fault.bad(0)
    for value, expected in ((None, 0), (7, 7), (None, 7)):
        for _ in range(3):
            fault.good()
        fault.bad(value)
        assert fault.value == expected
    for left in (7, 7, 7, None):
        fault.good()
        assert fault.value == left
