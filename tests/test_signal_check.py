"""The signal check: broken microphones are detected, working ones are not."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.audio.signal_check import SignalCheck
from monitor.domain import AudioBlock, FloatArray, SourceState, SourceStatus
from tests.conftest import shared_data

RATE_HZ = 16_000


def noise(seconds: float, rms: float, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, rms, round(seconds * RATE_HZ)).astype(np.float32)


def constant(seconds: float, value: float) -> FloatArray:
    return np.full(round(seconds * RATE_HZ), value, dtype=np.float32)


def states_at(samples: FloatArray, edges: list[int]) -> list[SourceState]:
    check = SignalCheck()
    return [
        check.push(AudioBlock(samples[start:end], RATE_HZ, start))
        for start, end in zip([0, *edges[:-1]], edges, strict=True)
    ]


def states(samples: FloatArray) -> list[SourceState]:
    """The state after every quarter second."""
    return states_at(samples, list(range(4_000, len(samples) + 1, 4_000)))


def reasons(samples: FloatArray) -> list[str]:
    """The reasons in their order, each once."""
    seen = [state.reason for state in states(samples)]
    return [reason for i, reason in enumerate(seen) if i == 0 or seen[i - 1] != reason]


HEALTHY = noise(5, 0.01)

BROKEN = {
    "digital zero": (constant(4, 0.0), "silence", SourceStatus.NO_SIGNAL),
    "muted": (noise(6, 1e-5), "silence", SourceStatus.NO_SIGNAL),
    "stuck": (constant(4, -0.25), "stuck", SourceStatus.NO_SIGNAL),
    "partly overdriven": (np.clip(noise(6, 0.85), -1, 1), "clipping", SourceStatus.DEGRADED),
    "overdriven": (np.clip(noise(6, 3.0), -1, 1), "clipping", SourceStatus.DEGRADED),
    "offset": (noise(6, 0.01) + np.float32(0.3), "dc_offset", SourceStatus.DEGRADED),
    "NaN": (np.where(noise(1, 1.0) > 2, np.nan, np.float32(0.1)), "not_finite",
            SourceStatus.NO_SIGNAL),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_microphone_is_reported_until_it_works_again(name: str) -> None:
    """A broken microphone would raise an alert, or stay broken after its repair."""
    samples, reason, status = BROKEN[name]
    after = states(np.concatenate([HEALTHY, samples, HEALTHY]).astype(np.float32))
    assert [s.reason for s in after if s.reason] == [reason] * sum(bool(s.reason) for s in after)
    assert {s.status for s in after if s.reason} == {status}
    assert all(s.detail for s in after if s.reason)
    assert after[-1] == SourceState(SourceStatus.OK)
    assert reasons(np.concatenate([HEALTHY, samples, HEALTHY]).astype(np.float32)) == [
        "",
        reason,
        "",
    ]


def test_a_dead_input_is_detected_within_a_second() -> None:
    """Zeros from an unplugged cable would be scored and raise an alert."""
    after = states(np.concatenate([HEALTHY, constant(1, 0.0)]))
    assert [s.reason for s in after[20:]] == ["", "silence", "silence", "silence"]


@settings(max_examples=40)
@given(data=st.data())
def test_the_state_after_a_sample_does_not_depend_on_the_cuts(data: st.DataObject) -> None:
    """Live sound and its recording would get different states."""
    parts = data.draw(
        st.lists(
            st.sampled_from([noise(0.7, 0.01), constant(0.9, 0.0), constant(0.6, 0.5)]),
            min_size=1,
            max_size=6,
        )
    )
    samples = np.concatenate(parts)
    if data.draw(st.booleans()):
        samples[data.draw(st.integers(0, len(samples) - 1))] = np.inf
    cuts = sorted(data.draw(st.sets(st.integers(1, len(samples) - 1), max_size=30)))
    edges = [*cuts, len(samples)]
    alone = [states_at(samples, [edge])[0] for edge in edges]
    assert states_at(samples, edges) == alone


def test_a_signal_at_a_limit_does_not_alternate() -> None:
    """Subscribers would receive very many states."""
    rng = np.random.default_rng(3)
    levels = 10 ** ((-90 + rng.normal(0, 1.0, 400)) / 20)
    wavering = np.concatenate([noise(0.25, level, i) for i, level in enumerate(levels)])
    assert len(reasons(wavering)) <= 2


def test_a_loud_machine_that_clips_sometimes_is_scored() -> None:
    """The loudest faults would be reported as a broken microphone."""
    assert reasons(np.clip(noise(10, 0.65), -1, 1)) == [""]


def test_cells_have_the_same_positions_after_a_gap() -> None:
    """A stream that is received from its middle would get other states than its recording."""
    joined = 1_000
    check = SignalCheck()
    for position in range(joined, 20_000, 500):
        zeros = AudioBlock(np.zeros(500, np.float32), RATE_HZ, position, position == joined)
        if check.push(zeros).reason == "silence":
            break
    # The rest of the first quarter second says nothing; the two after it are silent.
    assert position + 500 == 3 * 4_000


def test_a_discontinuity_keeps_the_state_until_the_sound_changes_it() -> None:
    """An input that is interrupted once a second would never be reported as silent."""
    check = SignalCheck()
    position = 0
    for _ in range(20):
        state = check.push(AudioBlock(constant(0.6, 0.0), RATE_HZ, position, position > 0))
        position += 20_011
    assert state.reason == "silence"


@pytest.mark.data
def test_no_recording_of_a_working_microphone_is_reported_as_broken() -> None:
    """Quiet machines and very loud faults would be reported as a broken microphone."""
    recordings = [
        path
        for folder in ("uav_propeller", "desk_fan", "bldc_motor", "mimii_fan", "esc10_noise")
        for path in sorted(shared_data(folder).rglob("*.*"))
        if path.suffix in {".flac", ".ogg", ".wav"}
    ]
    assert len(recordings) > 100
    wrong = {}
    for path in recordings:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        for channel in range(samples.shape[1]):
            check = SignalCheck()
            for start in range(0, len(samples), rate_hz // 4):
                piece = np.ascontiguousarray(samples[start : start + rate_hz // 4, channel])
                state = check.push(AudioBlock(piece, rate_hz, start))
                if state.reason:
                    wrong[path.name] = state
    assert wrong == {}


@settings(max_examples=60)
@given(
    rms=st.floats(1e-6, 2.0),
    offset=st.sampled_from([0.0, 0.03, 0.059, 0.061, 0.09, 0.2]),
    seed=st.integers(0, 1000),
    clip=st.booleans(),
)
def test_a_cell_that_is_taken_for_usual_is_near_no_limit(
    rms: float, offset: float, seed: int, clip: bool
) -> None:
    """The short check of usual cells overlooks a fault of the microphone."""
    samples = noise(6, rms, seed) + np.float32(offset)
    samples = np.clip(samples, -1, 1) if clip else samples
    quick, thorough = SignalCheck(), SignalCheck()
    thorough._usual_power = np.inf  # no cell is usual then
    for start in range(0, len(samples), 4_000):
        block = AudioBlock(samples[start : start + 4_000], RATE_HZ, start)
        assert quick.push(block) == thorough.push(block)
