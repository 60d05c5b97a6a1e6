"""The demo that keeps running: simulated machines on the web page.

The first pump has a fault every few minutes. Each kind of fault comes twice, so that the effect of
relearning can be seen. The second pump is healthy. The third one starts and stops.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from monitor.demo.broker import EmbeddedBroker
from monitor.demo.daemon import MACHINE, configuration, running_daemon, stopped
from monitor.demo.folder import demo_folder
from monitor.demo.learned import keep_as_learned
from monitor.demo.run import RECORDINGS_FOLDER, prepare
from monitor.errors import ServiceUnavailableError
from monitor.sources.settings import FaultKind, SimulatedFault, SimulatedSettings

_FIRST_FAULT_S = 20.0
_FAULT_LASTS_S = 90.0
_FAULT_EVERY_S = 300.0
_KINDS: tuple[FaultKind, ...] = ("rub", "bearing", "cavitation")
_TIMES_EACH = 2
_READY_WITHIN_S = 30.0
AGAIN_S = 2.0
"""The pause before a page that has ended is started again."""


def show_page(out: Path, seed: int, listen: str, report: Callable[[str], None]) -> None:
    """Train, monitor three simulated pumps, and serve the page until the process is stopped.

    ``report`` prints a line; the address of the page is one of them. Raises as ``demo``, and
    ``ServiceUnavailableError`` when the page or the daemon does not start, or the daemon has
    ended. A page that ends is started again.
    """
    with demo_folder(out):
        prepare(out, seed, report)
        _keep_as_learned(out)
        _serve(out, seed, listen, report)


def _keep_as_learned(out: Path) -> None:
    try:
        keep_as_learned(out / RECORDINGS_FOLDER, out, MACHINE)
    except OSError as error:
        raise ServiceUnavailableError(
            f"--out {out}: the sound for relearning cannot be written: {error.strerror}"
        ) from error


def _serve(out: Path, seed: int, listen: str, report: Callable[[str], None]) -> None:
    with EmbeddedBroker() as broker:
        config, log = out / "config.toml", out / "daemon.log"
        text = configuration(
            broker.port, out / "bundle", machines(seed), listen=listen, relearned=[MACHINE]
        )
        config.write_text(text, encoding="utf-8")
        with running_daemon(config, log), suppress(KeyboardInterrupt):
            keep_page(config, out / "web.log", report)


def keep_page(config: Path, log: Path, report: Callable[[str], None]) -> NoReturn:
    """Serve the page for ever, and start it again when it has ended: the monitoring continues.

    Raises ``ServiceUnavailableError`` when it does not start the first time.
    """
    with _page(config, log) as page:
        report(f"the page is at {_address(page, log)} (stop with Ctrl+C)")
        for line in _hints(config):
            report(line)
        status = page.wait()
    while True:
        report(f"the page ended with status {status} ({log}); the monitoring continues")
        time.sleep(AGAIN_S)
        with _page(config, log) as page:
            try:
                report(f"the page was started again: it is at {_address(page, log)}")
            except ServiceUnavailableError as error:
                report(str(error))
                stopped(page)
            status = page.wait()


def _hints(config: Path) -> Iterator[str]:
    yield (
        f'"{MACHINE}" has a fault after {_FIRST_FAULT_S:g} s, and one every '
        f"{_FAULT_EVERY_S / 60:g} minutes; each kind comes twice"
    )
    yield (
        "to try relearning: label an alert as a false alarm, then press Relearn on the page of the "
        "machine; it takes about two minutes"
    )
    program = Path(sys.executable).with_name("auscult")
    yield f"in another terminal: {program} status --config {config}"


def machines(seed: int) -> dict[str, SimulatedSettings]:
    """The machines by id. All are the unit whose sound was learned."""
    n_faults = _TIMES_EACH * len(_KINDS)
    faults = tuple(
        SimulatedFault(
            kind=_KINDS[number // _TIMES_EACH],
            onset_s=_FIRST_FAULT_S + number * _FAULT_EVERY_S,
            end_s=_FIRST_FAULT_S + number * _FAULT_EVERY_S + _FAULT_LASTS_S,
            every_s=n_faults * _FAULT_EVERY_S,
        )
        for number in range(n_faults)
    )
    return {
        MACHINE: SimulatedSettings(unit=seed, seed=2 * seed + 1, faults=faults),
        f"{MACHINE}-2": SimulatedSettings(unit=seed, seed=2 * seed + 2),
        f"{MACHINE}-3": SimulatedSettings(unit=seed, seed=2 * seed + 3, runs_s=100.0, rests_s=50.0),
    }


@contextmanager
def _page(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603  # this program
            [sys.executable, "-m", "monitor", "web", "--config", str(config)],
            stderr=stderr,
            process_group=0,
        )
    try:
        yield process
    finally:
        stopped(process)


def _address(page: subprocess.Popen[bytes], log: Path) -> str:
    """The address that the process has printed.

    Raises ``ServiceUnavailableError`` with its last line when it does not start.
    """
    deadline_s = time.monotonic() + _READY_WITHIN_S
    while True:
        text = log.read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"the page is at (\S+)", text):
            return found[1]
        if page.poll() is not None or time.monotonic() > deadline_s:
            last_line = text.strip().splitlines()[-1:]
            raise ServiceUnavailableError(f"the page did not start: {' '.join(last_line)}")
        time.sleep(0.05)
