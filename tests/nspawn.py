"""A real systemd of the test's own, booted over an overlay of this machine's root.

Whatever happens inside stays in the overlay. The network is the host's, so that the Python index
can be reached and a test can talk to what runs inside.
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

BOOT_PATIENCE_S = 60.0
STOP_PATIENCE_S = 15.0


def skip_unless_possible() -> None:
    """Skip the calling test, saying why, where systemd cannot be booted."""
    if os.geteuid() != 0:
        pytest.skip("booting a systemd needs root")
    for program in ("systemd-nspawn", "nsenter", "systemctl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (systemd-container, util-linux, systemd)")


class BootedSystem:
    """A booted system; a context manager that leaves neither processes nor mounts.

    ``binds``: host folder to where it is seen inside, read-only.
    """

    def __init__(self, folder: Path, binds: dict[Path, str]) -> None:
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
            pytest.skip(f"no overlay of / can be mounted here: {mounted.stderr.strip()}")
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
        # A system of its own has an id of its own, or the journals of both would be one.
        (self.root / "etc" / "machine-id").write_text("")
        command = ["systemd-nspawn", "--quiet", "--boot", "--settings=no", "--console=pipe"]
        command += [f"--directory={self.root}", "--machine=auscult-test", "--register=no"]
        if not Path("/run/systemd/system").is_dir():
            command.append("--keep-unit")  # nobody here could give it a scope of its own
        command += [f"--bind-ro={host}:{inside}" for host, inside in self._binds.items()]
        # Only the basics: no service of the host's is started a second time.
        command.append("systemd.unit=basic.target")
        with self._log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline_s = time.monotonic() + BOOT_PATIENCE_S
        while not self._is_up():
            if self._nspawn.poll() is not None:
                pytest.skip(f"systemd-nspawn does not boot here: {self._log.read_text()[-500:]}")
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
            self._nspawn.send_signal(signal.SIGTERM)  # an orderly shutdown of what is inside
            try:
                self._nspawn.wait(STOP_PATIENCE_S)
            except subprocess.TimeoutExpired:
                os.kill(self._leader, signal.SIGKILL)
                self._nspawn.wait(STOP_PATIENCE_S)
        subprocess.run(["umount", "--lazy", str(self.root)], check=True)
        for changes in (self._upper, self._work):  # gigabytes, with torch
            shutil.rmtree(changes, ignore_errors=True)

    def run(
        self,
        command: Sequence[str],
        *,
        check: bool = True,
        timeout_s: float = 60.0,
        environment: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root; with ``check`` a failing one fails the test."""
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
        """One property of a unit, as ``systemctl show`` gives it."""
        return self.run(
            ["systemctl", "show", f"--property={field}", "--value", name]
        ).stdout.strip()

    def journal(self, unit: str) -> str:
        """Everything that a unit has logged, and what systemd has logged about it."""
        return self.run(["journalctl", "--no-pager", "--unit", unit, "--output=cat"]).stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)
