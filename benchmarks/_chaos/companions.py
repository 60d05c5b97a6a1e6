"""``auscult notify`` and ``auscult web`` beside the daemon, and what they serve.

Messages go to an HTTP endpoint that fails, hangs and recovers. A viewer asks the page all the time.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import psutil

from benchmarks._chaos.clocks import WallClock
from benchmarks._chaos.troubles import Trouble
from benchmarks._chaos.viewer import Viewer
from monitor.errors import AuscultError
from monitor.history.reader import HistoryReader
from monitor.history.records import ALERT_KINDS
from monitor.notify.ledger import Ledger
from monitor.notify.ledger_file import LedgerFile
from monitor.notify.schedule import MOST_SINGLE
from tests.daemons import ROOT, toml
from tests.mosquitto import free_port
from tests.notifications import Hook, Mode
from tests.waiting import wait_for

Name = Literal["notify", "web"]
NAMES: tuple[Name, ...] = ("notify", "web")
TARGET = "phone"
_BEGINS_WITHIN_S = 30.0
_MEMORY_EVERY_S = 1.0
_MANY_WITHIN_S = 120.0
"""So long the endpoint fails at most until many messages wait."""


class Companions:
    """Runs both, and starts them again when they were killed.

    ``after``: does something later. ``done``, ``problems``: as those of ``Computer``.
    ``most_mb``: the most resident memory of each, in MB.
    """

    def __init__(
        self,
        folder: Path,
        state: Path,
        clock: WallClock,
        rng: random.Random,
        after: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []
        self.most_mb: dict[str, float] = dict.fromkeys(NAMES, 0.0)
        self.hook = Hook()
        self._folder, self._state, self._clock = folder, state, clock
        self._rng, self._after = rng, after
        self._processes: dict[Name, subprocess.Popen[bytes]] = {}
        self._port = free_port()
        self.viewer = Viewer(f"http://127.0.0.1:{self._port}")
        self._is_over = False
        self._memory_due_s = 0.0
        self._is_waiting_for_many = self._is_calm = False
        self._kill_at: tuple[int, float] | None = None
        (folder / f"{TARGET}.url").write_text(self.hook.url + "\n")

    @property
    def settings(self) -> str:
        """The tables of the configuration."""
        web = {"listen": f"127.0.0.1:{self._port}"}
        target = {
            "name": TARGET,
            "url_file": f"{TARGET}.url",
            "timeout_s": 8.0,
            "retry_min_s": 0.05,
            "retry_max_s": 1.0,
        }
        return f"[web]\n{toml(web)}\n[[notify]]\n{toml(target)}"

    def start(self) -> None:
        """Start both. What happens from now on is sent."""
        for name in NAMES:
            self._start(name)
        wait_for(self._ledger_path.exists, _BEGINS_WITHIN_S, what="auscult notify has begun")
        self.viewer.start()

    def close(self) -> None:
        """End everything."""
        self._is_over = True
        self.viewer.stop()
        for process in self._processes.values():
            process.kill()
            process.wait()
        self.hook.close()

    def calm_down(self) -> None:
        """No fault begins any more: what waits for many messages would wait in vain."""
        self._is_calm = True

    def end(self, timeout_s: float) -> None:
        """Stop both normally. The page must answer before."""
        if not self.viewer.is_answered(_BEGINS_WITHIN_S):
            self.problems.append("auscult web does not answer after the last kill")
        self._is_over = True
        self.viewer.stop()
        for name, process in self._processes.items():
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                if status := process.wait(timeout_s):
                    self.problems.append(f"auscult {name} was stopped: status {status}")
                continue
            self.problems.append(f"auscult {name} did not end")

    def look_after(self) -> None:
        """Start again what has ended. Called often."""
        for name in NAMES:
            process = self._processes.get(name)
            if process is None or (status := process.poll()) is None or self._is_over:
                continue
            del self._processes[name]
            if status == -signal.SIGKILL:
                self.done[f"kill {name}"] += 1
            else:
                self.problems.append(f"auscult {name} ended by itself with status {status}")
            self._after(self._rng.uniform(0.0, 1.0), lambda name=name: self._start(name))  # type: ignore[misc]  # a default binds the name
        if self._kill_at is not None and len(self.hook.requests) >= self._kill_at[0]:
            self._after(self._kill_at[1] / 1e6, lambda: self.kill("notify"))
            self._kill_at = None
        self._measure()

    def strike(self, trouble: Trouble) -> None:
        """SIGKILL for `auscult notify`: now, or while its next message is sent."""
        if trouble.aim:
            self._kill_at = len(self.hook.requests) + 1, trouble.delay_us
        else:
            self.kill("notify")

    def kill(self, name: Name) -> None:
        """SIGKILL, now. What it started is killed too, as systemd does."""
        process = self._processes.get(name)
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.kill()

    @property
    def n_unsure(self) -> int:
        """How often a message may have arrived although its attempt was ended."""
        log = self._folder / "notify.log"
        return log.read_text("utf-8", "replace").count("no result within") if log.exists() else 0

    def reboot(self) -> None:
        """The computer is started again."""
        for name in NAMES:
            self.kill(name)

    def fail(self, trouble: Trouble) -> None:
        """The endpoint does not work for a while."""
        if trouble.aim == "fail until many wait":
            self.hook.mode = "fail"
            self._recover_when_many_wait(time.monotonic() + _MANY_WITHIN_S)
            return
        mode: Mode = next(one for one in ("fail", "hang", "drop") if one == trouble.aim)
        self.hook.mode = mode
        self.done[f"endpoint: {mode}"] += 1
        self._after(trouble.lasts_s, self._recover)

    def has_read_all(self) -> bool:
        """Whether ``auscult notify`` has taken every alert of the history."""
        ledger = self._ledger()
        if ledger is None:
            return False
        try:
            history = HistoryReader(self._state / "history.sqlite3")
            events, last = history.news(ledger.position, kinds=ALERT_KINDS, limit=1)
            return last >= ledger.position and not events
        except AuscultError:
            return False

    def has_sent_all(self) -> bool:
        """Whether it has also sent them."""
        ledger = self._ledger()
        return self.has_read_all() and ledger is not None and not ledger.pending()

    @property
    def _ledger_path(self) -> Path:
        return self._state / "notify" / f"{TARGET}.json"

    def _ledger(self) -> Ledger | None:
        try:
            return LedgerFile(self._ledger_path).load()
        except (AuscultError, OSError):
            return None

    def _recover(self) -> None:
        if not self._is_waiting_for_many:
            self.hook.mode = "ok"

    def _recover_when_many_wait(self, until_s: float) -> None:
        """Recover when the next message is about several alerts, or after a time."""
        ledger = self._ledger()
        many = ledger is not None and len(ledger.pending()) > MOST_SINGLE
        is_too_late = self._is_calm or time.monotonic() > until_s
        self._is_waiting_for_many = not many and not is_too_late
        if self._is_waiting_for_many:
            self._after(0.2, lambda: self._recover_when_many_wait(until_s))
            return
        self.done["endpoint: fail until many wait"] += many
        self._recover()

    def _start(self, name: Name) -> None:
        if self._is_over:
            return
        module = [sys.executable, "-m", "benchmarks._chaos.companion", self._folder]
        command = [*module, name, "--config", self._folder / "config.toml"]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                list(map(str, self._clock.command(command))),
                cwd=ROOT,
                env=os.environ | {"TZ": "UTC"},
                stdout=log,
                stderr=log,
            )

    def _measure(self) -> None:
        if time.monotonic() < self._memory_due_s:
            return
        self._memory_due_s = time.monotonic() + _MEMORY_EVERY_S
        for name, process in self._processes.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                rss_mb = psutil.Process(process.pid).memory_info().rss / 1e6
                self.most_mb[name] = max(self.most_mb[name], rss_mb)
