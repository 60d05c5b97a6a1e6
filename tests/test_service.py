"""The daemon's main loop: when it notifies the watchdog, and reloads that fail."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from monitor.clock import SYSTEM_CLOCK
from monitor.errors import ConfigError
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.settings import MqttSettings
from monitor.outbox.queue import Outbox
from monitor.pipeline import Pipeline
from monitor.service.info import daemon_info
from monitor.service.machine_plan import MachinePlan
from monitor.service.main_loop import MainLoop, Reading
from tests.mosquitto import Mosquitto, Subscriber
from tests.running_service import RunningService
from tests.scripted_machines import plan
from tests.waiting import wait_for


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningService]:
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Outbox(tmp_path / "outbox.sqlite3") as outbox,
    ):
        one = RunningService(tmp_path, outbox, broker.settings())
        one.delivery.start()
        one.thread.start()
        try:
            yield one
        finally:
            one.stop()


def test_a_hung_pipeline_ends_the_watchdog_notifications(
    running: RunningService, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that hangs would no longer be monitored while the service looks healthy."""
    hanging, release = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        hanging.set()
        release.wait(30)
        raise RuntimeError("released")

    monkeypatch.setattr(Pipeline, "push", hang)
    assert running.notifies_watchdog()
    running.supervisor.apply([replace(plan(bundle, Network(bundle)), stall_limit_s=0.3)])
    assert hanging.wait(10)
    wait_for(lambda: not running.notifies_watchdog())
    release.set()
    wait_for(running.notifies_watchdog)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # meant to
def test_a_dead_publisher_ends_the_watchdog_notifications(
    running: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alerts would never be sent while the service looks healthy."""
    wait_for(lambda: "connected" in running.delivery.summary())
    assert running.notifies_watchdog()

    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(MqttConnection, "poll", die)
    wait_for(lambda: not running.notifies_watchdog())


def test_an_unreachable_broker_does_not_end_the_watchdog_notifications(tmp_path: Path) -> None:
    """An unreachable broker would restart the service again and again."""
    with Outbox(tmp_path / "outbox.sqlite3") as outbox:
        one = RunningService(tmp_path, outbox, MqttSettings(host="127.0.0.1", port=1))
        one.delivery.start()
        one.thread.start()
        wait_for(lambda: one.manager.has_received("refused"))
        assert one.notifies_watchdog()
        one.stop()


@pytest.mark.parametrize(
    "error", [ConfigError("line 3: no such key"), RuntimeError("a bug of ours"), OSError(5, "I/O")]
)
def test_a_failed_reload_changes_nothing_and_reports_why(
    running: RunningService, bundle: Bundle, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """A configuration that triggers a bug would end the monitoring of all machines."""

    def fail() -> Reading:
        raise error

    running.supervisor.apply([plan(bundle, Network(bundle))])
    before = running.supervisor.machines["m"]
    running.reread = fail
    running.signals._commands.put("reload")
    wait_for(lambda: running.manager.has_received("RELOAD REFUSED"))
    assert str(error) in caplog.text
    assert running.supervisor.machines["m"] is before
    assert running.notifies_watchdog()


def test_coverage_is_in_the_journal_by_the_hour(
    running: RunningService,
    bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The journal would not show how much of a night was monitored."""
    monkeypatch.setattr(running.service, "_coverage_due_s", time.monotonic())
    monkeypatch.setattr(MainLoop, "COVERAGE_INTERVAL_S", 0.2)
    with caplog.at_level(logging.INFO):
        running.supervisor.apply([plan(bundle, Network(bundle))])
        wait_for(lambda: caplog.messages.count("coverage") >= 3)
    record = next(one for one in caplog.records if one.message == "coverage")
    assert vars(record)["machine"] == "m"
    assert {"monitored_s", "degraded_s", "lost_s"} <= set(vars(record))


def test_the_published_start_follows_a_clock_that_is_set(
    tmp_path: Path, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board that gets its time after the start shows a start 45 days ago."""
    with Mosquitto(tmp_path / "broker") as broker, Subscriber(broker) as subscriber:
        one = RunningService(tmp_path, outbox, broker.settings())
        plans: list[MachinePlan] = []
        one.delivery.announce(partial(daemon_info, plans, SYSTEM_CLOCK.steady_s()), [])
        one.delivery.start()
        one.thread.start()
        wait_for(lambda: subscriber.payloads("/info"))
        right_s, set_by_s = SYSTEM_CLOCK.unix_s, 45 * 86_400.0
        monkeypatch.setattr(SYSTEM_CLOCK, "unix_s", lambda: right_s() + set_by_s)
        wait_for(lambda: len(subscriber.payloads("/info")) == 2)
        one.stop()
        before, after = (
            datetime.fromisoformat(json.loads(info)["started_at"]).timestamp()
            for info in subscriber.payloads("/info")
        )
    assert after - before == pytest.approx(set_by_s, abs=1.0)
