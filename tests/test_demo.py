"""The demo: the main task with embedded parts, and when it succeeds."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.demo import page
from monitor.demo.daemon import configuration, running_daemon
from monitor.demo.folder import demo_folder
from monitor.demo.page import machines
from monitor.demo.run import DemoResult, learn
from monitor.errors import ServiceUnavailableError, UsageError
from monitor.sources.settings import SimulatedSettings
from tests.bundles import make_bundle
from tests.command_line import process
from tests.payload_check import check_message
from tests.waiting import wait_for
from training.sound.request import AudioRequest

ROOT = Path(__file__).resolve().parent.parent
WITHOUT_TRAINING = """
import sys
from contextlib import nullcontext
from pathlib import Path
from monitor.demo import page
page.prepare = lambda *_: None
page.keep_as_learned = lambda *_: None
page.demo_folder = lambda _: nullcontext()
page.show_page(Path(sys.argv[1]), 0, "127.0.0.1:0", lambda line: print(line, flush=True))
"""


def received(*alerts: tuple[str, float]) -> DemoResult:
    result = DemoResult()
    for kind, at_s in alerts:
        alert: dict[str, Any] = {"kind": kind, "at": "", "score": 9.0, "threshold": 5.0}
        bands = {} if kind == "cleared" else {"bands_hz": [[1_800, 2_100]]}
        result.take(alert | bands, at_s, lambda _line: None)
    return result


@pytest.mark.parametrize(
    ("alerts", "good"),
    [
        ([("raised", 13.0), ("cleared", 27.0)], True),
        ([("raised", 13.0), ("updated", 20.0), ("cleared", 27.0)], True),
        ([], False),
        ([("raised", 13.0)], False),
        ([("raised", 5.0), ("cleared", 27.0)], False),
        ([("raised", 22.0), ("cleared", 27.0)], False),
        ([("raised", 13.0), ("cleared", 18.0)], False),
        ([("raised", 13.0), ("cleared", 27.0), ("raised", 28.0)], False),
        ([("raised", 13.0), ("raised", 14.0), ("cleared", 27.0)], False),
    ],
)
def test_the_demo_succeeds_only_if_the_fault_is_raised_and_cleared(
    alerts: list[tuple[str, float]], good: bool
) -> None:
    """The demo would succeed with a false alarm or a missed fault."""
    assert received(*alerts).good is good


def test_a_daemon_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    """The demo would wait half a minute and give no reason."""
    config = tmp_path / "config.toml"
    config.write_text(configuration(1883, tmp_path / "no bundle", {"m": SimulatedSettings()}))
    with (
        pytest.raises(ServiceUnavailableError, match=r"did not start: .*no such bundle"),
        running_daemon(config, tmp_path / "daemon.log"),
    ):
        pass


def test_the_configuration_of_the_page_is_short(tmp_path: Path) -> None:
    """A reader would see hundreds of lines of faults."""
    text = configuration(
        1883, tmp_path / "bundle", machines(0), listen="x", relearned=["demo-pump"]
    )
    assert text.count("\n") < 150


def test_every_demo_begins_without_the_files_of_the_one_before(tmp_path: Path) -> None:
    """Alerts and labels of an earlier demo would be shown, or bundles fill the disk."""
    out = tmp_path / "demo"
    for _ in range(2):
        with demo_folder(out):
            assert [one.name for one in out.iterdir()] == ["auscult-demo.txt"]
            (out / "state" / "learning").mkdir(parents=True)
            (out / "demo.png").touch()


def test_the_demo_does_not_touch_other_files(tmp_path: Path) -> None:
    """The configuration and the state of a real daemon would be overwritten."""
    (tmp_path / "config.toml").write_text("mine")
    with pytest.raises(UsageError, match="has files that are not of a demo"), demo_folder(tmp_path):
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["config.toml"]
    assert (tmp_path / "config.toml").read_text() == "mine"


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    """The second demo would delete the state of the daemon of the first one."""
    with demo_folder(tmp_path / "demo"):
        (tmp_path / "demo" / "config.toml").touch()
        with pytest.raises(ServiceUnavailableError, match="another demo"):
            demo_folder(tmp_path / "demo").__enter__()
        assert (tmp_path / "demo" / "config.toml").exists()


def test_a_page_that_ends_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the page would stop the monitoring, although the README says that it cannot."""
    starts = iter(["the page is at http://127.0.0.1:1/", "no port", "the page is at http://a/", ""])
    lines: list[str] = []

    @contextmanager
    def ends_at_once(_config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        if not (printed := next(starts)):
            raise KeyboardInterrupt
        log.write_text(printed)
        with subprocess.Popen([sys.executable, "-c", "import sys; sys.exit(3)"]) as page:
            page.wait()
            yield page

    monkeypatch.setattr(page, "_page", ends_at_once)
    monkeypatch.setattr(page, "AGAIN_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        page.keep_page(tmp_path / "config.toml", tmp_path / "web.log", lines.append)
    ended = f"the page ended with status 3 ({tmp_path / 'web.log'}); the monitoring continues"
    assert lines[0] == "the page is at http://127.0.0.1:1/ (stop with Ctrl+C)"
    assert lines[4:] == [
        ended,
        "the page did not start: no port",
        ended,
        "the page was started again: it is at http://a/",
        ended,
    ]


def test_the_training_follows_the_environment_as_the_daemon_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The threshold would be calibrated for another detector than that of the daemon."""
    requests: list[AudioRequest] = []

    def interrupted(request: AudioRequest) -> None:
        requests.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr("training.sound.train.train_audio", interrupted)
    monkeypatch.setenv("AUSCULT_DETECTOR__MIN_FAULT_S", "5")
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "recordings", tmp_path / "bundle", seed=0)
    assert requests[0].settings.detector.min_fault_s == 5.0


@pytest.mark.slow
def test_the_demo_shows_its_machines_on_a_page_until_it_is_stopped(tmp_path: Path) -> None:
    """One command would not lead to a live machine in a browser, or leave processes behind."""
    make_bundle(tmp_path / "bundle")
    log = tmp_path / "demo.log"
    with subprocess.Popen(
        [sys.executable, "-c", WITHOUT_TRAINING, str(tmp_path)],
        cwd=ROOT,
        stdout=log.open("wb"),
        start_new_session=True,  # to end all of it if the test fails
    ) as demo:
        try:
            (address,) = wait_for(lambda: re.findall(r"the page is at (\S+)", log.read_text()))
            shown = httpx.get(address + "api/overview", timeout=10).json()
            assert {one["id"] for one in shown["machines"]} == set(machines(0))
            assert shown["daemon"]["config"] == str(tmp_path / "config.toml")
            (command,) = wait_for(
                lambda: re.findall(r"in another terminal: (.+)\n", log.read_text())
            )
            status = subprocess.run(
                shlex.split(command), capture_output=True, text=True, timeout=30, check=True
            )
            assert all(machine in status.stdout for machine in machines(0))
            os.killpg(demo.pid, signal.SIGINT)
            assert demo.wait(20) == 0
        finally:
            with suppress(ProcessLookupError):
                os.killpg(demo.pid, signal.SIGKILL)
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_demo_detects_its_fault_and_raises_no_other_alert(tmp_path: Path) -> None:
    """The demo would fail."""
    done = process("demo", "--out", tmp_path, "--seed", "3", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["good"]
    kinds = [alert["kind"] for alert in result["alerts"]]
    assert [kind for kind in kinds if kind != "updated"] == ["raised", "cleared"]
    for alert in result["alerts"]:  # on a busy computer, the diagnosis comes too late
        for finding in alert.get("findings", ())[:1]:
            assert finding["kind"] == "impacts"
            assert [fit["cause"] for fit in finding["fits"]] == ["outer race of 6205"]
    for alert in result["alerts"]:
        check_message("BASE/m/alert", json.dumps(alert).encode())
    assert any(low < 3_800 and high > 2_900 for low, high in result["alerts"][0]["bands_hz"])
    assert len(result["scores"]) > 20
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
