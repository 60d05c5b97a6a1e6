"""Commands that are interrupted, or have no standard files, at a bad moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import auscult
from tests.daemons import ROOT


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program that sends itself a signal."""
    return subprocess.run(
        [sys.executable, "-c", "import os, signal, sys, time\n" + code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=50,
    )


_INTERRUPTED_IN_A_DESTRUCTOR = """
import monitor.commands.check
from monitor.cli import main

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), {number})
        time.sleep(0)

def check(*_, **__):
    dropped = Dropped()
    del dropped
    time.sleep(40)

monitor.commands.check.check = check
main(["check"])
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_a_signal_in_a_destructor_ends_the_command(number: signal.Signals, status: int) -> None:
    """Python drops such an exception: the command would continue for hours."""
    done = run(_INTERRUPTED_IN_A_DESTRUCTOR.format(number=int(number)))
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr


def test_an_interruption_while_a_package_is_loaded_is_no_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl+C in the first second would look like a broken installation."""

    def load(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr("monitor.commands.check.check", load)
    outcome = auscult("check")
    assert (outcome.status, outcome.err) == (130, "")


_INTERRUPTED_AT_THE_START = """
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from monitor.__main__ import main
main()
"""


def test_an_interruption_at_the_start_has_no_traceback() -> None:
    """Ctrl+C directly after the return key would look like a fault."""
    done = run(_INTERRUPTED_AT_THE_START)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_a_full_disk_behind_standard_error_keeps_the_exit_status() -> None:
    """The status would be 1, which means an alert to a script with `--fail-on-alert`."""
    command = [sys.executable, "-m", "monitor", "check", "--bogus"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stderr=full, check=False, cwd=ROOT, timeout=50)
    assert done.returncode == 64


def test_standard_files_that_are_closed_are_opened_before_others(tmp_path: Path) -> None:
    """A database would be standard error, and what libraries print there would damage it."""
    code = (
        "import sys; from monitor.__main__ import _open_standard_files as prepare; prepare()\n"
        "found = [open(sys.argv[1], 'w').fileno(), sys.stdout.fileno(), sys.stderr.fileno()]\n"
        "open(sys.argv[2], 'w').write(repr(found[0] > 2 and found[1:] == [1, 2]))"
    )

    def close_all() -> None:
        for number in range(3):
            os.close(number)

    files = [str(tmp_path / name) for name in ("database", "result")]
    subprocess.run(
        [sys.executable, "-c", code, *files],
        check=True,
        cwd=ROOT,
        timeout=50,
        preexec_fn=close_all,
    )
    assert Path(files[1]).read_text() == "True"
