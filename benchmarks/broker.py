"""Measure what one mosquitto carries: the messages of a thousand machines and more.

    python -m benchmarks.broker [--machines 100 300 1000 3000] [--seconds 20]

Simulated daemons of 20 machines each publish a score a second (QoS 0), and an alert a minute (QoS
1) for each machine, a thousand times as many alerts as a plant has. A subscriber receives all of
it. The delay is from the publication to the subscriber. Then several workers share the alerts, and
each takes a time for a message: once by a shared subscription (MQTT 5), once with the daemons
divided between them. A message is out of order if a worker is done with it after a later one of
the same machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
import psutil
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks._page import write_section
from tests.mosquitto import Mosquitto

PAGE = Path(__file__).resolve().parent.parent / "docs" / "fleet.md"
MACHINES = (100, 300, 1000, 3000)
MACHINES_PER_DAEMON = 20
SCORE_EVERY_S, ALERT_EVERY_S = 1.0, 60.0
_SAVES_RARELY = "autosave_on_changes false\nautosave_interval 1800"
"""As mosquitto does without a configuration; for tests it saves every message."""
N_WORKERS, LONGEST_WORK_S = 4, 0.02
HEADER = (
    "| machines | messages a second | mosquitto, share of a core | memory | delay of alerts, p99 "
    "| lost scores | lost alerts |\n|---|---|---|---|---|---|---|"
)
_FIELDS = {
    "score": 12.5, "ratio": 0.71, "threshold": 17.5, "loss": 0.52, "level_dbfs": -31.2,
    "state": "ok", "operation": "running", "at": "2026-11-30T10:15:30.250Z", "peak_score": 14.0,
}  # fmt: skip
"""About the size of a published score."""


def client_of(port: int, name: str) -> paho.Client:
    """A connected client whose loop runs."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5
    )
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def publish(port: int, n_machines: int, seconds: float) -> int:
    """Be the daemons for some time; returns how many alerts were published."""
    n_daemons = -(-n_machines // MACHINES_PER_DAEMON)
    daemons = [client_of(port, f"daemon-{number}") for number in range(n_daemons)]
    n_rounds = round(seconds / SCORE_EVERY_S)
    begun_s, n_alerts, step_s = time.monotonic(), 0, SCORE_EVERY_S / n_machines
    for turn in range(n_rounds * n_machines):
        time.sleep(max(0.0, begun_s + turn * step_s - time.monotonic()))
        second, machine = divmod(turn, n_machines)
        number = machine // MACHINES_PER_DAEMON
        topic = f"auscult/node-{number}/m{machine}"
        body = {**_FIELDS, "sequence": second, "sent_s": time.monotonic()}
        daemons[number].publish(f"{topic}/score", json.dumps(body))
        if (second + machine) % round(ALERT_EVERY_S / SCORE_EVERY_S) == 0:
            daemons[number].publish(f"{topic}/alert", json.dumps(body), qos=1).wait_for_publish(60)
            n_alerts += 1
    for one in daemons:
        one.disconnect()
        one.loop_stop()
    return n_alerts


@dataclass
class Arrived:
    """What a subscriber received: the number of scores, and the delay of each alert."""

    n_scores: int = 0
    alert_delays_s: list[float] = field(default_factory=list)


def receive(port: int, ready: Connection) -> None:
    """Be a subscriber to everything, in a process of its own, until the other end sends a word."""
    received = Arrived()

    def take(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("/alert"):
            sent_s = json.loads(message.payload)["sent_s"]
            received.alert_delays_s.append(time.monotonic() - sent_s)
        else:
            received.n_scores += 1

    client = client_of(port, "subscriber")
    client.on_message = take
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.subscribe("auscult/#", qos=1)
    subscribed.wait(10)
    ready.send("ready")
    ready.recv()
    client.disconnect()
    client.loop_stop()
    ready.send(received)


def carried(folder: Path, n_machines: int, seconds: float) -> str:
    """A row of the table."""
    context = multiprocessing.get_context("spawn")
    with Mosquitto(folder / str(n_machines), extra=_SAVES_RARELY) as broker:
        ours, theirs = context.Pipe()
        listener = context.Process(target=receive, args=(broker.port, theirs), daemon=True)
        listener.start()
        ours.recv()
        process = psutil.Process(broker.pid)
        before = process.cpu_times()
        begun_s = time.monotonic()
        n_alerts = publish(broker.port, n_machines, seconds)
        took_s = time.monotonic() - begun_s
        after, memory_mb = process.cpu_times(), process.memory_info().rss / 1e6
        time.sleep(2.0)
        ours.send("end")
        received: Arrived = ours.recv()
        listener.join(10)
    n_scores = round(seconds / SCORE_EVERY_S) * n_machines
    used_s = after.user + after.system - before.user - before.system
    delay_ms = 1000.0 * float(np.percentile(received.alert_delays_s, 99))
    return (
        f"| {n_machines} | {(n_scores + n_alerts) / took_s:.0f} | {100 * used_s / took_s:.1f} % "
        f"| {memory_mb:.0f} MB | {delay_ms:.0f} ms | {n_scores - received.n_scores} "
        f"| {n_alerts - len(received.alert_delays_s)} |"
    )


@dataclass
class Done:
    """The ``sequence`` of each machine's messages, in the order in which workers were done."""

    guard: threading.Lock = field(default_factory=threading.Lock)
    sequences: dict[str, list[int]] = field(default_factory=dict)

    def take(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        sequence = json.loads(message.payload)["sequence"]
        time.sleep(LONGEST_WORK_S * (7 * sequence % 10) / 10)  # what a worker does with an alert
        with self.guard:
            self.sequences.setdefault(message.topic, []).append(sequence)

    @property
    def n_messages(self) -> int:
        return sum(map(len, self.sequences.values()))

    @property
    def n_out_of_order(self) -> int:
        """Messages that were done after a later one of their machine."""
        return sum(int((np.maximum.accumulate(one) > one).sum()) for one in self.sequences.values())


def divided(folder: Path, filters: Sequence[Sequence[str]], n_daemons: int, n_each: int) -> Done:
    """Workers with these subscriptions receive ``n_each`` alerts of one machine a daemon."""
    done = Done()
    with Mosquitto(folder, extra=_SAVES_RARELY) as broker:
        workers = [client_of(broker.port, f"worker-{number}") for number in range(len(filters))]
        for worker, topics in zip(workers, filters, strict=True):
            worker.on_message = done.take
            subscribed = threading.Event()
            worker.on_subscribe = partial(_set, subscribed)
            worker.subscribe([(topic, 1) for topic in topics])
            subscribed.wait(10)
        source = client_of(broker.port, "source")
        for sequence in range(n_each):
            for number in range(n_daemons):
                topic = f"auscult/node-{number}/m/alert"
                source.publish(topic, json.dumps({"sequence": sequence}), qos=1)
        deadline_s = time.monotonic() + 120.0
        while done.n_messages < n_daemons * n_each and time.monotonic() < deadline_s:
            time.sleep(0.05)
        for one in (*workers, source):
            one.disconnect()
            one.loop_stop()
    return done


def _set(event: threading.Event, *_: Any) -> None:
    event.set()


def main() -> None:
    """Measure, print, and write to the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machines", type=int, nargs="+", default=list(MACHINES))
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    n_daemons, n_each = 7, 50  # no multiple of the workers: the broker gives them turns
    shared = [["$share/alarms/auscult/+/+/alert"]] * N_WORKERS
    apart = [
        [f"auscult/node-{number}/+/alert" for number in range(worker, n_daemons, N_WORKERS)]
        for worker in range(N_WORKERS)
    ]
    lines = [HEADER]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lines += [carried(folder, count, options.seconds) for count in options.machines]
        lines += ["", f"| {N_WORKERS} workers | messages | out of order |", "|---|---|---|"]
        for name, filters in (("a shared subscription", shared), ("daemons divided", apart)):
            done = divided(folder / name.replace(" ", "-"), filters, n_daemons, n_each)
            lines.append(f"| {name} | {done.n_messages} | {done.n_out_of_order} |")
    text = "\n".join(lines)
    print(text)
    if tuple(options.machines) == MACHINES:
        write_section("broker", text, PAGE)


if __name__ == "__main__":
    main()
