"""A record of decisions and alerts in the real daemon, and moments to kill itself.

Every decision of the detector and every result of ``Outbox.append`` is written to
``FOLDER/witness``, independently of the outbox, and so is every alert that is sent, with the
time of the daemon's clock. A file ``FOLDER/appointment`` names a
point in the program and a delay in microseconds: the process kills itself with SIGKILL
after this delay when it next reaches the point.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, get_args

from monitor.alerts import Alert, AlertDraft
from monitor.clock import Moment, read_boot_id
from monitor.detection.alert_draft import loud_bands_hz
from monitor.domain import AudioBlock, LogMelBlock
from monitor.features.log_mel_spec import LogMelSpec
from monitor.mqtt.connection import MqttConnection
from monitor.mqtt.messages import Message
from monitor.outbox.memory import OutboxMemory
from monitor.outbox.queue import Outbox
from monitor.outbox.store import OutboxStore
from monitor.pipeline import Pipeline, PipelineOutput
from monitor.service.machine import Machine
from monitor.sources.waiting import Wait

_SPEC = LogMelSpec()

_SAME_MOMENT_S = 0.02
Point = Literal["decided", "begun", "before commit", "committed", "sent", "acknowledged"]
POINTS: tuple[Point, ...] = get_args(Point)
"""After the decision of the detector; inside, at the end of and after the transaction of the
outbox; after the alert was sent; before it is removed from the outbox."""


class Witness:
    """A record in a file that survives SIGKILL, and the moments to kill the process."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "witness", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._appointment = folder / "appointment"
        self._life = f"{os.getpid()}-{time.monotonic_ns()}"

    def write(self, event: str, **fields: Any) -> None:
        """Write one line with one call, so that it is complete or absent."""
        line = json.dumps({"event": event, "life": self._life, **fields})
        os.write(self._file, line.encode() + b"\n")

    def reached(self, point: Point) -> None:
        """Kill the process if this point was chosen."""
        if not self._appointment.exists():
            return
        try:
            where, delay_us = self._appointment.read_text().split(",")
            if where != point:
                return
            self._appointment.unlink()
        except (OSError, ValueError):  # cancelled meanwhile
            return
        if not float(delay_us):
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Thread(target=_die, args=(float(delay_us) / 1e6,), daemon=True).start()


def _die(after_s: float) -> None:
    time.sleep(after_s)
    os.kill(os.getpid(), signal.SIGKILL)


def now() -> dict[str, float | str]:
    """The true time, the time of the wall clock, and the boot.

    Two readings in a row must agree, because a thread may wait between the two clocks.
    """
    before_s = math.nan
    while True:
        at_s, clock_s = time.monotonic(), time.time()
        if abs(clock_s - at_s - before_s) < _SAME_MOMENT_S:
            return {"at_s": at_s, "clock_s": clock_s, "boot": read_boot_id()}
        before_s = clock_s - at_s


def attend(witness: Witness) -> None:
    """Insert the record between detector and outbox, and the points into the program."""
    push, finish, step = Pipeline.push, Pipeline.finish, Machine.step
    stepping = threading.local()
    append, acknowledge = Outbox.append, Outbox.acknowledge
    corrected = OutboxMemory.corrected
    dated_s: dict[str, tuple[float, float]] = {}
    transaction, send = OutboxStore.transaction, MqttConnection.send

    def record(output: PipelineOutput) -> PipelineOutput:
        """Only decisions about alerts: the detector of warnings decides too."""
        for decision in output.decisions:
            bands_hz = loud_bands_hz(decision.band_error, _SPEC)
            witness.write(
                "decided",
                machine=stepping.machine,
                kind=decision.kind,
                score=decision.score,
                threshold=decision.threshold,
                bands_hz=bands_hz if decision.kind != "cleared" else (),
            )
            witness.reached("decided")
        return output

    def watched_step(self: Machine) -> Wait | None:
        stepping.machine = self.id
        return step(self)

    def watched_push(self: Pipeline, block: AudioBlock | LogMelBlock) -> PipelineOutput:
        return record(push(self, block))

    def watched_finish(self: Pipeline) -> PipelineOutput:
        return record(finish(self))

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
            threshold=alert.threshold,
            bands_hz=alert.bands_hz,
            by_clock=alert.dated_by_clock,
            alert_id=alert.alert_id,
            evidence={"id": alert.evidence.id} if alert.evidence is not None else None,
            **now(),
        )
        return alert

    def watched_corrected(self: OutboxMemory, alert: Alert, appended: Moment) -> Alert:
        begun_s = time.monotonic()
        dated = corrected(self, alert, appended)
        dated_s[alert.event_id] = begun_s, time.monotonic()
        return dated

    @contextlib.contextmanager
    def watched_transaction(self: OutboxStore) -> Iterator[None]:
        with transaction(self):
            witness.reached("begun")
            yield
            witness.reached("before commit")
        witness.reached("committed")

    def watched_send(self: MqttConnection, message: Message) -> int:
        if not message.topic.endswith("/alert"):
            return send(self, message)
        alert = json.loads(message.payload)
        event_id = alert["event_id"]
        dated = dated_s[event_id]
        witness.write("sent", event_id=event_id, date=alert["at"], dated_s=dated, **now())
        mid = send(self, message)
        witness.reached("sent")
        return mid

    def watched_acknowledge(self: Outbox, event_id: str, *, is_recorded: bool = True) -> None:
        witness.reached("acknowledged")
        acknowledge(self, event_id, is_recorded=is_recorded)

    def replaced_transaction(self: OutboxStore) -> AbstractContextManager[None]:
        return watched_transaction(self)

    for owner, name, function in (
        (Machine, "step", watched_step),
        (Pipeline, "push", watched_push),
        (Pipeline, "finish", watched_finish),
        (Outbox, "append", watched_append),
        (Outbox, "acknowledge", watched_acknowledge),
        (OutboxMemory, "corrected", watched_corrected),
        (OutboxStore, "transaction", replaced_transaction),
        (MqttConnection, "send", watched_send),
    ):
        setattr(owner, name, function)
