"""A state folder in which FIFOs, folders or huge files have the names of the daemon's files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.commands.recall_lines import recall_by_level
from monitor.control.address import socket_path
from monitor.errors import BadInputError, ServiceUnavailableError
from monitor.evidence.running_time import RunningTime
from monitor.learning.journal import read_journal
from monitor.learning.pieces import PieceStore
from monitor.notify.ledger_file import LedgerFile
from monitor.outbox.lock import lock_path
from monitor.outbox.queue import Outbox
from monitor.service.operation_record import OperationRecord
from tests.clocks import FakeClock
from tests.command_line import auscult

pytestmark = pytest.mark.timeout(20)  # a FIFO that is opened waits for ever


def huge(path: Path) -> None:
    """A file that does not fit into memory, and takes no space."""
    with path.open("wb") as file:
        file.truncate(1 << 42)


@pytest.mark.parametrize("occupy", [os.mkfifo, Path.mkdir])
@pytest.mark.parametrize("suffix", ["", "-wal", ".lock"])
def test_the_outbox_works_in_memory_if_something_else_has_its_name(
    tmp_path: Path, occupy: Callable[[Path], None], suffix: str
) -> None:
    """The daemon would hang at its start, or refuse to monitor any machine."""
    path = tmp_path / "outbox.sqlite3"
    occupy(path.with_name(path.name + suffix))
    with Outbox(path) as outbox:
        assert outbox.pending(10) == []


def test_a_folder_in_the_place_of_the_lock_still_locks(tmp_path: Path) -> None:
    """Two daemons would write one outbox."""
    path = tmp_path / "outbox.sqlite3"
    lock_path(path).mkdir()
    with Outbox(path), pytest.raises(ServiceUnavailableError, match="another Auscult process"):
        Outbox(path)
    with Outbox(path):
        pass


@pytest.mark.parametrize("occupy", [os.mkfifo, huge])
def test_what_is_no_file_of_ours_is_not_read(
    tmp_path: Path, occupy: Callable[[Path], None]
) -> None:
    """One such file would stop the daemon: it waits for ever, or needs terabytes."""
    for name in ("m.json", "state.json", "journal.json", "pieces.jsonl", "ledger.json"):
        occupy(tmp_path / name)
    assert OperationRecord(tmp_path / "m.json", "bundle", FakeClock()).payload() is None
    assert not RunningTime(tmp_path / "state.json", FakeClock()).load()
    with pytest.raises((OSError, BadInputError)):
        LedgerFile(tmp_path / "ledger.json").load()
    if occupy is huge:
        assert read_journal(tmp_path) is None
        PieceStore(tmp_path)
        return
    with pytest.raises(OSError, match="not a regular file"):
        read_journal(tmp_path)
    with pytest.raises(OSError, match="not a regular file"):
        PieceStore(tmp_path)


def test_a_share_that_is_no_number_is_left_out_of_what_inspect_shows() -> None:
    """`auscult inspect` would end with a traceback; other tools may record anything here."""
    recall = {"impacts": {"-6 dB": {"2 s": 1.0}, "-24 dB": {"2 s": float("nan")}}}
    assert list(recall_by_level(recall)) == ["impacts: 100% at -6 dB"]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["train", "audio", "loop", "--out", "new"], 66),
        (["train", "audio", "sound.wav", "--out", "loop"], 66),
        (["diagnose", "loop"], 66),
        (["replay", "loop", "sound.wav", "--scores", "loop"], 78),
    ],
)
def test_a_link_to_itself_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int
) -> None:
    """The command would end with a traceback."""
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("sound.wav").write_bytes(b"")
    outcome = auscult(*arguments)
    assert (outcome.status, outcome.err.count("\n")) == (status, 1), outcome.err
    assert "loop" in outcome.err


def test_a_state_folder_that_is_a_link_to_itself_gives_a_socket(tmp_path: Path) -> None:
    """The daemon would end at its start, although it can monitor without its state."""
    (tmp_path / "state").symlink_to("state")
    path = socket_path(tmp_path / "state", {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert path.parent.parent == tmp_path
