"""The daemon of the demo: its configuration, and its process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from monitor.errors import ServiceUnavailableError
from monitor.sources.settings import SimulatedSettings

MACHINE = "demo-pump"
BASE_TOPIC = "auscult/demo"
AFTER_S = 4.0
"""The sound of the alert is complete, and diagnosed, before its short fault has ended."""
BEARING = "6205"
"""What the simulated machine has: the fault is at the rate of its outer race."""
_READY_WITHIN_S = 30.0


def configuration(
    port: int,
    bundle: Path,
    machines: Mapping[str, SimulatedSettings],
    *,
    listen: str | None = None,
    relearned: Collection[str] = (),
) -> str:
    """The daemon's ``config.toml``.

    ``machines``: id to what is simulated; all use ``bundle``. ``listen``: of the web page.
    ``relearned``: the machines that can be relearned, in a child process of the daemon.
    """
    mqtt = {"host": "127.0.0.1", "port": port, "base_topic": BASE_TOPIC, "score_interval_s": 0.25}
    lines = _table("[mqtt]", mqtt)
    if listen is not None:
        lines += _table("[web]", {"listen": listen})
    else:
        lines += _table("[evidence]", {"after_s": AFTER_S})
    for name, source in machines.items():
        lines += _table("[[machine]]", {"id": name, "bundle": str(bundle.absolute())})
        speeds_hz = source.speeds_hz or (source.speed_hz,)
        shaft = {"speed_hz": [min(speeds_hz), max(speeds_hz)], "bearings": [BEARING]}
        lines += _table("[machine.shaft]", shaft)
        values = source.model_dump(exclude_unset=True, exclude_none=True, exclude={"faults"})
        lines += _table("[machine.source]", {"kind": "simulated", **values})
        for fault in source.faults:
            lines += _table("[[machine.source.faults]]", fault.model_dump(exclude_none=True))
        if name in relearned:
            lines += _table("[machine.learning]", {"keep": True, "trainer": "child"})
    return "\n".join(lines)


def _table(header: str, values: Mapping[str, Any]) -> list[str]:
    """The lines of a table. The JSON form of these values is valid TOML."""
    return [header, *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]


@contextmanager
def running_daemon(config: Path, log: Path) -> Iterator[float]:
    """The daemon as a process; gives the time when it was ready.

    Raises ``ServiceUnavailableError`` when it does not start or ends with an error.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as readiness, log.open("wb") as stderr:
        readiness.bind("")  # a free abstract address
        readiness.settimeout(0.2)
        address = "@" + readiness.getsockname()[1:].decode("ascii")
        process = subprocess.Popen(  # noqa: S603  # this program
            [sys.executable, "-m", "monitor", "run", "--config", str(config)],
            env=os.environ | {"NOTIFY_SOCKET": address},
            stderr=stderr,
            process_group=0,  # Ctrl+C reaches the demo only, which stops its parts in order
        )
        try:
            wait_until_ready(process, readiness, log)
            yield time.time()
        finally:
            status = stopped(process)
        if status != 0:
            raise ServiceUnavailableError(f"the daemon ended with status {status}; see {log}")


def stopped(process: subprocess.Popen[bytes]) -> int:
    """Stop a part of the demo, at the latest after 15 s; returns its exit status."""
    process.terminate()
    try:
        return process.wait(15)
    except subprocess.TimeoutExpired:  # the demo must leave nothing that runs
        process.kill()
        return process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], readiness: socket.socket, log: Path) -> None:
    """Wait until the daemon is ready. Raises ``ServiceUnavailableError`` with its last log line."""
    deadline_s = time.monotonic() + _READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline_s:
        with suppress(TimeoutError):
            if b"READY=1" in readiness.recv(4096):
                return
    last_line = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise ServiceUnavailableError(f"the daemon did not start: {' '.join(last_line) or 'no log'}")
