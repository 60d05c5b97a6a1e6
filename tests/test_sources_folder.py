"""A folder: its recordings, then every new one, but only when it is complete."""

from __future__ import annotations

import logging
import os
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from monitor.audio.files import read_blocks
from monitor.audio.recordings import recording_files
from monitor.domain import AudioBlock, FloatArray, SourceState, SourceStatus
from monitor.errors import BadInputError, MissingInputError
from monitor.sources.folder.ledger import Ledger, Progress, Version
from monitor.sources.folder.notices import Notices, is_network_share
from monitor.sources.folder.source import FolderSource
from monitor.sources.folder.watch import FolderWatch
from monitor.sources.settings import FolderSettings
from tests.disks import fill, small_disk_at
from tests.source_reader import SourceReader

RATE_HZ = 16_000


def recording(path: Path, seconds: float = 0.5, value: float = 0.1, rate_hz: int = RATE_HZ) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.full(round(seconds * rate_hz), value, np.float32)
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    return path


def settings(path: Path, settle_s: float = 0.2) -> FolderSettings:
    return FolderSettings(path=path, poll_interval_s=0.05, settle_s=settle_s)


def levels(samples: FloatArray) -> list[float]:
    """The values of constant recordings in the order of the source."""
    changes = np.flatnonzero(np.diff(samples)) + 1
    return [round(float(part[0]), 3) for part in np.split(samples, changes)]


def test_existing_recordings_are_read_then_new_ones(tmp_path: Path) -> None:
    """New recordings would be left out, or old ones processed again."""
    recording(tmp_path / "b.wav", value=0.2)
    recording(tmp_path / "a" / "z.wav", value=0.1)
    with SourceReader(settings(tmp_path)) as reader:
        reader.wait_for_samples(2 * 8_000)
        recording(tmp_path / "0.wav", value=0.3)
        reader.wait_for_samples(3 * 8_000)
        time.sleep(0.5)
    assert levels(reader.samples()) == [0.2, 0.1, 0.3]
    blocks = reader.blocks()
    assert [block.first_sample for block in blocks] == [0, 8_000, 16_000]
    assert [block.discontinuous for block in blocks] == [False, True, True]


@pytest.fixture
def deep_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder at the end of 1,200 others; ``shutil`` and pytest cannot remove so many."""
    place = tmp_path
    try:
        for _ in range(1_200):
            place = place / "c"
            place.mkdir()
        yield place
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "c"], check=True)


def test_folders_in_many_folders_are_read(deep_folder: Path, tmp_path: Path) -> None:
    """A tree of more than a thousand levels ends the daemon with a traceback."""
    names = (tmp_path / "b.wav", tmp_path / "z.wav")
    for path in names:
        recording(path)
    shutil.copy(names[0], deep_folder / "a.wav")
    assert recording_files([tmp_path]) == [*names, deep_folder / "a.wav"]
    with SourceReader(settings(tmp_path)) as reader:
        reader.wait_for_samples(3 * 8_000)


def test_linked_folders_are_read_once(tmp_path: Path) -> None:
    """Recordings on another disk are left out, or a link to a folder above never ends."""
    disk, folder = tmp_path / "disk", tmp_path / "folder"
    recording(folder / "b.wav", value=0.1)
    recording(disk / "a.wav", value=0.2)
    (folder / "other").symlink_to(disk)
    (folder / "loop").symlink_to(folder)
    (disk / "loop").symlink_to(folder)
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert [path.name for path in recording_files([link])] == ["b.wav", "a.wav"]
    with SourceReader(settings(link)) as reader:
        reader.wait_for_samples(2 * 8_000)
        recording(folder / "c.wav", value=0.3)
        reader.wait_for_samples(3 * 8_000)
    assert levels(reader.samples()) == [0.1, 0.2, 0.3]


def test_what_only_looks_like_a_recording_is_named(tmp_path: Path) -> None:
    """Links to a disk that is not there would be reported as recordings that were read before."""
    for name, why in (
        ("link.wav", "is a link to a file that does not exist"),
        ("loop.wav", "cannot be read: Too many levels of symbolic links"),
        ("pipe.wav", "is not a regular file"),
    ):
        folder = tmp_path / name.removesuffix(".wav")
        folder.mkdir()
        if name == "pipe.wav":
            os.mkfifo(folder / name)
        else:
            (folder / name).symlink_to(folder / name if name == "loop.wav" else tmp_path / "gone")
        with SourceReader(settings(folder, settle_s=0)) as reader:
            reader.wait(reader.states, "a state")
        (state,) = reader.states()
        assert (state.reason, state.detail) == ("unreadable", f"{folder / name}: {why}")


def test_a_file_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    """Only the beginning of a recording would be scored."""
    whole = recording(tmp_path / "outside" / "a.wav", seconds=2.0).read_bytes()
    folder = tmp_path / "in"
    folder.mkdir()
    with SourceReader(settings(folder, settle_s=0.4)) as reader:
        with (folder / "a.wav").open("wb") as file:
            for piece in np.array_split(np.frombuffer(whole, np.uint8), 12):
                file.write(piece.tobytes())
                file.flush()
                time.sleep(0.1)
                assert reader.items() == []
        reader.wait_for_samples(2 * RATE_HZ)
    assert reader.states() == []


def test_a_bad_file_is_reported_and_skipped(tmp_path: Path) -> None:
    """One broken recording would stop the processing of all later ones."""
    (tmp_path / "a.wav").write_text("no sound")
    recording(tmp_path / "b.wav")
    (tmp_path / "c.wav").touch()
    with SourceReader(settings(tmp_path, settle_s=0)) as reader:
        reader.wait_for_samples(8_000)
        reader.wait(lambda: len(reader.states()) == 3, "the third state")
        time.sleep(0.2)
    assert [(state.status, state.reason) for state in reader.states()] == [
        (SourceStatus.UNAVAILABLE, "bad_input"),
        (SourceStatus.OK, ""),
        (SourceStatus.UNAVAILABLE, "bad_input"),
    ]
    assert "a.wav" in reader.states()[0].detail
    assert "c.wav" in reader.states()[2].detail


def test_a_file_that_changes_is_processed_again(tmp_path: Path) -> None:
    """Of a recorder that uses the same name again, only the first recording would be processed."""
    recording(tmp_path / "a.wav", value=0.1)
    with SourceReader(settings(tmp_path)) as reader:
        reader.wait_for_samples(8_000)
        recording(tmp_path / "a.wav", value=0.2, seconds=0.25)
        reader.wait_for_samples(12_000)
    assert levels(reader.samples()) == [0.1, 0.2]


def test_the_source_waits_for_a_folder_that_disappears(tmp_path: Path) -> None:
    """A network share that fails for a minute would end the monitoring."""
    folder = tmp_path / "share"
    recording(folder / "a.wav", value=0.1)
    with SourceReader(settings(folder)) as reader:
        reader.wait_for_samples(8_000)
        shutil.rmtree(folder)
        lost = reader.wait_for_state()
        assert lost.reason == "disconnected"
        recording(folder / "b.wav", value=0.2)
        reader.wait_for_samples(16_000)
    *before, last = [state.status for state in reader.states()]
    assert (set(before), last) == ({SourceStatus.UNAVAILABLE}, SourceStatus.OK)


def test_a_folder_that_is_back_is_not_called_disconnected(tmp_path: Path) -> None:
    """With a recording an hour, somebody would look for a fault of the network for an hour."""
    folder = tmp_path / "share"
    recording(folder / "a.wav")
    with SourceReader(settings(folder)) as reader:
        reader.wait_for_samples(8_000)
        folder.rename(tmp_path / "away")
        assert reader.wait_for_state().reason == "disconnected"
        (tmp_path / "away").rename(folder)
        reader.wait(lambda: reader.states()[-1].reason == "waiting", "waiting")
        assert reader.n_samples() == 8_000


def test_the_source_waits_for_a_folder_that_cannot_be_reached(tmp_path: Path) -> None:
    """A stale share is another error than a missing one: it would be a fault of the program."""
    folder = tmp_path / "share"
    recording(folder / "a.wav", value=0.1)
    with SourceReader(settings(folder)) as reader:
        reader.wait_for_samples(8_000)
        folder.rename(tmp_path / "away")
        folder.symlink_to("n" * 300)
        lost = reader.wait_for_state()
        assert (lost.reason, lost.detail) == (
            "disconnected",
            f"{folder}: cannot be opened: File name too long",
        )
        folder.unlink()
        recording(folder / "b.wav", value=0.2)
        reader.wait_for_samples(16_000)


def test_a_recording_is_read_on_when_its_share_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that fails in the middle of a recording would lose the rest of it."""
    folder, away = tmp_path / "share", tmp_path / "away"
    long = recording(folder / "long.wav", seconds=12.0)
    sound = np.linspace(0.0, 0.5, 12 * RATE_HZ, dtype=np.float32)
    soundfile.write(long, sound, RATE_HZ, subtype="FLOAT")

    def fails_after_a_block(path: Path, *args: Any, **options: Any) -> Iterator[AudioBlock]:
        blocks = read_blocks(path, *args, **options)
        yield next(blocks)
        if not options["skip_frames"]:
            folder.rename(away)
            raise BadInputError(f"{path}: cannot be read: Stale file handle")
        yield from blocks

    monkeypatch.setattr("monitor.sources.folder.source.read_blocks", fails_after_a_block)
    with SourceReader(settings(folder)) as reader:
        assert reader.wait_for_state().reason == "disconnected"
        away.rename(folder)
        reader.wait_for_samples(len(sound))
        received = reader.samples()
    assert np.array_equal(received, sound)


def test_positions_continue_at_another_rate(tmp_path: Path) -> None:
    """Times would jump when two recorders with different rates use one folder."""
    recording(tmp_path / "a.wav", seconds=1.0, rate_hz=8_000)
    recording(tmp_path / "b.wav", seconds=1.0, rate_hz=48_000)
    with SourceReader(settings(tmp_path)) as reader:
        reader.wait_for_samples(56_000)
    blocks = reader.blocks()
    assert [(block.first_sample, block.sample_rate_hz) for block in blocks] == [
        (0, 8_000),
        (48_000, 48_000),
    ]


def test_old_files_need_not_settle_and_future_ones_do(tmp_path: Path) -> None:
    """Old recordings would be delayed, or a wrong clock would make a file complete."""
    old, future = recording(tmp_path / "old.wav"), recording(tmp_path / "future.wav")
    os.utime(old, (1e9, 1e9))
    os.utime(future, (4e9, 4e9))
    watch = FolderWatch(tmp_path, Ledger(None), settle_s=0.3, poll_interval_s=0.05)
    assert [path for path, _ in watch.ready()] == [old]
    watch.mark_read(old)
    time.sleep(0.35)
    assert [path for path, _ in watch.ready()] == [future]


def test_a_missing_folder_is_an_error_at_the_start(tmp_path: Path) -> None:
    """A typing error in the path would not be reported."""
    with (
        pytest.raises(MissingInputError, match="no such folder"),
        SourceReader(settings(tmp_path / "nothing")) as reader,
    ):
        reader.wait_for_end()
    with (
        pytest.raises(MissingInputError, match="is not a folder"),
        SourceReader(settings(recording(tmp_path / "a.wav"))) as reader,
    ):
        reader.wait_for_end()


def read_once(folder: Path, ledger: Path, n_samples: int) -> FloatArray:
    """The first ``n_samples`` of a source that begins now."""
    source = FolderSource(settings(folder, settle_s=0), ledger)
    found, stop = [np.empty(0, np.float32)], threading.Event()
    items = source.blocks(stop)
    for item in items:
        if isinstance(item, AudioBlock):
            found.append(item.samples)
        if isinstance(item, SourceState) and item.reason in {"waiting", "no_recordings"}:
            break
        if sum(map(len, found)) >= n_samples:
            next_item = next(items, None) if n_samples == 0 else None
            assert next_item is None
            stop.set()  # the source notes what was read when the next item is asked for
    items.close()
    return np.concatenate(found)


def test_a_restart_reads_nothing_twice(tmp_path: Path) -> None:
    """Every restart would raise the alerts of old recordings again."""
    folder, ledger = tmp_path / "in", tmp_path / "ledger.sqlite3"
    recording(folder / "a.wav", value=0.1)
    recording(folder / "b.wav", value=0.2)
    assert levels(read_once(folder, ledger, 16_000)) == [0.1, 0.2]
    assert len(read_once(folder, ledger, 1)) == 0
    recording(folder / "c.wav", value=0.3)
    assert levels(read_once(folder, ledger, 8_000)) == [0.3]


def test_a_renamed_or_moved_recording_is_not_read_again(tmp_path: Path) -> None:
    """Sorting old recordings into folders would raise their alerts again."""
    folder, ledger = tmp_path / "in", tmp_path / "ledger.sqlite3"
    path = recording(folder / "a.wav", value=0.1)
    read_once(folder, ledger, 8_000)
    (folder / "archive").mkdir()
    path = path.rename(folder / "archive" / "2026-11-01.wav")
    assert len(read_once(folder, ledger, 1)) == 0
    shutil.copy2(path, folder / "copy.wav")  # as a move to another file system does
    path.unlink()
    assert len(read_once(folder, ledger, 1)) == 0


def test_a_recording_whose_inode_another_one_gets_is_not_read_again(tmp_path: Path) -> None:
    """On a copy of the folder, or a FAT disk, old recordings have the inodes of other old ones."""
    folder, ledger = tmp_path / "in", tmp_path / "ledger.sqlite3"
    paths = [recording(folder / f"{i}.wav", value=0.1 * (i + 1)) for i in range(4)]
    read_once(folder, ledger, 4 * 8_000)
    contents = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    for i, path in enumerate(paths):  # the inodes stay, the contents and the names move on by one
        content, modified_ns = contents[i - 1]
        path.write_bytes(content)
        os.utime(path, ns=(modified_ns, modified_ns))
        path.rename(folder / f"{(i - 1) % 4}.new")
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(".wav"))
    assert len(read_once(folder, ledger, 1)) == 0


@pytest.mark.parametrize("year", [1800, 2106, 2300, 9999])
def test_a_file_time_of_any_year_is_accepted(year: int, tmp_path: Path) -> None:
    """A recorder whose clock is centuries ahead would end the monitoring of its machine."""
    folder, ledger = tmp_path / "in", tmp_path / "ledger.sqlite3"
    path = recording(folder / "a.wav", value=0.1)
    modified_s = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    os.utime(path, (modified_s, modified_s))
    with SourceReader(settings(folder)) as reader:
        reader.wait_for_samples(8_000)
    read_once(folder, ledger, 8_000)
    assert len(read_once(folder, ledger, 1)) == 0


def test_an_inode_of_64_bits_is_accepted(tmp_path: Path) -> None:
    """Half of the files of a merged or network file system would end the monitoring."""
    path = recording(tmp_path / "a.wav")
    status = path.stat()
    version = Version.of(
        os.stat_result(
            (status.st_mode, 2**64 - 5, *status[2:]),
            {"st_mtime_ns": status.st_mtime_ns, "st_ctime_ns": status.st_ctime_ns},
        )
    )
    with closing(Ledger(tmp_path / "ledger.sqlite3")) as ledger:
        ledger.keep(Progress(version, "head", "tail", done=True))
        assert ledger.is_done(version)


def test_a_touched_recording_is_not_read_again(tmp_path: Path) -> None:
    """A backup or a synchronisation changes times, not sound."""
    folder, ledger = tmp_path / "in", tmp_path / "ledger.sqlite3"
    path = recording(folder / "a.wav", value=0.1)
    read_once(folder, ledger, 8_000)
    os.utime(path, (1e9, 1e9))
    assert len(read_once(folder, ledger, 1)) == 0


def test_a_new_recording_with_the_inode_of_an_old_one_is_read_from_its_beginning(
    tmp_path: Path,
) -> None:
    """File systems give the inode of a deleted file to the next one."""
    folder, ledger = tmp_path / "in", tmp_path / "ledger.sqlite3"
    path = recording(folder / "a.wav", value=0.1)
    read_once(folder, ledger, 8_000)
    longer = recording(tmp_path / "outside.wav", value=0.2, seconds=1.0).read_bytes()
    path.write_bytes(longer)  # the same inode
    assert levels(read_once(folder, ledger, 16_000)) == [0.2]


def growing(path: Path, n_samples: int, stated: int) -> None:
    """A WAV of 16 bits with so many samples, whose header states another number."""
    samples = (np.arange(n_samples) % 1000).astype("<i2")
    data = samples.tobytes()
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + 2 * stated, b"WAVE", b"fmt ", 16,
                         1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16, b"data", 2 * stated)  # fmt: skip
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(header + data)


def test_a_growing_recording_goes_on_where_reading_stopped(tmp_path: Path) -> None:
    """One fault would raise an alert with every look at the same file."""
    path = tmp_path / "a.wav"
    growing(path, 8_000, stated=8_000)
    with SourceReader(settings(tmp_path, settle_s=0.1)) as reader:
        reader.wait_for_samples(8_000)
        growing(path, 20_000, stated=16_000)  # the header is renewed more rarely than the sound
        reader.wait_for_samples(20_000)
        growing(path, 30_000, stated=0)
        reader.wait_for_samples(30_000)
    expected = (np.arange(30_000) % 1000).astype(np.float32) / 32_768
    np.testing.assert_array_equal(reader.samples(), expected)
    blocks = reader.blocks()
    assert not any(block.discontinuous for block in blocks)
    assert blocks[-1].first_sample + len(blocks[-1].samples) == 30_000


def test_a_growing_recording_goes_on_after_a_restart(tmp_path: Path) -> None:
    """The beginning would be read again, and its alerts raised again."""
    folder, ledger = tmp_path / "in", tmp_path / "ledger.sqlite3"
    folder.mkdir()
    growing(folder / "a.wav", 8_000, stated=8_000)
    assert len(read_once(folder, ledger, 8_000)) == 8_000
    growing(folder / "a.wav", 12_000, stated=12_000)
    rest = read_once(folder, ledger, 4_000)
    expected = (np.arange(8_000, 12_000) % 1000).astype(np.float32) / 32_768
    np.testing.assert_array_equal(rest, expected)


def test_what_was_being_read_when_the_process_was_killed_is_read_again(tmp_path: Path) -> None:
    """Sound would be lost that no pipeline has processed."""
    folder, ledger = tmp_path / "in", tmp_path / "ledger.sqlite3"
    recording(folder / "a.wav", value=0.1, seconds=10.0)
    items = FolderSource(settings(folder, settle_s=0), ledger).blocks(threading.Event())
    first, second = next(items), next(items)
    assert isinstance(first, AudioBlock)
    assert isinstance(second, AudioBlock)
    items.close()  # the second block was given out, and nobody asked for the third
    assert len(read_once(folder, ledger, 6 * RATE_HZ)) == 10 * RATE_HZ - len(first.samples)


def process(folder: Path, ledger: Path, *needed_s: float) -> list[AudioBlock]:
    """Process a block for each value, and take one more that is not processed."""
    source, found = FolderSource(settings(folder, settle_s=0), ledger), []
    source.set_needed(6.0)
    items = source.blocks(threading.Event())
    for seconds in (*needed_s, 6.0):
        block = next(items)
        assert isinstance(block, AudioBlock)
        found.append(block)
        source.set_needed(seconds)
    items.close()
    return found


def test_what_is_not_decided_is_read_again_after_a_restart(tmp_path: Path) -> None:
    """A kill just before an alert would end a fault that is not seen again."""
    folder, ledger = tmp_path / "in", tmp_path / "ledger.sqlite3"
    path = recording(folder / "a.wav", seconds=20.0)
    soundfile.write(path, np.arange(20 * RATE_HZ) / (20 * RATE_HZ), RATE_HZ, subtype="FLOAT")
    read_s = process(folder, ledger, 6.0, 6.0, 6.0)[2].end_s
    again = process(folder, ledger)[0]
    assert again.samples[0] * 20 == pytest.approx(read_s - 6.0, abs=0.01)


def test_after_a_decision_nothing_is_read_again(tmp_path: Path) -> None:
    """The sound of an alert would raise another alert."""
    folder, ledger = tmp_path / "in", tmp_path / "ledger.sqlite3"
    path = recording(folder / "a.wav", seconds=20.0)
    soundfile.write(path, np.arange(20 * RATE_HZ) / (20 * RATE_HZ), RATE_HZ, subtype="FLOAT")
    decided_s = process(folder, ledger, 6.0, 0.0)[1].end_s
    again = process(folder, ledger)[0]
    assert again.samples[0] * 20 == pytest.approx(decided_s, abs=0.01)


def test_the_ledger_returns_to_a_disk_that_was_full(tmp_path: Path) -> None:
    """After the next restart every recording would be read again."""
    path = tmp_path / "state" / "m.sqlite3"
    with small_disk_at(path.parent) as disk:
        ledger = Ledger(path)
        filler = fill(disk)
        for inode in range(20_000):
            ledger.keep(Progress(Version(inode, 1, 1), "head", "tail", 1, done=True))
        with closing(Ledger(path)) as stored:
            assert stored.is_done(Version(100, 1, 1)), "the reserve holds the next entries"
            assert not stored.is_done(Version(19_999, 1, 1)), "the disk is not full"
        filler.unlink()
        time.sleep(1.1)
        ledger.keep(Progress(Version(20_000, 1, 1), "head", "tail", 1, done=True))
        with closing(Ledger(path)) as stored:
            assert stored.is_done(Version(19_999, 1, 1))
            assert stored.is_done(Version(20_000, 1, 1))
        ledger.close()


def test_a_ledger_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """A full disk would end the monitoring of a folder."""
    recording(tmp_path / "in" / "a.wav")
    (tmp_path / "not-a-folder").touch()
    found = read_once(tmp_path / "in", tmp_path / "not-a-folder" / "ledger.sqlite3", 8_000)
    assert len(found) == 8_000


def test_a_damaged_ledger_is_replaced(tmp_path: Path) -> None:
    """The folder could not be read until somebody deletes the file."""
    recording(tmp_path / "in" / "a.wav")
    ledger = tmp_path / "ledger.sqlite3"
    ledger.write_bytes(b"no database" * 1000)
    assert len(read_once(tmp_path / "in", ledger, 8_000)) == 8_000
    assert len(read_once(tmp_path / "in", ledger, 1)) == 0


def test_damage_inside_a_ledger_is_noticed(tmp_path: Path) -> None:
    """The source would fail with every start, and the machine would not be monitored."""
    path = tmp_path / "ledger.sqlite3"
    ledger = Ledger(path)
    for inode in range(3000):
        version = Version(inode, 1, 1)
        ledger.keep(Progress(version, f"{inode:032x}", f"{inode:032x}", 1, done=True))
    ledger.close()
    content = bytearray(path.read_bytes())
    content[8192 : len(content) - 4096] = bytes(len(content) - 12_288)
    path.write_bytes(content)
    recording(tmp_path / "in" / "a.wav")
    assert len(read_once(tmp_path / "in", path, 8_000)) == 8_000


def test_a_bad_recording_that_is_deleted_meanwhile_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source would begin again, and count its samples from zero."""
    (tmp_path / "in").mkdir()
    bad = tmp_path / "in" / "a.wav"
    bad.write_text("no sound")
    progress = Ledger.progress

    def and_delete(self: Ledger, path: Path, version: Version) -> Progress:
        found = progress(self, path, version)
        path.unlink()
        return found

    monkeypatch.setattr(Ledger, "progress", and_delete)
    items = FolderSource(settings(tmp_path / "in", settle_s=0)).blocks(threading.Event())
    state = next(items)
    items.close()
    assert isinstance(state, SourceState)
    assert state.reason == "bad_input"


def test_a_folder_without_recordings_is_a_state_with_a_reason(tmp_path: Path) -> None:
    """A wrong path or format would look like a machine that is about to start."""
    for name in ("a.txt", "b.txt", "c.log"):
        (tmp_path / name).touch()
    with SourceReader(settings(tmp_path)) as reader:
        state = reader.wait_for_state()
        assert state.reason == "no_recordings"
        assert "3 other files ignored (2 .txt, 1 .log)" in state.detail
        recording(tmp_path / "d.wav")
        reader.wait_for_samples(8_000)
    assert [state.status for state in reader.states()] == [
        SourceStatus.UNAVAILABLE,
        SourceStatus.OK,
    ]


def test_a_part_that_cannot_be_listed_is_a_state_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recordings of a subfolder with wrong rights would be missing without a message."""
    recording(tmp_path / "a.wav")
    secret = tmp_path / "secret"
    secret.mkdir()
    listed = os.scandir

    def refusing(path: str) -> object:
        if str(path) == str(secret):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)  # root may read everything
    with SourceReader(settings(tmp_path)) as reader:
        reader.wait_for_samples(8_000)
        state = reader.wait_for_state()
    assert state.reason == "unreadable"
    assert "secret: cannot be listed: Permission denied" in state.detail


def test_a_name_that_is_not_utf_8_is_reported_and_read_once(tmp_path: Path) -> None:
    """Reporting it would fail, and the source would begin again without end."""
    bad = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff\n.wav"))
    bad.write_bytes(b"no sound")
    recording(tmp_path / "good.wav")
    with SourceReader(settings(tmp_path)) as reader:
        reader.wait_for_samples(8_000)
        reader.wait(reader.states, "the state")
    detail = reader.states()[0].detail
    assert "bad\\xff\\n.wav" in detail
    detail.encode()


def test_new_recordings_are_no_lines_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The library that watches the folder would write a line for each change."""
    caplog.set_level(logging.INFO)
    recording(tmp_path / "a.wav")
    with SourceReader(settings(tmp_path)) as reader:
        reader.wait_for_samples(8_000)
        recording(tmp_path / "b.wav", value=0.2)
        reader.wait_for_samples(2 * 8_000)
    assert [line.name for line in caplog.records if line.name.startswith("watchfiles")] == []


def test_a_cut_recording_is_called_truncated_only_when_it_no_longer_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow copy would be reported as damaged while it is being made."""
    monkeypatch.setattr("monitor.sources.folder.watch._INCOMPLETE_S", 0.6)
    whole = tmp_path / "whole.ogg"
    soundfile.write(whole, np.random.default_rng(0).normal(0, 0.1, 5 * RATE_HZ), RATE_HZ)
    content = whole.read_bytes()
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "copied.ogg").write_bytes(content[: len(content) // 2])
    with SourceReader(settings(folder, settle_s=0.1)) as reader:
        time.sleep(0.4)
        assert not [s for s in reader.states() if s.reason == "bad_input"]
        (folder / "copied.ogg").write_bytes(content)
        reader.wait_for_samples(5 * RATE_HZ)
        (folder / "cut.ogg").write_bytes(content[: len(content) // 3])
        reader.wait(lambda: [s for s in reader.states() if s.reason == "bad_input"], "a state")


@pytest.mark.parametrize("way", ["moved in", "replaced", "link to another folder"])
def test_a_folder_that_comes_with_its_recordings_is_noticed_at_once(
    way: str, tmp_path: Path
) -> None:
    """The system reports only the folder, or still watches the one that had the name before."""
    folder, other = tmp_path / "in", tmp_path / "other"
    (tmp_path / "first").mkdir()
    folder.symlink_to("first")
    recording(other / "a.wav", value=0.1)
    with SourceReader(settings(folder)) as reader:
        assert reader.wait_for_state().reason == "no_recordings"
        if way == "moved in":
            other.rename(folder / "other")
        elif way == "replaced":
            (tmp_path / "first").rename(tmp_path / "old")
            other.rename(tmp_path / "first")
        else:
            (tmp_path / "link").symlink_to("other")
            (tmp_path / "link").rename(folder)
        reader.wait_for_samples(8_000)
        recording(next(folder.rglob("a.wav")).with_name("b.wav"), value=0.2)
        reader.wait_for_samples(2 * 8_000)


def test_a_change_is_noticed_without_looking_at_every_file(tmp_path: Path) -> None:
    """A folder of 30 000 old recordings would take a third of a core."""
    recording(tmp_path / "a.wav", value=0.1)
    slow = FolderSettings(path=tmp_path, poll_interval_s=30.0, settle_s=0.1)
    with SourceReader(slow) as reader:
        reader.wait_for_samples(8_000)
        recording(tmp_path / "new" / "b.wav", value=0.2)
        reader.wait_for_samples(16_000)


def test_a_folder_whose_changes_are_not_reported_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Recordings would be read up to a minute late, each of them."""
    monkeypatch.setattr("monitor.sources.folder.watch._FULL_SCAN_S", 0.5)
    monkeypatch.setattr("monitor.sources.folder.watch._REPORTED_S", 0.2)
    recording(tmp_path / "a.wav", value=0.1)
    with SourceReader(settings(tmp_path)) as reader:
        reader.wait_for_samples(8_000)
        recording(tmp_path / "b.wav", value=0.2)
        reader.wait_for_samples(2 * 8_000)
        time.sleep(0.8)  # one more look at every file
        assert "did not report" not in caplog.text

        asked = threading.Event()

        def nothing(_notices: Notices, stop: threading.Event) -> set[Path]:
            asked.set()
            stop.wait(0.05)
            return set()

        monkeypatch.setattr(Notices, "wait", nothing)
        assert asked.wait(10.0)
        recording(tmp_path / "c.wav", value=0.3)
        reader.wait(lambda: "did not report c.wav" in caplog.text, "the message")
        monkeypatch.setattr("monitor.sources.folder.watch._FULL_SCAN_S", 60.0)
        reader.wait_for_samples(3 * 8_000)
        recording(tmp_path / "d.wav", value=0.4)
        reader.wait_for_samples(4 * 8_000)
    assert levels(reader.samples()) == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize(
    ("kind", "is_share"),
    [("ext4", False), ("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("tmpfs", False)],
)
def test_a_network_share_is_recognised(kind: str, is_share: bool, tmp_path: Path) -> None:
    """Another computer's changes give no notice, and would never be seen."""
    mounts = f"1 0 0:1 / / rw - ext4 /dev/sda rw\n2 1 0:2 / {tmp_path} rw shared:1 - {kind} x rw\n"
    assert is_network_share(tmp_path / "in", lambda: mounts) is is_share


def test_a_cut_wav_is_scored_and_then_called_truncated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A WAV may be growing, so one that was cut off would be read short without a message."""
    monkeypatch.setattr("monitor.sources.folder.watch._INCOMPLETE_S", 0.6)
    growing(tmp_path / "a.wav", 8_000, stated=20_000)
    with SourceReader(settings(tmp_path, settle_s=0.1)) as reader:
        reader.wait_for_samples(8_000)
        assert not reader.states()
        growing(tmp_path / "a.wav", 12_000, stated=20_000)
        reader.wait_for_samples(12_000)
        reader.wait(lambda: [s for s in reader.states() if "truncated" in s.detail], "the state")
        growing(tmp_path / "a.wav", 20_000, stated=20_000)
        reader.wait_for_samples(20_000)
        recording(tmp_path / "b.wav")
        reader.wait_for_samples(28_000)
    assert [s.reason for s in reader.states()] == ["bad_input", ""]


def test_a_recording_replaced_in_place_with_the_same_size_and_time_is_read(tmp_path: Path) -> None:
    """Recorders without a clock write the same name, size and time again after each start."""
    folder, ledger = tmp_path / "in", tmp_path / "ledger.sqlite3"
    path = recording(folder / "a.wav", value=0.1)
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    read_once(folder, ledger, 8_000)
    recording(path, value=0.2)
    os.utime(path, ns=times)
    assert levels(read_once(folder, ledger, 8_000)) == [0.2]


def test_recordings_that_differ_only_in_their_middle_are_all_read(tmp_path: Path) -> None:
    """Recordings of one length and time that begin and end with silence would count as copies."""
    for name, value in (("a.wav", 0.1), ("b.wav", 0.2)):
        sound = np.full(8_000, value, np.float32)
        sound[:2_500] = sound[-2_500:] = 0.0
        soundfile.write(tmp_path / name, sound, RATE_HZ, subtype="PCM_16")
        os.utime(tmp_path / name, ns=(10**18, 10**18))
    with SourceReader(settings(tmp_path)) as reader:
        reader.wait_for_samples(16_000)


def test_changes_are_noticed_after_the_folder_was_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder would be searched again and again for the rest of the run."""
    folder, stop = tmp_path / "in", threading.Event()
    with closing(Ledger(None)) as ledger:
        watch = FolderWatch(folder, ledger, settle_s=0.1, poll_interval_s=0.1)
        with closing(watch):
            watch.begin_notices(stop)
            folder.mkdir()
            watch.begin_notices(stop)
            assert not watch.ready()
            recording(folder / "a.wav")
            while not watch.ready():
                watch.wait(stop)
    assert "reports no changes" not in caplog.text
