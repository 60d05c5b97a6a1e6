"""Files that are written by a thread of their own."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from monitor.durable import replace_content
from monitor.service import write_behind
from monitor.service.write_behind import WriteBehind
from tests.waiting import wait_for


def fail(error: OSError) -> None:
    raise AssertionError(error)


def test_a_disk_that_hangs_delays_nobody_and_gets_the_newest_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All machines would stop for as long as the disk hangs."""
    hanging, release = threading.Event(), threading.Event()
    written: list[bytes] = []

    def slow(_path: Path, content: bytes) -> None:
        hanging.set()
        release.wait(30)
        written.append(content)

    monkeypatch.setattr(write_behind, "replace_content", slow)
    writer, path = WriteBehind(), tmp_path / "a"
    for number in range(100):
        writer.put(path, b"%d" % number, fail)
    assert hanging.wait(5)
    assert not writer.flush(path, 0.05)
    release.set()
    assert writer.flush(path, 5)
    assert written[-1] == b"99"
    assert len(written) <= 2


def test_a_disk_that_refuses_is_reported(tmp_path: Path) -> None:
    """Running hours would be lost at the next start without a word."""
    (tmp_path / "file").write_bytes(b"")
    errors: list[OSError] = []
    writer, path = WriteBehind(), tmp_path / "file" / "a"
    writer.put(path, b"", errors.append)
    assert writer.flush(path, 5)
    assert len(errors) == 1


def test_a_refused_content_leaves_the_earlier_one_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part would take the last space of a full disk for ever."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    replace_content(tmp_path / "state.json", b"earlier")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_content(tmp_path / "state.json", b"new")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"state.json": b"earlier"}


def test_the_thread_ends_when_there_is_nothing_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be there for ever, and miss what comes while it ends."""
    monkeypatch.setattr(WriteBehind, "IDLE_S", 0.02)
    writer = WriteBehind()
    for number in range(3):
        path = tmp_path / str(number)
        writer.put(path, b"1", fail)
        assert writer.flush(path, 5)
        assert path.read_bytes() == b"1"
        wait_for(lambda: writer._thread is None)
