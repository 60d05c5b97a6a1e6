"""The newest sound in memory, and the clips that are cut out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import AudioBlock, FloatArray, LogMelBlock
from monitor.evidence.clip import Clip, Judge, Request
from monitor.evidence.collector import Collector
from monitor.evidence.flac import NoFlacError, flac_bytes, read_flac
from monitor.evidence.settings import EvidenceSettings
from monitor.evidence.sound_memory import FrameMemory, RowRing, SoundMemory, as_float
from monitor.features.log_mel_spec import LogMelSpec

SPEC = LogMelSpec()
RATE_HZ = 1000
REQUEST = Request(
    machine="m",
    alert_id="019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d02",
    number=0,
    moment="raised",
    at="2026-11-23T10:15:30.250Z",
    at_s=20.0,
    began_s=14.0,
    ratio=2.0,
    judge=Judge(SPEC, "0" * 64),
)


class ListKeeper:
    """A keeper that only notes what it gets."""

    def __init__(self, most_bytes: int = 10**9) -> None:
        self.most_bytes = most_bytes
        self.begun_clips: list[Clip] = []
        self.clips: list[Clip] = []
        self.reasons: list[str] = []

    def reserve(self, n_bytes: int) -> bool:
        self.most_bytes -= n_bytes
        return self.most_bytes >= 0

    def begun(self, _request: Request, clip: Clip) -> None:
        self.begun_clips.append(clip)

    def complete(self, _request: Request, clip: Clip, reserved_bytes: int) -> None:
        self.most_bytes += reserved_bytes
        assert clip.rows.nbytes <= reserved_bytes
        self.clips.append(clip)

    def lost(self, _request: Request, reason: str) -> None:
        self.reasons.append(reason)


def sound(n: int, *, bits: int = 16, seed: int = 0) -> FloatArray:
    """Noise with so many bits, full scale +-1."""
    scale = 1 << (bits - 1)
    values = np.random.default_rng(seed).integers(-scale, scale, n)
    return (values / scale).astype(np.float32)


def collector(keeper: ListKeeper, *, before_s: float = 5.0, after_s: float = 3.0) -> Collector:
    return Collector(EvidenceSettings(before_s=before_s, after_s=after_s), keeper)


def push(to: Collector, samples: FloatArray, size: int, first: int = 0) -> None:
    """Give samples in blocks of ``size``, numbered from ``first``."""
    for at in range(0, len(samples), size):
        to.push(AudioBlock(samples[at : at + size], RATE_HZ, first + at), SPEC.frame_rate_hz)


@given(st.integers(1, 20), st.lists(st.integers(0, 50), max_size=12), st.data())
def test_a_ring_has_the_newest_rows(capacity: int, sizes: list[int], data: st.DataObject) -> None:
    """A clip would contain sound of another time."""
    ring, everything = RowRing(capacity, (), np.int16), np.arange(sum(sizes), dtype=np.int16)
    at = 0
    for size in sizes:
        ring.push(everything[at : at + size])
        at += size
    assert (ring.end, ring.end - ring.first) == (at, min(at, capacity))
    first, end = data.draw(st.integers(-5, at + 5)), data.draw(st.integers(-5, at + 5))
    expected = everything[max(first, ring.first, 0) : max(0, min(end, at))]
    assert ring.read(first, end).tolist() == expected.tolist()


@given(
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from([16, 24])), max_size=8),
    st.integers(1, 64),
)
def test_memory_keeps_every_bit(parts: list[tuple[int, int]], capacity: int) -> None:
    """The sound of an alert would be another one than the machine's."""
    memory = SoundMemory(capacity, RATE_HZ)
    everything = np.empty(0, dtype=np.float32)
    for seed, (n, bits) in enumerate(parts):
        samples = sound(n, bits=bits, seed=seed)
        stored = memory.push(samples)
        assert np.array_equal(as_float(stored), samples)
        everything = np.concatenate((everything, samples))
    held = as_float(memory.read(0, memory.end))
    assert np.array_equal(held, everything[len(everything) - len(held) :])
    assert len(held) == min(capacity, len(everything))


def test_sixteen_bits_take_two_bytes_and_all_others_three() -> None:
    """A node with many machines would need more memory than it has."""
    memory = SoundMemory(1000, RATE_HZ)
    memory.push(sound(100))
    memory.push(np.array([-1.0, 32767 / 32768], dtype=np.float32))
    assert memory.n_bytes == 2000
    memory.push(sound(100, bits=24))
    assert memory.n_bytes == 3000
    assert FrameMemory(10, 31.25, 128).n_bytes == 10 * 128 * 4


@pytest.mark.parametrize("value", [1.0, -1.5, 2.0])
def test_sound_above_full_scale_is_limited(value: float) -> None:
    """A sample would change its sign, which is a loud click."""
    memory = SoundMemory(10, RATE_HZ)
    memory.push(np.array([value], dtype=np.float32))
    (stored,) = as_float(memory.read(0, 1))
    assert stored == pytest.approx(np.clip(value, -1.0, 1.0), abs=1e-6)


@given(
    st.integers(1, 9000),
    st.floats(0.0, 25.0),
    st.sampled_from([16, 24]),
    st.floats(1.0, 8.0),
    st.floats(0.0, 8.0),
)
def test_a_clip_is_the_sound_around_its_moment(
    size: int, at_s: float, bits: int, before_s: float, after_s: float
) -> None:
    """Somebody would listen to sound from before the fault, or would miss its beginning."""
    keeper, samples = ListKeeper(), sound(40_000, bits=bits)
    one = collector(keeper, before_s=before_s, after_s=after_s)
    asked = False
    for at in range(0, len(samples), size):
        block = samples[at : at + size]
        one.push(AudioBlock(block, RATE_HZ, at), SPEC.frame_rate_hz)
        if not asked and at + len(block) >= at_s * RATE_HZ:
            one.keep(replace(REQUEST, at_s=at_s))
            asked = True
    (clip,) = keeper.clips
    first = round(clip.first_s * RATE_HZ)
    assert np.array_equal(as_float(clip.rows), samples[first : first + len(clip.rows)])
    assert first == pytest.approx(max(0.0, at_s - before_s) * RATE_HZ, abs=1)
    assert first + len(clip.rows) == pytest.approx((at_s + after_s) * RATE_HZ, abs=1)
    assert clip.incomplete == ""


def test_a_late_decision_has_all_of_its_sound() -> None:
    """A decision that waits for two seconds of sound would lose the first two seconds."""
    keeper, samples = ListKeeper(), sound(40_000)
    one = collector(keeper, before_s=5.0)
    push(one, samples[:22_000], 100)
    one.keep(replace(REQUEST, at_s=20.0))
    push(one, samples[22_000:], 100, 22_000)
    assert keeper.clips[0].first_s == pytest.approx(15.0)


def test_scores_and_gaps_have_positions_in_the_clip() -> None:
    """The scores would be drawn beside the sound that gave them."""
    keeper, samples = ListKeeper(), sound(40_000)
    one = collector(keeper)
    push(one, samples[:17_000], 100)
    push(one, samples[19_000:20_000], 1000, 19_000)
    for at_s in (14.0, 16.0, 20.0):
        one.scored(at_s, at_s, 2.0)
    one.keep(replace(REQUEST, at_s=20.0))
    push(one, samples[20_000:25_000], 500, 20_000)
    one.scored(22.0, 22.0, 2.0)
    one.scored(24.0, 24.0, 2.0)
    (begun,) = keeper.begun_clips
    assert begun.seconds == pytest.approx(5.0)
    (clip,) = keeper.clips
    assert clip.gaps == [pytest.approx((2.0, 2.0))]
    expected = samples[15_000:23_000].copy()
    expected[2000:4000] = 0.0
    assert np.array_equal(as_float(clip.rows), expected)
    assert clip.scores == [(1.0, 16.0, 2.0), (5.0, 20.0, 2.0)]  # the clip ended before the others


@pytest.mark.parametrize(
    ("first", "discontinuous", "reason"),
    [
        (21_000, True, "the sound was interrupted"),  # another recording begins
        (40_000, True, "the sound was interrupted"),  # the microphone was unplugged
        (3_000, True, "the sound was interrupted"),
    ],
)
def test_an_interruption_ends_a_clip(first: int, *, discontinuous: bool, reason: str) -> None:
    """Two recordings would be joined as if they were one."""
    keeper, samples = ListKeeper(), sound(60_000)
    one = collector(keeper)
    push(one, samples[:21_000], 100)
    one.keep(replace(REQUEST, at_s=20.0))
    block = AudioBlock(samples[:10_000], RATE_HZ, first, discontinuous=discontinuous)
    one.push(block, SPEC.frame_rate_hz)
    (clip,) = keeper.clips
    assert clip.incomplete == reason
    assert np.array_equal(as_float(clip.rows), samples[15_000:21_000])
    one.keep(replace(REQUEST, at_s=(first + 1000) / RATE_HZ))
    later = keeper.clips[1]
    assert np.array_equal(as_float(later.rows), samples[:4000])


def test_values_that_are_no_sound_end_a_clip() -> None:
    """A clip would contain loud clicks that no machine made."""
    keeper, samples = ListKeeper(), sound(30_000)
    one = collector(keeper)
    push(one, samples[:20_000], 100)
    one.keep(REQUEST)
    broken = samples[:100].copy()
    broken[7] = np.nan
    push(one, broken, 100, 20_000)
    push(one, samples[:1000], 100, 20_100)
    assert "no sound" in keeper.clips[0].incomplete
    assert one.newest(0.9) is not None
    assert one.newest(1.1) is None


def test_another_sample_rate_begins_anew() -> None:
    """Half of a clip would be played at the wrong speed."""
    keeper = ListKeeper()
    one = collector(keeper)
    push(one, sound(20_000), 100)
    one.keep(REQUEST)
    one.push(AudioBlock(sound(4000), 2000, 40_000, discontinuous=True), SPEC.frame_rate_hz)
    one.keep(replace(REQUEST, at_s=21.0))
    one.push(AudioBlock(sound(8000), 2000, 44_000), SPEC.frame_rate_hz)
    assert [(clip.rate_hz, clip.seconds) for clip in keeper.clips] == [(1000, 5.0), (2000, 4.0)]


def test_nothing_is_kept_of_sound_that_is_skipped() -> None:
    """What people say beside a muted machine would be kept."""
    keeper, samples = ListKeeper(), sound(40_000)
    one = collector(keeper)
    push(one, samples[:20_000], 100)
    one.keep(REQUEST)
    one.skip(AudioBlock(samples[20_000:21_000], RATE_HZ, 20_000), SPEC.frame_rate_hz, "muted")
    (ended,) = keeper.clips
    assert (ended.incomplete, ended.seconds) == ("muted", 5.0)
    one.keep(replace(REQUEST, at_s=21.0))
    push(one, samples[21_000:30_000], 100, 21_000)
    assert np.array_equal(as_float(keeper.clips[1].rows), samples[21_000:24_000])


def test_a_clip_does_not_wait_for_sound_that_does_not_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The evidence of an alert would appear hours later, when the next recording arrives."""
    monkeypatch.setattr(Collector, "PATIENCE_S", 0.0)
    keeper = ListKeeper()
    one = collector(keeper, after_s=0.0)
    push(one, sound(20_000), 100)
    one.keep(replace(REQUEST, at_s=20.5))
    one.expire()
    assert [clip.incomplete for clip in keeper.clips] == ["no more sound arrived"]


def test_clips_that_would_take_too_much_memory_are_reported_as_lost() -> None:
    """An alert of a hundred machines at once would end the daemon."""
    keeper = ListKeeper(most_bytes=2 * 8 * RATE_HZ)
    one = collector(keeper)
    push(one, sound(20_000), 100)
    one.keep(REQUEST)
    one.keep(REQUEST)
    assert len(keeper.begun_clips) == 1
    assert "too many alerts" in keeper.reasons[0]


def test_an_alert_before_any_sound_is_reported_as_lost() -> None:
    """An alert would name evidence that never appears, without a reason."""
    keeper = ListKeeper()
    collector(keeper).keep(REQUEST)
    assert keeper.reasons == ["no sound has arrived yet"]


def test_memory_is_limited_at_any_rate() -> None:
    """An ultrasonic microphone would take 30 MB."""
    one = collector(ListKeeper(), before_s=60.0)
    for n in range(20):
        one.push(AudioBlock(sound(400_000), 400_000, n * 400_000), 1.0)
    assert one.n_bytes <= Collector.MOST_BYTES


def test_frames_of_a_source_without_sound_are_kept() -> None:
    """An alert of features that were computed elsewhere would have no picture."""
    keeper = ListKeeper()
    one = collector(keeper)
    frames = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    for at in range(0, 500, 7):
        one.push(LogMelBlock(frames[at : at + 7], at), 10.0)
        if at == 203:
            one.keep(replace(REQUEST, at_s=20.0))
    (clip,) = keeper.clips
    assert not clip.is_sound
    assert np.array_equal(clip.rows, frames[150:230])


@given(st.sampled_from([8000, 16_000, 44_100, 48_000, 192_000]), st.sampled_from([16, 24]))
def test_flac_has_the_same_bits(rate_hz: int, bits: int) -> None:
    """The evidence would not be the sound that raised the alert."""
    memory = SoundMemory(5000, rate_hz)
    samples = sound(4000, bits=bits)
    content = flac_bytes(memory.push(samples), rate_hz)
    assert content[:4] == b"fLaC"


@pytest.mark.parametrize("bits", [16, 24])
def test_flac_is_read_back_bit_by_bit(bits: int, tmp_path: Path) -> None:
    """A piece that a killed daemon has begun would be completed with other sound."""
    samples = sound(40_000, bits=bits)
    path = tmp_path / "sound.flac.part"
    path.write_bytes(flac_bytes(SoundMemory(50_000, 16_000).push(samples), 16_000))
    rows, rate_hz = read_flac(path)
    assert rate_hz == 16_000
    assert np.array_equal(as_float(rows), samples)
    independent, _ = soundfile.read(path, dtype="float32")
    assert np.array_equal(independent, samples)


def test_a_rate_that_flac_does_not_have_is_reported(tmp_path: Path) -> None:
    """The writing thread would end, and with it the evidence of all machines."""
    with pytest.raises(NoFlacError, match="1000000 Hz"):
        flac_bytes(np.zeros(100, dtype=np.int16), 1_000_000)
    (tmp_path / "no.flac").write_bytes(b"no sound")
    with pytest.raises(NoFlacError):
        read_flac(tmp_path / "no.flac")
