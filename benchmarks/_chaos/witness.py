"""The real daemon with a witness at its two borders, and with appointed moments to die.

    python -m benchmarks._chaos.witness FOLDER run --config config.toml

What the detector decides and what ``Outbox.append`` returns is written to
``FOLDER/witness`` as it happens, past the outbox and everything behind it. A file
``FOLDER/appointment`` names a point in the program and a delay in microseconds: the
process kills itself with SIGKILL that long after it next comes there.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, get_args

from monitor.alerts import Alert, AlertDraft
from monitor.cli import main
from monitor.detection.detector import Detector
from monitor.domain import Decision, Score
from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.messages import Message
from monitor.outbox.queue import Outbox
from monitor.outbox.store import OutboxStore

Point = Literal["decided", "begun", "before commit", "committed", "sent", "acknowledged"]
POINTS: tuple[Point, ...] = get_args(Point)
"""After the detector's decision; inside, at the end of and after the transaction that makes
it durable; after the alert went to the socket; before it is forgotten."""


class Witness:
    """Lines in a file that survive SIGKILL, and the appointments."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "witness", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._appointment = folder / "appointment"
        self._life = f"{os.getpid()}-{time.monotonic_ns()}"

    def write(self, event: str, **fields: Any) -> None:
        """One line with one write, so that it is there whole or not at all."""
        line = json.dumps({"event": event, "life": self._life, **fields})
        os.write(self._file, line.encode() + b"\n")

    def reached(self, point: Point) -> None:
        """Die if that is appointed here."""
        if not self._appointment.exists():
            return
        try:
            where, delay_us = self._appointment.read_text().split(",")
            if where != point:
                return
            self._appointment.unlink()
        except (OSError, ValueError):  # withdrawn meanwhile
            return
        if not float(delay_us):
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Thread(target=_die, args=(float(delay_us) / 1e6,), daemon=True).start()


def _die(after_s: float) -> None:
    time.sleep(after_s)
    os.kill(os.getpid(), signal.SIGKILL)


def attend(witness: Witness) -> None:
    """Put the witness between the detector and the outbox, and the points everywhere."""
    push, append, acknowledge = Detector.push, Outbox.append, Outbox.acknowledge
    transaction, send = OutboxStore.transaction, MqttConnection.send

    def watched_push(self: Detector, score: Score) -> Decision | None:
        decision = push(self, score)
        if decision is not None:
            machine = threading.current_thread().name.removeprefix("machine-")
            witness.write("decided", machine=machine, kind=decision.kind, score=decision.score)
            witness.reached("decided")
        return decision

    def watched_append(self: Outbox, draft: AlertDraft) -> Alert:
        alert = append(self, draft)
        witness.write(
            "returned",
            machine=alert.machine,
            kind=alert.kind,
            score=alert.score,
            event_id=alert.event_id,
            sequence=alert.sequence,
            in_memory=self.health().unwritten > 0,
        )
        return alert

    @contextlib.contextmanager
    def watched_transaction(self: OutboxStore) -> Iterator[None]:
        with transaction(self):
            witness.reached("begun")
            yield
            witness.reached("before commit")
        witness.reached("committed")

    def watched_send(self: MqttConnection, message: Message) -> int:
        mid = send(self, message)
        if message.topic.endswith("/alert"):
            witness.reached("sent")
        return mid

    def watched_acknowledge(self: Outbox, event_id: str) -> None:
        witness.reached("acknowledged")
        acknowledge(self, event_id)

    def replaced_transaction(self: OutboxStore) -> AbstractContextManager[None]:
        return watched_transaction(self)

    for owner, name, function in (
        (Detector, "push", watched_push),
        (Outbox, "append", watched_append),
        (Outbox, "acknowledge", watched_acknowledge),
        (OutboxStore, "transaction", replaced_transaction),
        (MqttConnection, "send", watched_send),
    ):
        setattr(owner, name, function)


if __name__ == "__main__":
    attend(Witness(Path(sys.argv.pop(1))))
    main()
