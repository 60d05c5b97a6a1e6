"""A history in memory, and a target that fails and is killed."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, time
from pathlib import Path
from typing import Any

from monitor.alerts import Alert as RealAlert
from monitor.clock import rfc3339
from monitor.errors import MissingInputError
from monitor.evidence.folder import EvidenceFolder
from monitor.history.reader import HistoryReader
from monitor.history.records import ALERT_KINDS, Event
from monitor.notify.folding import Interest
from monitor.notify.ledger import Ledger
from monitor.notify.ledger_file import LedgerFile, decoded, encoded
from monitor.notify.plan import Plan
from monitor.notify.quiet_hours import QuietTime
from monitor.notify.schedule import Schedule
from monitor.notify.sending import Outcome
from monitor.notify.target import Target
from monitor.notify.wording import Message
from monitor.outbox.waiting import WaitingAlerts
from tests.clocks import START_UNIX_S, FakeClock

ALERT_ID = "019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d02"
QUIET = QuietTime(start=time(8, 30), end=time(11), zone=UTC)
"""The clock of the tests begins at 08:00."""


def plan(
    quiet: QuietTime | None = None, *, ended: bool = True, min_interval_s: float = 0.0
) -> Plan:
    """A plan for alerts of all machines."""
    return Plan(
        name="phone",
        interest=Interest(ended=ended),
        schedule=Schedule(quiet=quiet, min_interval_s=min_interval_s),
        zone=UTC,
    )


class MemoryHistory(HistoryReader):
    """Events in a list."""

    def __init__(self) -> None:
        super().__init__(Path("no file"))
        self.written: list[Event] = []
        self.asked: list[int] = []
        """After which position events were asked for."""
        self.exists = True

    def _check(self) -> None:
        if not self.exists:
            raise MissingInputError("no history")

    def news(
        self, position: int, *, kinds: Sequence[str] = (), limit: int = 1000
    ) -> tuple[list[Event], int]:
        last = self.last_position()
        if last <= position:
            return [], last
        self.asked.append(position)
        later = (one for one in self.written if one.position > position)
        return [one for one in later if not kinds or one.kind in kinds][:limit], last

    def events(self, *, since_s: float | None = None, **_: Any) -> list[Event]:
        self._check()
        return [one for one in self.written if one.at_unix_s >= (since_s or 0.0)][:1]

    def recorded(self, event_ids: Collection[str]) -> set[str]:
        self._check()
        return {one.event_id for one in self.written} & set(event_ids)

    def last_position(self) -> int:
        self._check()
        return self.written[-1].position if self.written else 0


class MemoryOutbox(WaitingAlerts):
    """Alerts in a list."""

    def __init__(self) -> None:
        super().__init__(Path("no file"))
        self.kept: dict[str, RealAlert] = {}
        self.sequences: dict[str, int] = {}

    def event_ids(self) -> list[str]:
        return list(self.kept)

    def alerts(self, event_ids: Sequence[str]) -> list[RealAlert]:
        return [self.kept[name] for name in event_ids if name in self.kept]

    def last_sequences(self) -> dict[str, int]:
        return dict(self.sequences)


class Killed(BaseException):
    """The process was killed here."""


class MemoryLedger(LedgerFile):
    """The content of a ledger's file, and a place for a kill."""

    def __init__(self) -> None:
        super().__init__(Path("no file"))
        self.content: bytes | None = None
        self.kill: str = ""

    def load(self) -> Ledger | None:
        return None if self.content is None else decoded(self.content)

    def save(self, ledger: Ledger) -> None:
        if self.kill == "before save":
            raise Killed
        self.content = encoded(ledger)
        if self.kill == "after save":
            raise Killed


@dataclass
class Alert:
    """What really happened to one alert: minutes of its beginning and end."""

    alert_id: str
    machine: str
    begin: int
    end: int | None = None
    other_ends: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Sent:
    """A message, when it was sent, and whether a kill came before it."""

    unix_s: float
    steady_s: float
    message: Message
    picture: bytes | None
    after_kill: bool


class World:
    """Machines, their history, and one target that may fail or be killed."""

    def __init__(
        self, plan: Plan, *, exists: bool = True, evidence: Path = Path("no folder")
    ) -> None:
        """``exists``: whether there is a history at the start."""
        self.evidence = EvidenceFolder(evidence)
        self.clock = FakeClock()
        self.history = MemoryHistory()
        self.history.exists = exists
        self.outbox = MemoryOutbox()
        self.ledger: LedgerFile = MemoryLedger()
        self.plan = plan
        self.alerts: list[Alert] = []
        self.sent: list[Sent] = []
        self.is_down = False
        self.is_slow = False
        """A message with a picture takes too long."""
        self.kill = ""
        self.n_kills = 0
        self.refuses = False
        """Whether the disk refuses the history."""
        self.broker_is_down = False
        """Whether the outbox keeps all alerts."""
        self.without_history: set[str] = set()
        """The alerts that were in the outbox in a turn in which the history could not be read."""
        self._held: list[Event] = []
        """What the history gets when the disk accepts it."""
        self._sequences: dict[str, int] = {}
        self._n_events = 0
        self.start()

    def start(self) -> None:
        """Start the process."""
        self.target = Target(
            self.plan,
            history=self.history,
            outbox=self.outbox,
            evidence=self.evidence,
            ledger=self.ledger,
            send=self._send,
            clock=self.clock,
        )
        self.target.begin()

    @property
    def minute(self) -> int:
        """Of the true time."""
        return round((self.clock.now_s - 1000.0) / 60)

    def raised(self, machine: str, minutes_ago: int = 0, **payload: Any) -> Alert:
        """A new alert is written, a minute after what was before."""
        alert = Alert(f"alert {len(self.alerts)} of {machine}", machine, 0)
        self.alerts.append(alert)
        self.happens("raised", alert, minutes_ago=minutes_ago, **payload)
        return alert

    def happens(self, kind: str, alert: Alert, minutes_ago: int = 0, **payload: Any) -> None:
        """A message of an alert is written, a minute after what was before."""
        sequence = self._sequences.get(alert.machine, 0) + 1
        self._sequences[alert.machine] = sequence
        begin = self.minute + 1 if kind == "raised" else alert.begin
        body = {
            "started_at": rfc3339(START_UNIX_S + 60.0 * begin),
            "sequence": sequence,
            "severity": "alarm",
            **payload,
        }
        self._write(kind, alert.machine, alert.alert_id, minutes_ago, payload=body)
        if kind == "raised":
            alert.begin = self.minute
        if kind == "cleared":
            alert.end = self.minute

    def noted(self, kind: str, alert: Alert, **values: Any) -> None:
        """An operator acknowledges or labels an alert."""
        self._write(kind, alert.machine, alert.alert_id, **values)

    def state(self, machine: str, state: str, detail: str = "") -> None:
        """A machine has another state."""
        self._write("state", machine, value=state, payload={"detail": detail})

    def forget_sequences(self) -> None:
        """A daemon with a new state folder counts from 1."""
        self._sequences.clear()

    def _write(
        self, kind: str, machine: str, alert_id: str = "", minutes_ago: int = 0, **values: Any
    ) -> None:
        self.clock.now_s += 60.0
        at_unix_s = START_UNIX_S + 60.0 * (self.minute - minutes_ago)
        event = Event(
            at=rfc3339(at_unix_s),
            at_unix_s=at_unix_s,
            machine=machine,
            kind=kind,
            alert_id=alert_id,
            event_id=f"event {self._n_events}" if kind in ALERT_KINDS else "",
            **{"payload": {}} | values,
        )
        self._n_events += 1
        event.payload.update(alert_id=alert_id, at=event.at)
        if kind in ALERT_KINDS:
            self._keep(event)
        self._held.append(event)
        if not self.refuses:
            self.accept()

    def _keep(self, event: Event) -> None:
        """The outbox has an alert."""
        self.outbox.sequences[event.machine] = event.payload["sequence"]
        self.outbox.kept[event.event_id] = RealAlert(
            kind=event.kind,  # type: ignore[arg-type]  # it is one of an alert
            machine=event.machine,
            at=event.at,
            started_at=event.payload["started_at"],
            score=2.0,
            peak_score=2.0,
            threshold=1.0,
            loss=0.0,
            false_alarms_per_week=1.0,
            bundle_sha256="",
            event_id=event.event_id,
            alert_id=event.alert_id,
            sequence=event.payload["sequence"],
        )

    def accept(self, *, newest_first: bool = False) -> None:
        """The disk accepts the history again."""
        self.refuses = False
        written = self.history.written
        for event in self._held[::-1] if newest_first else self._held:
            position = written[-1].position + 1 if written else 1
            written.append(replace(event, position=position))
            if not self.broker_is_down:
                self.outbox.kept.pop(event.event_id, None)
        self._held = []

    def kill_daemon(self) -> None:
        """What is only in memory is lost; the outbox is compared with the history at the start."""
        self._held = [one for one in self._held if one.kind in ALERT_KINDS]

    def open_alert(self, machine: str) -> Alert | None:
        """The alert of a machine that has not ended."""
        return next(
            (one for one in self.alerts if one.machine == machine and one.end is None), None
        )

    def turn(self, kill: str = "") -> float | None:
        """One turn, in which the process may be killed; then it is started again."""
        self._place(kill)
        if not self.history.exists:
            self.without_history |= {one.alert_id for one in self.outbox.kept.values()}
        try:
            return self.target.turn()
        except Killed:
            self.n_kills += 1
            self.start()
            return 0.0
        finally:
            self._place("")

    def _place(self, kill: str) -> None:
        self.kill = kill
        if isinstance(self.ledger, MemoryLedger):
            self.ledger.kill = kill

    def settle(self) -> None:
        """Turns until nothing is due now."""
        for _ in range(1000):
            pause_s = self.turn()
            if pause_s is None:
                return
            self.clock.now_s += max(pause_s, 0.001)  # a rest of rounding would not move it
        raise AssertionError("the target is never idle")

    def _send(self, message: Message, picture: bytes | None) -> Outcome:
        if self.kill == "before send":
            raise Killed
        if self.is_down:
            return Outcome(ok=False, detail="it is down")
        if self.is_slow and picture is not None:
            return Outcome(ok=False, detail="no result", is_late=True)
        now = self.clock.now()
        self.sent.append(Sent(now.unix_s, now.steady_s, message, picture, self.n_kills > 0))
        self.n_kills = 0
        if self.kill == "after send":
            raise Killed
        return Outcome(ok=True)


def titles(world: World) -> list[str]:
    """Of the messages so far."""
    return [sent.message.title for sent in world.sent]


def keep_picture(folder: Path, alert_id: str, **more: Any) -> None:
    """The evidence of an alert appears. ``more``: of its metadata."""
    piece = folder / alert_id
    piece.mkdir(exist_ok=True)
    (piece / "0-raised.png").write_bytes(b"picture of " + alert_id.encode())
    (piece / "0-raised.flac").write_bytes(b"sound")
    metadata = {"machine": "pump-7", "moment": "raised", "at": "", "starts_at": "", **more}
    (piece / "0-raised.json").write_text(json.dumps(metadata))
