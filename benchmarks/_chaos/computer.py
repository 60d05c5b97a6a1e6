"""The computer of the daemon: its clock, its boots, and the daemon that is killed on it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from benchmarks._chaos.clocks import WallClock
from benchmarks._chaos.troubles import Trouble
from tests.daemons import ROOT

_AIM_LASTS_S = 10.0
_SHOWN = 4000


class Computer:
    """Runs ``auscult run`` on ``FOLDER/config.toml`` and starts it again when it was killed.

    ``after``: does something later. ``done``: how often each kind of failure happened.
    ``problems``: observations that must not happen.
    """

    def __init__(
        self,
        folder: Path,
        clock: WallClock,
        rng: random.Random,
        after: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self.done: Counter[str] = Counter()
        self.problems: list[str] = []
        self._folder, self._clock, self._rng, self._after = folder, clock, rng, after
        self._appointment = folder / "appointment"
        self._log, self._log_begins = folder / "daemon.log", 0
        self._daemon: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._kill_while_starting = False
        self._next_daemon: Trouble | None = None
        self.on_reboot: Callable[[], None] = lambda: None
        self._while_stopped: Callable[[], bool] | None = None

    def close(self) -> None:
        """End the daemon."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon.wait()

    def end(self, timeout_s: float) -> None:
        """Stop the daemon normally."""
        self.restart()
        assert self._daemon is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            if status := self._daemon.wait(timeout_s):
                self.problems.append(f"the daemon was stopped and ended with status {status}")

    def calm_down(self) -> None:
        """Plan no kill any more."""
        self._appointment.unlink(missing_ok=True)

    def is_ready(self) -> bool:
        """Whether the daemon has read its settings: before that, SIGTERM ends it at once."""
        if self._daemon is None or not self._log.exists():
            return False
        return b'"message":"ready"' in self._log.read_bytes()[self._log_begins :]

    def start(self) -> None:
        """Start the daemon."""
        daemon = [sys.executable, "-m", "benchmarks._chaos.daemon", self._folder]
        command = [*daemon, "run", "--config", self._folder / "config.toml"]
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with self._log.open("ab") as log:
            self._log_begins = log.tell()
            self._daemon = subprocess.Popen(
                list(map(str, self._clock.command(command))),
                cwd=ROOT,
                env=os.environ | threads,
                stdout=log,
                stderr=log,
            )
        self._stopping = False
        if self._kill_while_starting:
            self._kill_while_starting = False
            self._after(self._rng.uniform(0.0, 2.0), self.kill)

    def look_after(self) -> None:
        """Start a daemon that has ended again."""
        if self._daemon is None or (status := self._daemon.poll()) is None:
            return
        self._daemon = None
        if status == -signal.SIGKILL:
            self.done["kill daemon"] += 1
            self._change_computer()
        elif status != 0 or not self._stopping:
            newest = self._log.read_text(errors="replace")[-_SHOWN:]  # may have a traceback
            self.problems.append(f"the daemon ended by itself with status {status}: {newest}")
        self._after(self._rng.uniform(0.0, 0.3), self._start_again)

    def kill_and(self, action: Callable[[], bool]) -> None:
        """SIGKILL; then call ``action`` again and again until it is true, before the next start."""
        self._while_stopped = action
        self.kill()

    def _start_again(self) -> None:
        if self._while_stopped is not None:
            if not self._while_stopped():
                self._after(0.1, self._start_again)
                return
            self._while_stopped = None
        self.start()

    def _change_computer(self) -> None:
        """What happens to the computer while its daemon does not run."""
        trouble, self._next_daemon = self._next_daemon, None
        if trouble is not None and trouble.reboot and not self._clock.no_reboot:
            self.done["reboot"] += 1
            self._clock.reboot()
            self.on_reboot()
        if trouble is not None and trouble.clock_s is not None:
            self.done["set clock while stopped"] += trouble.clock_s != self._clock.offset_s
            self._clock.set(trouble.clock_s)

    def set_clock(self, trouble: Trouble) -> None:
        """Set the clock while the daemon runs."""
        assert trouble.clock_s is not None
        self.done["set clock"] += trouble.clock_s != self._clock.offset_s
        self._clock.set(trouble.clock_s)

    def kill(self) -> None:
        """SIGKILL, now."""
        self._appointment.unlink(missing_ok=True)
        if self._daemon is not None and self._daemon.poll() is None:
            self._daemon.kill()

    def strike(self, trouble: Trouble) -> None:
        """Kill the daemon, now or at the point that is the aim."""
        self._next_daemon = trouble
        if trouble.aim == "starting":
            self._kill_while_starting = True
        if trouble.aim in {"", "starting"} or self._appointment.exists():
            self.kill()
            return
        unfinished = self._appointment.with_name("appointment.new")
        unfinished.write_text(f"{trouble.aim},{trouble.delay_us}")
        unfinished.rename(self._appointment)
        self._after(_AIM_LASTS_S, self._kill_if_missed)

    def _kill_if_missed(self) -> None:
        if self._appointment.exists():
            self.kill()

    def restart(self) -> None:
        """Ask the daemon to end; another one is started."""
        if self._daemon is not None and self._daemon.poll() is None and not self._stopping:
            self._stopping = True
            self._daemon.terminate()
            self.done["restart"] += 1
