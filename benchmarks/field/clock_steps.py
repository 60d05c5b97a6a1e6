"""Clocks that are set: by every sign and size, around an alert, connections and restarts.

    python -m benchmarks.field.clock_steps

The daemon's loop, machine, outbox and publisher run on a fake clock, with a real broker. In each
case the sound has one fault, and the clock is set at one moment, or set and set back. A row for
each case: whether a subscriber received the alert raised and cleared, by how much the latest date
was before the clock when it arrived, and what the daemon logged. Ends with status 1 if an alert
was lost or dated in the future, or a step while the daemon runs was not reported.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.field.rows import LogLines, Row, print_table
from monitor.clock import SYSTEM_CLOCK
from monitor.domain import AudioBlock
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.mqtt.settings import MqttSettings
from monitor.outbox.queue import Outbox
from monitor.process.signals import SignalQueue
from monitor.process.systemd import Notifier
from monitor.service.delivery import Delivery
from monitor.service.main_loop import MainLoop
from monitor.service.supervisor import Supervisor
from monitor.sources.protocol import SourceItem
from tests.bundles import make_bundle
from tests.clocks import START_UNIX_S, FakeClock
from tests.mosquitto import Mosquitto, Subscriber
from tests.scripted_machines import RATE_HZ, ScriptedSource, cut, fault_and_back, opening, plan
from tests.waiting import wait_for

DAY_S = 86_400.0
STEPS_S: dict[str, tuple[float, ...]] = {
    "45 days forward": (45 * DAY_S,),
    "45 days back": (-45 * DAY_S,),
    "1 hour forward": (3600.0,),
    "1 hour back": (-3600.0,),
    "2 s forward": (2.0,),
    "2 s back": (-2.0,),
    "20 years forward": (20 * 365 * DAY_S,),
    "back to 1970": (-START_UNIX_S - 1000.0,),
    "1 hour forward, then back": (3600.0, -3600.0),
    "1 hour back, then forward": (-3600.0, 3600.0),
}
MOMENTS_S = {
    "before the alert": 10,
    "during the alert": 35,
    "after the alert, while the broker is away": 60,
    "between two starts of the daemon": 35,
    "between two starts of the computer": 35,
}
"""Seconds of sound before the clock is set. The fault is from 20 to 40 s."""
FUTURE_S = 1.0
"""A smaller step is a correction of the clock, which is not followed."""


def rows(
    folder: Path, steps: Sequence[str] = tuple(STEPS_S), moments: Sequence[str] = tuple(MOMENTS_S)
) -> Iterator[Row]:
    """A row for each step at each moment."""
    bundle = make_bundle(folder / "bundle")
    network = Network(bundle)
    with Mosquitto(folder / "broker") as broker:
        for moment in moments:
            for step in steps:
                number = len(list(folder.glob("case-*")))
                case = Case(folder / f"case-{number}", broker, bundle, network)
                result, wrong = case.run(moment, STEPS_S[step])
                yield Row("clock", f"{step}, {moment}", result, case.message(), wrong=wrong)


class Case:
    """One daemon on a fake clock, and a subscriber to its alerts."""

    def __init__(self, folder: Path, broker: Mosquitto, bundle: Bundle, network: Network) -> None:
        folder.mkdir()
        self._folder, self._broker = folder, broker
        self._plan = plan(bundle, network)
        self._clock = FakeClock()
        self._log = LogLines()
        self._kinds: list[str] = []
        self._latest_s = -float("inf")

    def run(self, moment: str, steps_s: Sequence[float]) -> tuple[str, str]:
        """Play the case; its result, and what is wrong."""
        blocks, at = cut(fault_and_back(), RATE_HZ), MOMENTS_S[moment]
        base = f"auscult/{self._folder.name}"
        settings = self._broker.settings(base_topic=base)
        name = f"subscriber-{self._folder.name}"
        with (
            self._log,
            self._as_system_clock(),
            patch.object(MainLoop, "TICK_S", 0.02),
            Subscriber(self._broker, f"{base}/m/alert", client_id=name) as subscriber,
        ):
            if moment.startswith("between"):
                # The broker is away in the first run, so that the alert waits through both.
                self._daemon(settings, subscriber, blocks[:at], connect=False)
                if "computer" in moment:
                    self._clock.reboot("boot-2")
                    SYSTEM_CLOCK.boot_id = "boot-2"
                self._clock.set_by_s += sum(steps_s)
                self._daemon(settings, subscriber, blocks[at:])
            else:
                is_away = "away" in moment
                self._daemon(settings, subscriber, blocks, at, steps_s, connect=not is_away)
                if is_away:
                    self._daemon(settings, subscriber, [])
        problems = []
        if self._kinds != ["raised", "cleared"]:
            problems.append("alert lost or repeated")
        if self._latest_s > FUTURE_S:
            problems.append("dated in the future")
        is_missed = not moment.startswith("between") and not self._log.has("clock was set")
        if is_missed:
            problems.append("the step was not reported")
        dated = f"dated {-self._latest_s:.0f} s before it arrived"
        return f"{' and '.join(self._kinds) or 'nothing'}, {dated}", ", ".join(problems)

    def message(self) -> str:
        """What the daemon logged about the clock."""
        return "; ".join(line for line in self._log.lines if "clock" in line)

    def _daemon(
        self,
        settings: MqttSettings,
        subscriber: Subscriber,
        blocks: Sequence[AudioBlock],
        at: int = -1,
        steps_s: Sequence[float] = (),
        *,
        connect: bool = True,
    ) -> None:
        """Run the daemon until the sound ends and, if it is connected, all is delivered."""
        with Outbox(self._folder / "outbox.sqlite3") as outbox:
            delivery = Delivery(settings, outbox)
            done_s: list[float] = []

            def script(_stop: threading.Event) -> Iterator[SourceItem]:
                for index, block in enumerate(blocks):
                    self._clock.now_s += 1.0
                    for step_s in steps_s if index == at else ():
                        receive()
                        self._clock.set_by_s += step_s
                        done_s.append(step_s)
                        with contextlib.suppress(AssertionError):
                            wait_for(lambda: self._log.count("clock was set") == len(done_s), 2)
                    yield block
                receive()

            def receive() -> None:
                if connect:
                    wait_for(lambda: outbox.depth() == 0)
                    self._receive(subscriber)

            supervisor = Supervisor(delivery, opening(ScriptedSource(script)))
            service = MainLoop(supervisor, delivery, Notifier({}), _no_reload, lambda _: None)
            if connect:
                delivery.start()
            supervisor.apply([self._plan])
            service.run(SignalQueue(), until_ended=True)
            supervisor.stop()
            delivery.stop()

    def _receive(self, subscriber: Subscriber) -> None:
        """Compare the dates of the alerts that are new at the subscriber with the clock."""
        subscriber.publish(f"auscult/{self._folder.name}/m/alert", b"{}")  # comes after them
        wait_for(lambda: subscriber.payloads("alert")[-1:] == [b"{}"])
        alerts = [json.loads(payload) for payload in subscriber.payloads("alert")]
        for alert in [one for one in alerts if one][len(self._kinds) :]:
            self._kinds.append(alert["kind"])
            for time in (alert["at"], alert["started_at"]):
                at_unix_s = datetime.fromisoformat(time).timestamp()
                self._latest_s = max(self._latest_s, at_unix_s - self._clock.unix_s())

    def _as_system_clock(self) -> Any:
        clock = self._clock
        return patch.multiple(
            SYSTEM_CLOCK, steady_s=clock.steady_s, unix_s=clock.unix_s, boot_id=clock.boot_id
        )


def _no_reload() -> Any:
    raise AssertionError("nothing is reloaded")


def main() -> int:
    """Print the table; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        return print_table(rows(Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
