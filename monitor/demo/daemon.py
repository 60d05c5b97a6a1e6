"""The daemon of the demo: its configuration, and its process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from monitor.errors import ServiceUnavailableError
from monitor.sources.settings import SimulatedSettings

MACHINE = "demo-pump"
BASE_TOPIC = "auscult/demo"
_READY_WITHIN_S = 30.0


def configuration(port: int, bundle: Path, source: SimulatedSettings) -> str:
    """The daemon's ``config.toml``. The JSON form of these values is valid TOML."""
    mqtt = {"host": "127.0.0.1", "port": port, "base_topic": BASE_TOPIC, "score_interval_s": 0.25}
    tables: dict[str, dict[str, Any]] = {
        "[mqtt]": mqtt,
        "[[machine]]": {"id": MACHINE, "bundle": str(bundle.absolute())},
        "[machine.source]": {"kind": "simulated", "unit": source.unit, "seed": source.seed},
    }
    lines = []
    for header, table in tables.items():
        lines += [header, *(f"{key} = {json.dumps(value)}" for key, value in table.items()), ""]
    for fault in source.faults:
        fields = fault.model_dump(exclude_none=True)
        lines += ["[[machine.source.faults]]"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
    return "\n".join(lines) + "\n"


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
        )
        try:
            wait_until_ready(process, readiness, log)
            yield time.time()
        finally:
            process.terminate()
            status = process.wait(10)
        if status != 0:
            raise ServiceUnavailableError(f"the daemon ended with status {status}; see {log}")


def wait_until_ready(process: subprocess.Popen[bytes], readiness: socket.socket, log: Path) -> None:
    """Wait until the daemon is ready. Raises ``ServiceUnavailableError`` with its last log line."""
    deadline_s = time.monotonic() + _READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline_s:
        with suppress(TimeoutError):
            if b"READY=1" in readiness.recv(4096):
                return
    last_line = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise ServiceUnavailableError(f"the daemon did not start: {' '.join(last_line) or 'no log'}")
