"""A real systemd, booted on an overlay of this computer's root directory.

Changes inside stay in the overlay. The system shares the host's network, so that it reaches the
Python package index, and the test reaches its services.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

BOOT_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0


def skip_unless_possible() -> None:
    """Skip the calling test if this computer cannot boot a systemd, with the reason."""
    if os.geteuid() != 0:
        pytest.skip("booting a system needs root")
    for program in ("systemd-nspawn", "nsenter", "systemctl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (systemd-container, util-linux, systemd)")


class BootedSystem:
    """A booted system; a context manager that leaves no processes and no mounts.

    ``binds``: folder on the host to path inside, mounted read-only. ``machine``: its name, which
    differs from that of every other system at the same time.
    """

    def __init__(self, folder: Path, binds: dict[Path, str], machine: str = "auscult-test") -> None:
        self._machine = machine
        self.root = folder / "root"
        self._upper = folder / "upper"
        self._work = folder / "work"
        self._log = folder / "boot.log"
        self._binds = binds
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Self:
        for path in (self.root, self._upper, self._work):
            path.mkdir(parents=True)
        overlay = f"lowerdir=/,upperdir={self._upper},workdir={self._work}"
        mount = ["mount", "-t", "overlay", "overlay", "-o", overlay, str(self.root)]
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            pytest.skip(f"cannot mount an overlay of /: {mounted.stderr.strip()}")
        try:
            self._boot()
        except BaseException:
            self._take_down()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._take_down()

    def _boot(self) -> None:
        # A new machine id: otherwise it would write into the journal of the host.
        (self.root / "etc" / "machine-id").write_text("")
        command = ["systemd-nspawn", "--quiet", "--boot", "--settings=no", "--console=pipe"]
        command += [f"--directory={self.root}", f"--machine={self._machine}", "--register=no"]
        if not Path("/run/systemd/system").is_dir():
            command.append("--keep-unit")  # without systemd on the host, nothing can create a scope
        command += [f"--bind-ro={host}:{inside}" for host, inside in self._binds.items()]
        # basic.target: do not start the host's services a second time.
        command.append("systemd.unit=basic.target")
        with self._log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline_s = time.monotonic() + BOOT_TIMEOUT_S
        while not self._is_up():
            if self._nspawn.poll() is not None:
                pytest.skip(f"systemd-nspawn cannot boot: {self._log.read_text()[-500:]}")
            assert time.monotonic() < deadline_s, self._log.read_text()
            time.sleep(0.1)

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        try:
            self._leader = int(children.read_text().split()[0])
        except (OSError, IndexError):
            return False
        state = self.run(["systemctl", "is-system-running"], check=False).stdout.strip()
        return state in {"running", "degraded"}

    def _take_down(self) -> None:
        if self._nspawn is not None and self._nspawn.poll() is None:
            self._nspawn.send_signal(signal.SIGTERM)  # an orderly shutdown
            try:
                self._nspawn.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.kill(self._leader, signal.SIGKILL)
                self._nspawn.wait(STOP_TIMEOUT_S)
        subprocess.run(["umount", "--lazy", str(self.root)], check=True)
        for changes in (self._upper, self._work):  # gigabytes with torch
            shutil.rmtree(changes, ignore_errors=True)

    def run(
        self,
        command: Sequence[str],
        *,
        check: bool = True,
        timeout_s: float = 60.0,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside as root; with ``check`` the test fails if the command fails."""
        enter = ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--pid"]
        done = subprocess.run(
            [*enter, "--cgroup", "--", *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
        assert not check or done.returncode == 0, (
            f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def unit(self, name: str, field: str) -> str:
        """One property of a unit from ``systemctl show``."""
        return self.run(
            ["systemctl", "show", f"--property={field}", "--value", name]
        ).stdout.strip()

    def journal(self, unit: str) -> str:
        """The log of a unit so far, with systemd's messages about it."""
        self.run(["journalctl", "--sync"])  # the journal takes messages after they were sent
        return self.run(["journalctl", "--no-pager", "--unit", unit, "--output=cat"]).stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside, with its folders."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)
