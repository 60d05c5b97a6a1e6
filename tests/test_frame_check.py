"""Log-mel without sound is a fault of its source, and never a score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.audio.frame_check import FrameCheck
from monitor.domain import FloatArray, LogMelBlock, SourceState, SourceStatus
from monitor.pipeline import Pipeline
from tests.bundles import SPEC, make_bundle
from tests.command_line import auscult

RATE_HZ = SPEC.frame_rate_hz
FLOOR_DB = -100.0


def sound(seconds: float) -> FloatArray:
    shape = (round(seconds * RATE_HZ), SPEC.n_mels)
    return np.random.default_rng(0).normal(-40.0, 5.0, shape).astype(np.float32)


def constant(seconds: float, level_db: float) -> FloatArray:
    return np.full((round(seconds * RATE_HZ), SPEC.n_mels), level_db, np.float32)


def repeated(seconds: float) -> FloatArray:
    """One frame of sound, again and again."""
    return np.repeat(sound(1.0)[:1], round(seconds * RATE_HZ), axis=0)


def followed(frames: FloatArray, edges: list[int]) -> tuple[set[int], list[str]]:
    """Which frames can be scored, and the reasons in their order, each once."""
    check, scored, reasons = FrameCheck(SPEC), set[int](), [""]
    for low, high in zip([0, *edges], [*edges, len(frames)], strict=True):
        for part in check.parts(LogMelBlock(frames[low:high], low)):
            if isinstance(part, SourceState):
                reasons += [part.reason] if reasons[-1] != part.reason else []
            else:
                n = len(part.frames_db)
                assert np.array_equal(part.frames_db, frames[part.first_frame :][:n])
                scored |= set(range(part.first_frame, part.first_frame + n))
        reasons += [""] if reasons[-1] and check.state.status is SourceStatus.OK else []
    return scored, reasons


MIXED = np.concatenate(
    [sound(3), constant(2, FLOOR_DB), sound(3), repeated(2), sound(0.5), repeated(1), sound(3)]
)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(1, len(MIXED) - 1), max_size=40))
def test_the_parts_do_not_depend_on_the_blocks(edges: set[int]) -> None:
    """A replay refuses other frames than the daemon."""
    scored, _ = followed(MIXED, sorted(edges))
    expected, _ = followed(MIXED, list(range(1, len(MIXED))))
    assert scored == expected


def test_faults_begin_and_end() -> None:
    """A source that works again is never monitored again, or one without sound is."""
    scored, reasons = followed(MIXED, list(range(1, len(MIXED))))
    assert reasons == ["", "silence", "", "stuck", ""]
    silent, works_again = round(3 * RATE_HZ), round(5 * RATE_HZ)
    refused = [i for i in range(silent, works_again) if i not in scored]
    assert len(refused) >= works_again - silent - round(0.6 * RATE_HZ)
    assert len(MIXED) - 1 in scored


@pytest.mark.parametrize(
    ("frames", "reason"), [(constant(20, FLOOR_DB), "silence"), (repeated(20), "stuck")]
)
def test_log_mel_without_sound_is_not_scored(
    frames: FloatArray, reason: str, tmp_path: Path
) -> None:
    """A dead microphone of a device that sends log-mel raises an alert about the machine."""
    bundle = make_bundle(tmp_path / "a.bundle")
    pipeline = Pipeline(bundle)
    output = pipeline.push(LogMelBlock(frames, 0))
    assert (output.scores, output.decisions) == ([], [])
    assert (pipeline.state.status, pipeline.state.reason) == (SourceStatus.NO_SIGNAL, reason)
    np.save(tmp_path / "a.npy", frames, allow_pickle=False)
    outcome = auscult("replay", bundle.path, tmp_path / "a.npy")
    assert outcome.status == 65
    assert pipeline.state.detail in outcome.out + outcome.err


def test_sound_is_scored_as_before(tmp_path: Path) -> None:
    """The check changes the scores of log-mel."""
    pipeline = Pipeline(make_bundle(tmp_path / "a.bundle"))
    frames = sound(20)
    n_scores = sum(
        len(pipeline.push(LogMelBlock(frames[i : i + 7], i)).scores)
        for i in range(0, len(frames), 7)
    )
    assert n_scores > 20
    assert pipeline.state.status is not SourceStatus.NO_SIGNAL


def test_training_refuses_log_mel_without_sound(tmp_path: Path) -> None:
    """The frames of a dead microphone become a part of what is healthy."""
    np.save(tmp_path / "a.npy", repeated(60)[:, :1].repeat(128, axis=1), allow_pickle=False)
    outcome = auscult("train", "audio", tmp_path / "a.npy", "--out", tmp_path / "a.bundle")
    assert outcome.status == 65
    assert "a.npy: every log-mel frame is the same: the input is stuck" in outcome.err
