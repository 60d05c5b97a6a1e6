"""Alerts reach people while the disk refuses the history, with real processes that are killed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.errors import AuscultError
from monitor.history.reader import HistoryReader
from monitor.notify.ledger import Ledger
from monitor.notify.ledger_file import LedgerFile
from tests.daemons import ROOT
from tests.disks import fill, small_disk_at
from tests.notifications import Hook, WrittenHistory, notify_in
from tests.waiting import wait_for

DELIVERS = """
import sys, threading, time
from dataclasses import replace
from pathlib import Path
from monitor.clock import rfc3339
from monitor.history.writer import HistoryWriter
from monitor.service.history_feed import HistoryFeed
from monitor.service.recorded_outbox import RecordedOutbox
from tests.alert_drafts import draft
HistoryWriter.RETRY_S = 0.1
folder = Path(sys.argv[1])
outbox = RecordedOutbox(folder / "outbox.sqlite3", HistoryFeed(folder / "history.sqlite3"))
def turns():
    while True:
        outbox.turn()
        threading.Event().wait(0.1)
threading.Thread(target=turns, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    kind, machine, is_delivered = line.split()
    now = rfc3339(time.time())
    alert = outbox.append(replace(draft(kind, machine), at=now, started_at=now))
    if is_delivered == "yes":
        outbox.acknowledge(alert.event_id)
    print(alert.event_id, flush=True)
"""
"""What the daemon does with alerts: the outbox, the history, and the broker's acknowledgements."""


class Delivers:
    """The process that writes outbox and history."""

    def __init__(self, state: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", DELIVERS, str(state)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def alert(self, kind: str, machine: str, *, is_delivered: bool) -> None:
        """A message of an alert; it is on the disk when this returns."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind} {machine} {'yes' if is_delivered else 'no'}\n")
        self._process.stdin.flush()
        assert self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


@contextlib.contextmanager
def refused_history(kind: str, folder: Path) -> Iterator[Path]:
    """A state folder whose history is refused until the file or folder ``refuses`` is removed."""
    if kind == "full disk":
        with small_disk_at(folder) as disk:
            yield disk
    else:
        folder.mkdir()
        yield folder


def refuse(kind: str, state: Path) -> Path:
    """Let the disk refuse the history; returns what to remove to end that."""
    if kind == "full disk":
        return fill(state)
    (state / "history.sqlite3").mkdir()
    return state / "history.sqlite3"


@pytest.mark.parametrize(
    ("kind", "is_delivered"), [("full disk", True), ("no file can be made", False)]
)
def test_alerts_reach_people_while_the_history_is_refused(
    kind: str, is_delivered: bool, tmp_path: Path
) -> None:
    """An alarm would wait until somebody makes space, and then come twice."""
    hook = Hook()
    with contextlib.ExitStack() as stack:
        stack.callback(hook.close)
        state = stack.enter_context(refused_history(kind, tmp_path / "state"))
        notify = stack.enter_context(notify_in(tmp_path))
        notify.target("hook", hook.url)
        delivers = Delivers(state)
        if kind == "full disk":  # the history is there, and the ledger too
            notify.start()
            delivers.alert("raised", "press-1", is_delivered=is_delivered)
            wait_for(lambda: len(hook.titles) == 1)
            refuses = refuse(kind, state)
        else:
            refuses = refuse(kind, state)
            notify.start()
            delivers.alert("raised", "press-1", is_delivered=is_delivered)
            wait_for(lambda: len(hook.titles) == 1)

        delivers.alert("raised", "pump-7", is_delivered=is_delivered)
        wait_for(lambda: len(hook.titles) == 2)
        delivers.alert("updated", "pump-7", is_delivered=is_delivered)
        delivers.kill()
        wait_for(lambda: _is_noted(state, "pump-7"))  # or one message is repeated
        notify.end(signal.SIGKILL)
        delivers = Delivers(state)
        notify.start()
        delivers.alert("cleared", "pump-7", is_delivered=is_delivered)
        wait_for(lambda: len(hook.titles) == 3)
        delivers.kill()  # the next process has to read the outbox
        delivers = Delivers(state)
        delivers.alert("raised", "fan-2", is_delivered=is_delivered)
        delivers.kill()
        wait_for(lambda: len(hook.titles) == 4)

        if refuses.is_dir():
            refuses.rmdir()
        else:
            refuses.unlink()
        delivers = Delivers(state)
        wait_for(lambda: _recorded(state) == 5)
        notify.end()
        notify.start()
        delivers.alert("cleared", "press-1", is_delivered=is_delivered)
        wait_for(lambda: "press-1: alarm ended" in hook.titles[-1])
        delivers.kill()
        sent = Counter(title.partition(" at ")[0].partition(" since")[0] for title in hook.titles)
        begins = ["press-1: alarm", "pump-7: alarm", "fan-2: alarm"]
        assert sent == Counter([*begins, "pump-7: alarm ended", "press-1: alarm ended"])


@pytest.mark.parametrize("is_damaged", [False, True])
def test_it_starts_on_a_disk_that_became_read_only(is_damaged: bool, tmp_path: Path) -> None:
    """After the restart of a computer with a worn card, what waits would never be sent."""
    hook = Hook()
    with contextlib.ExitStack() as stack:
        stack.callback(hook.close)
        state = stack.enter_context(small_disk_at(tmp_path / "state"))
        notify = stack.enter_context(notify_in(tmp_path))
        notify.target("hook", hook.url)
        history = WrittenHistory(state)
        notify.start()
        hook.mode = "fail"
        history.raised("pump-7")
        history.close()
        wait_for(lambda: hook.requests)  # what is to be sent was noted before
        assert notify.end() == 0
        if is_damaged:
            (state / "notify" / "hook.json").write_bytes(b"damaged")
        subprocess.run(["mount", "-o", "remount,ro", state], check=True)
        hook.mode = "ok"
        notify.start()
        wait_for(lambda: hook.titles)
        assert hook.titles[0].startswith("pump-7: alarm")
        notify.wait_for_log("Read-only file system")
        assert notify.end() == 0


def _is_noted(state: Path, machine: str) -> bool:
    ledger = LedgerFile(state / "notify" / "hook.json").load()
    known = ledger.incidents.values() if ledger is not None else ()
    return any(one.machine == machine and one.is_sent for one in known)


def _recorded(state: Path) -> int:
    with contextlib.suppress(AuscultError):
        return len(HistoryReader(state / "history.sqlite3").news(0)[0])
    return 0


def test_a_full_disk_keeps_what_was_sent(tmp_path: Path) -> None:
    """After a restart on a full disk, a person would get the same alarm again."""
    with small_disk_at(tmp_path / "disk") as folder:
        file = LedgerFile(folder / "anna.json")
        file.save(Ledger(position=1))
        fill(folder)
        for position in range(2, 20):
            file.save(Ledger(position=position, done={str(one): 1 for one in range(500)}))
        found = LedgerFile(file.path).load()
        assert found is not None
        assert found.position == 19
