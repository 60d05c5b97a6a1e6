"""The ring of columns: written while somebody looks, read by another process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import AudioBlock, FloatArray
from monitor.live.feed import LiveFeed
from monitor.live.feeds import LiveFeeds, live_folder
from monitor.live.layout import CLIPPING, HAS_RECONSTRUCTION, QUIET, SCORED, Layout
from monitor.live.reader import Columns, RingReader
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.pipeline import Pipeline
from tests.bundles import SPEC, machine_sound

RATE_HZ = SPEC.sample_rate_hz
BLOCK = RATE_HZ // 10


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[LiveFeed]:
    one = LiveFeed("m", tmp_path / "live" / "m.ring")
    yield one
    one.end()


def play(
    feed: LiveFeed, samples: FloatArray, pipeline: Pipeline | None = None, at: int = 0
) -> None:
    """Give sound to the feed as a machine does, in blocks of 0.1 s from sample ``at`` on."""
    for first in range(0, len(samples), BLOCK):
        block = AudioBlock(samples[first : first + BLOCK], RATE_HZ, at + first)
        output = pipeline.push(block) if pipeline is not None else None
        if not feed.is_watched:
            continue
        windows = output.windows if output is not None else []
        scores = output.scores if output is not None else []
        ratio = scores[-1].value / 10.0 if scores else None
        feed.push(block, windows, ratio=ratio, scored=pipeline is not None)


def tone(seconds: float, hz: float = 1000.0, amplitude: float = 0.1) -> FloatArray:
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(1).normal(size=len(times)) * 1e-4
    return (amplitude * np.sin(2 * np.pi * hz * times) + noise).astype(np.float32)


def pictures(
    reader: RingReader, columns: Columns
) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """``(n_columns, 3, n_mels)``."""
    shape = (columns.n_columns, 3, reader.layout.n_mels)
    return np.frombuffer(columns.pictures, dtype=np.uint8).reshape(shape)


def test_nothing_is_written_while_nobody_looks(feed: LiveFeed) -> None:
    """Every node would compute and write pictures that nobody sees."""
    play(feed, tone(3.0))
    assert not feed.path.exists()


def test_a_tone_is_at_its_frequency_before_there_is_a_bundle(feed: LiveFeed) -> None:
    """Nobody could place a microphone by the picture, or the axis would be wrong."""
    feed.watch(60.0)
    play(feed, tone(4.0))
    reader = RingReader(feed.path)
    columns = reader.take()
    assert columns is not None
    mel_hz = np.array(reader.layout.mel_hz)
    loudest = pictures(reader, columns)[:, 0].mean(axis=0).argmax()
    assert abs(mel_hz[loudest] - 1000.0) < 60.0
    assert columns.level_dbfs == pytest.approx(-23.0, abs=0.2)
    assert columns.flags == 0
    assert columns.ratio is None
    assert 4.0 * reader.layout.column_hz == pytest.approx(columns.n_columns, abs=2)
    reader.close()


def test_there_are_too_few_columns_for_speech(feed: LiveFeed) -> None:
    """What people say beside a machine could be rebuilt from the picture."""
    feed.watch(60.0)
    play(feed, tone(2.0))
    reader = RingReader(feed.path)
    assert reader.layout.column_hz <= 8.0
    reader.close()


def test_columns_are_the_log_mel_and_what_the_network_expects(
    feed: LiveFeed, bundle: Bundle
) -> None:
    """The picture would not be what the machine is judged by."""
    network, pipeline = Network(bundle), Pipeline(bundle)
    feed.use(SPEC, bundle.sha256, network.reconstruct)
    feed.watch(60.0)
    samples = machine_sound(8, seed=3)
    play(feed, samples, pipeline)
    reader = RingReader(feed.path)
    columns = reader.take()
    assert columns is not None
    assert columns.flags == SCORED | HAS_RECONSTRUCTION
    assert columns.ratio is not None
    layout = reader.layout
    assert layout.bundle_sha256 == bundle.sha256
    scale_db = (layout.high_db - layout.low_db) / 255
    log_mel, expected, residual = (
        pictures(reader, columns)[:, image].astype(float) for image in range(3)
    )
    newest = Pipeline(bundle).push(AudioBlock(samples, RATE_HZ, 0)).windows[-1].values_db
    hop, group = SPEC.window_hop_frames, round(SPEC.frame_rate_hz / layout.column_hz)
    in_db = newest[:, -hop:].reshape(SPEC.n_mels, -1, group).mean(axis=2).T
    np.testing.assert_allclose(
        log_mel[-len(in_db) :] * scale_db + layout.low_db, in_db, atol=scale_db
    )
    model_db = network.reconstruct(newest)[:, -hop:].reshape(SPEC.n_mels, -1, group).mean(axis=2).T
    within = (model_db > layout.low_db) & (model_db < layout.high_db)
    np.testing.assert_allclose(
        (expected[-len(in_db) :] * scale_db + layout.low_db)[within],
        model_db[within],
        atol=scale_db,
    )
    step_db = layout.residual_db / 127
    np.testing.assert_allclose(
        (residual[-len(in_db) :] - 128) * step_db,
        np.clip(in_db - model_db, -layout.residual_db, layout.residual_db),
        atol=step_db,
    )
    reader.close()


def test_an_overdriven_microphone_is_shown_too(feed: LiveFeed, bundle: Bundle) -> None:
    """The picture would stop in the very moment when somebody turns the gain up too far."""
    pipeline = Pipeline(bundle)
    feed.use(SPEC, bundle.sha256, None)
    feed.watch(60.0)
    play(
        feed,
        np.concatenate([machine_sound(5), np.clip(machine_sound(12) * 1e3, -1.0, 1.0)]),
        pipeline,
    )
    reader = RingReader(feed.path)
    columns = reader.take()
    assert columns is not None
    assert columns.flags & CLIPPING
    assert columns.level_dbfs is not None
    assert columns.level_dbfs > -3.0
    reader.close()


def test_a_silent_microphone_is_called_quiet(feed: LiveFeed) -> None:
    """A wrong microphone would look like a good one."""
    feed.watch(60.0)
    play(feed, tone(3.0, amplitude=1e-6) * np.float32(0.1))
    reader = RingReader(feed.path)
    columns = reader.take()
    assert columns is not None
    assert columns.flags & QUIET
    reader.close()


def test_the_scale_grows_with_the_sound(feed: LiveFeed) -> None:
    """A machine that starts would be one bright area."""
    feed.watch(60.0)
    noise = np.random.default_rng(2).normal(0, 0.2, RATE_HZ * 6).astype(np.float32)
    play(feed, noise[: RATE_HZ * 3] * np.float32(1e-5))
    first = RingReader(feed.path)
    play(feed, noise[RATE_HZ * 3 :], at=RATE_HZ * 3)
    assert first.is_replaced()
    second = RingReader(feed.path)
    assert second.layout.high_db > first.layout.high_db
    assert second.layout.low_db <= first.layout.low_db + 15.0
    columns = second.take()
    assert columns is not None
    assert (pictures(second, columns)[:, 0] < 255).mean() > 0.9
    first.close()
    second.close()


def test_a_reader_gets_every_column_once(feed: LiveFeed) -> None:
    """The picture would jump or repeat itself."""
    feed.watch(60.0)
    sound = tone(20.0)
    play(feed, sound[: RATE_HZ * 2])
    reader = RingReader(feed.path)
    counts = [columns.n_columns if (columns := reader.take()) else 0]
    for second in range(2, 20):
        play(feed, sound[RATE_HZ * second : RATE_HZ * (second + 1)], at=RATE_HZ * second)
        counts.append(columns.n_columns if (columns := reader.take()) else 0)
    assert reader.take() is None
    assert sum(counts) == pytest.approx(20 * reader.layout.column_hz, abs=2)
    assert not reader.is_replaced()
    reader.close()


def test_the_ring_is_removed_when_nobody_looks_any_more(
    feed: LiveFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is closed would cost processor time until the next restart."""
    feed.watch(60.0)
    play(feed, tone(2.0))
    assert feed.path.exists()
    monkeypatch.setattr("monitor.live.feed.time.monotonic", lambda: 1e12)
    play(feed, tone(1.0))
    assert not feed.path.exists()


def test_a_disk_that_refuses_ends_the_picture_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk would interrupt the monitoring."""
    (tmp_path / "live").write_text("in the way")
    feed = LiveFeed("m", tmp_path / "live" / "m.ring")
    feed.watch(60.0)
    play(feed, tone(2.0))
    assert "the live view is not written" in caplog.text
    assert not feed.is_watched


def test_a_bug_in_the_picture_does_not_reach_the_machine(
    feed: LiveFeed, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    """Looking at a machine could interrupt its monitoring."""

    def broken(_window: FloatArray) -> FloatArray:
        raise ZeroDivisionError

    feed.use(SPEC, bundle.sha256, broken)
    feed.watch(60.0)
    play(feed, machine_sound(6), Pipeline(bundle))
    assert "internal error in the live view" in caplog.text


def test_rings_of_an_earlier_process_are_removed(tmp_path: Path) -> None:
    """The page would show the sound of yesterday as live."""
    (tmp_path / "m.ring").write_bytes(b"old")
    feeds = LiveFeeds(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert feeds.watch("m", 10.0) is None
    feed = feeds.feed("m")
    assert feeds.watch("m", 10.0) == tmp_path / "m.ring"
    assert feed.is_watched


def test_under_systemd_the_rings_are_in_memory(tmp_path: Path) -> None:
    """Flash memory would wear while a page is open."""
    assert live_folder(tmp_path, {"RUNTIME_DIRECTORY": "/run/auscult"}) == Path("/run/auscult/live")
    assert live_folder(tmp_path, {}) == tmp_path / "live"


@given(st.binary(max_size=400))
def test_a_damaged_ring_is_refused(content: bytes) -> None:
    """A damaged file would end the page with an error."""
    for damaged in (content, b"AULIVE01" + content):
        with pytest.raises(ValueError, match=r"ring|bands|columns|number"):
            Layout.decode(memoryview(damaged))


def test_a_layout_is_read_back() -> None:
    """The page would misread what the daemon writes."""
    layout = Layout(10, 7.8125, 16_000.0, -90.0, 20.0, 20.0, (100.0, 200.5, 300.0), "ab" * 32)
    content = bytearray(layout.file_bytes)
    encoded = layout.encode()
    content[: len(encoded)] = encoded
    assert len(encoded) == layout.first_column_at
    assert Layout.decode(memoryview(content)) == layout
    with pytest.raises(ValueError, match="columns"):
        Layout.decode(memoryview(content)[:-1])


def test_the_reader_needs_no_numpy() -> None:
    """The page would need 30 MB more."""
    script = "import sys, monitor.live.reader; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
