"""Whether any request to the web page ends in an internal error.

    python -m benchmarks.web_fuzzing [--seconds 60] [--seed N]

A real server gets random requests to all of its routes, most of them nearly right. Files of the
state folder are damaged again and again. The exit status is 1 if an answer has the status 500 (or
another one above 500 that is not meant), if there is no answer within 15 s, or if the log has an
error.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.fuzz.web_requests import Fuzzer, damage
from monitor.web.users import Role
from tests.web_app import machine, served

_DAMAGE_EVERY_S = 3.0


class _Errors(logging.Handler):
    """Keeps the errors of the log."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(logging.Formatter().format(record))


def fuzz(folder: Path, seconds: float, seed: int, *, with_users: bool) -> tuple[Fuzzer, list[str]]:
    """The fuzzer after the time, and the errors of the log."""
    rng = random.Random(seed)  # noqa: S311 - requests, not secrets
    users = {"anna": Role.OPERATOR} if with_users else {}
    errors = _Errors()
    logging.getLogger().addHandler(errors)
    try:
        with served(folder, users=users) as running:
            running.daemon.machines.append(machine("fan-2", state="anomaly"))
            parts = urlsplit(running.url)
            fuzzer = Fuzzer((str(parts.hostname), int(parts.port or 0)), rng)
            ends_s, damage_due_s = time.monotonic() + seconds, 0.0
            while time.monotonic() < ends_s:
                if time.monotonic() >= damage_due_s:
                    damage(running.state_dir, rng)
                    damage_due_s = time.monotonic() + _DAMAGE_EVERY_S
                fuzzer.run_one()
    finally:
        logging.getLogger().removeHandler(errors)
    return fuzzer, errors.found


def main() -> int:
    """Run with the given arguments; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    arguments = parser.parse_args()
    os.nice(10)
    logging.disable(logging.WARNING)
    print(f"seed {arguments.seed}")
    bad = 0
    for with_users in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            fuzzer, errors = fuzz(
                Path(folder), arguments.seconds / 2, arguments.seed, with_users=with_users
            )
        who = "without a login" if with_users else "as an operator"
        total = sum(fuzzer.statuses.values())
        print(f"{total} requests {who}; statuses: {dict(sorted(fuzzer.statuses.items()))}")
        for status, request in fuzzer.failures[:5]:
            print(f"status {status}: {request[:500]!r}")
        for error in errors[:5]:
            print(error)
        bad += len(fuzzer.failures) + len(errors)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
