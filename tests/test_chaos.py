"""A short run of the chaos benchmark: kills, clocks that are set and limits lose no alert."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks._chaos.clocks import WallClock
from benchmarks._chaos.dates import Dates, check_dates
from benchmarks._chaos.evidence import check_evidence
from benchmarks._chaos.ledger import Fault, Record, settle
from benchmarks._chaos.notices import check_notices
from benchmarks._chaos.troubles import plan_troubles
from benchmarks.folder_limits import FolderWatch
from monitor.clock import rfc3339
from tests.daemons import ROOT
from tests.waiting import wait_for

MACHINE = "m0"


def decided(score: float, kind: str = "raised", life: str = "a") -> Record:
    return {"event": "decided", "machine": MACHINE, "kind": kind, "score": score, "life": life}


def returned(score: float, number: int, kind: str = "raised", life: str = "a") -> Record:
    line = decided(score, kind, life) | {"event": "returned", "sequence": number}
    line |= {"event_id": f"e{number}", "in_memory": False}
    return line | {"threshold": 1.0, "bands_hz": [[2400.0, 2600.0]]}


def message(score: float, number: int, kind: str = "raised", **fields: Any) -> Record:
    alert: dict[str, Any] = {"machine": MACHINE, "event_id": f"e{number}", "alert_id": "a"}
    alert |= {"sequence": number, "kind": kind, "score": score, "threshold": 1.0, "bands_hz": []}
    alert |= fields
    return {"event": "message", "topic": f"chaos/{MACHINE}/alert", "payload": json.dumps(alert)}


WHOLE_WITNESS = [
    decided(9.0),
    returned(9.0, 1),
    decided(0.5, "cleared"),
    returned(0.5, 2, "cleared"),
]
WHOLE = [message(9.0, 1), message(0.5, 2, "cleared")]


def test_a_correct_record_has_no_problems() -> None:
    """The benchmark would report problems without a reason."""
    account = settle(WHOLE_WITNESS, [*WHOLE, WHOLE[1]], {})
    assert account.problems == []
    assert (account.lost, account.duplicated, account.received) == (0, 1, 2)


@pytest.mark.parametrize(
    ("messages", "lost"),
    [
        ([WHOLE[0]], 1),
        ([WHOLE[1]], 1),
        ([WHOLE[1], WHOLE[0]], 0),
        ([WHOLE[0], message(0.5, 3, "cleared")], 1),
        ([WHOLE[0], message(7.0, 1), WHOLE[1]], 0),
    ],
    ids=["last missing", "first missing", "other order", "gap", "one id for two"],
)
def test_every_wrong_message_is_a_problem(messages: list[Record], lost: int) -> None:
    """The benchmark would not report a lost alert."""
    account = settle(WHOLE_WITNESS, messages, {})
    assert account.lost == lost
    assert account.problems


def test_two_decisions_of_one_block_are_made_once() -> None:
    """A decision would count as interrupted, although it was written."""
    lines = [WHOLE_WITNESS[0], WHOLE_WITNESS[2], WHOLE_WITNESS[1], WHOLE_WITNESS[3]]
    account = settle(lines, WHOLE, {})
    assert (account.decided, account.returned, account.decided_again) == (2, 2, 0)


def test_a_fault_without_an_alert_and_an_alert_without_a_fault_are_problems() -> None:
    """A reader that raises the fault of a recording twice would not be noticed."""
    alert = message(9.0, 1, bands_hz=[[2400.0, 2600.0]])
    one = {MACHINE: [Fault(2500.0)]}
    assert settle(WHOLE_WITNESS, [alert, WHOLE[1]], one).problems == []
    assert settle(WHOLE_WITNESS, [alert, WHOLE[1]], {MACHINE: []}).problems
    two = {MACHINE: [Fault(2500.0), Fault(4000.0)]}
    assert settle(WHOLE_WITNESS, [alert, WHOLE[1]], two).problems
    broken = {MACHINE: [Fault(2500.0), Fault(4000.0, is_broken=True)]}
    assert settle(WHOLE_WITNESS, [alert, WHOLE[1]], broken).problems == []


def test_the_short_form_of_an_alert_is_counted_as_the_alert() -> None:
    """A broker with small packets would seem to lose alerts."""
    short = {"event_id": "e1", "alert_id": "a", "sequence": 1, "kind": "raised", "short": True}
    received = [WHOLE[0] | {"payload": json.dumps(short)}, WHOLE[1]]
    account = settle(WHOLE_WITNESS, received, {MACHINE: [Fault(2500.0)]})
    assert (account.problems, account.lost, account.short) == ([], 0, 1)


def dated(clock: WallClock, date_s: float, **fields: Any) -> Dates:
    """The account of an alert that is decided and sent now and dated ``date_s`` after now."""
    now_s = time.monotonic()
    clock_s = clock.readings_s(now_s, now_s)[0]
    line = {"event_id": "e1", "at_s": now_s, "clock_s": clock_s, "boot": "b", "by_clock": True}
    at = rfc3339(clock_s + date_s)
    sent = line | {"event": "sent", "date": at, "dated_s": (now_s, now_s)}
    received = {"at_s": now_s + 0.01, "payload": json.dumps({"event_id": "e1", "at": at} | fields)}
    return check_dates([line | {"event": "returned"}, sent], [received], clock)


@pytest.mark.parametrize("set_by_s", [0.0, 0.4, -0.4, 3600.0, -3600.0, -45 * 86_400.0])
def test_a_date_in_the_future_is_a_problem(set_by_s: float, tmp_path: Path) -> None:
    """The benchmark would not report a wrong date."""
    clock = WallClock(tmp_path, private_mounts=False)
    time.sleep(0.3)  # longer than a date may lag behind the clock
    clock.set(set_by_s)
    time.sleep(0.3)
    assert dated(clock, -0.1).problems == []
    ahead = dated(clock, 0.2)
    assert (ahead.future, len(ahead.problems)) == (1, 1)
    assert dated(clock, -100.0).problems
    assert dated(clock, -0.1, started_at="2100-01-01T00:00:00.000Z").problems


def test_a_daemon_without_the_clock_of_the_plan_is_a_problem(tmp_path: Path) -> None:
    """A benchmark in which no clock is set would pass."""
    clock = WallClock(tmp_path, private_mounts=False)
    true_s = time.time()
    clock.set(3600.0)
    line = {"event": "sent", "event_id": "e1", "at_s": time.monotonic() + 1.0, "clock_s": true_s}
    assert check_dates([line | {"date": rfc3339(true_s), "boot": "b"}], [], clock).problems


def test_a_decision_cut_off_by_a_kill_must_be_made_again() -> None:
    """A fault that was detected just before a kill would be lost."""
    again = [decided(9.0), decided(8.0, life="b"), returned(8.0, 1, life="b"), *WHOLE_WITNESS[2:]]
    account = settle(again, [message(8.0, 1), WHOLE[1]], {})
    assert (account.decided_again, account.lost, account.problems) == (1, 0, [])
    cut_off = [*WHOLE_WITNESS, decided(9.0)]
    assert settle(cut_off, WHOLE, {}).lost == 1
    broken = settle(cut_off, WHOLE, {MACHINE: [Fault(2500.0, is_broken=True)]})
    assert (broken.lost, broken.broken_off) == (0, 1)


def test_the_plan_depends_on_the_seed_and_contains_the_kills() -> None:
    """A failed run could not be repeated with its seed."""
    plan = plan_troubles(3, 3600, 120)
    assert plan == plan_troubles(3, 3600, 120) != plan_troubles(4, 3600, 120)
    kills = Counter(trouble.kind for trouble in plan)
    assert kills["kill daemon"] + kills["kill broker"] == 120
    assert {trouble.clock_s for trouble in plan} > {-45 * 86_400.0, -3.0, 3.0, 45 * 86_400.0}
    limits = {limit for trouble in plan for limit in trouble.limits}
    assert limits > {"retain_available false", "max_qos 0", "max_packet_size 300"}


def sent(title: str, alert_id: str = "a") -> Record:
    identity = alert_id.rjust(36, "0")
    return {"title": f"m0: alarm {title}", "message": f"Score 2 x the threshold\nAlert {identity}"}


def alert(kind: str, alert_id: str = "a") -> Record:
    identity = alert_id.rjust(36, "0")
    return {"machine": MACHINE, "kind": kind, "alert_id": identity, "event_id": kind + alert_id}


BOTH = [alert("raised"), alert("updated"), alert("cleared")]


@pytest.mark.parametrize(
    "messages",
    [
        [sent("since 10:00 UTC"), sent("ended at 10:02 UTC")],
        [sent("from 10:00 to 10:02 UTC")],
        [sent("since 10:00 UTC"), sent("since 10:00 UTC"), sent("from 10:00 to 10:02 UTC")],
    ],
    ids=["two messages", "one message", "repeated"],
)
def test_a_complete_set_of_notifications_has_no_problems(messages: list[Record]) -> None:
    """The benchmark would report problems without a reason."""
    n_repeated = 2 if len(messages) == 3 else 0
    found = check_notices(BOTH, messages, most_repeated=n_repeated)
    assert (found.lost, found.problems, found.alerts) == (0, [], 1)
    assert found.duplicated == n_repeated
    assert bool(check_notices(BOTH, messages, most_repeated=1).problems) == (n_repeated > 1)


@pytest.mark.parametrize(
    ("messages", "lost"),
    [
        ([sent("since 10:00 UTC")], 1),
        ([sent("ended at 10:02 UTC")], 1),
        ([], 2),
        ([sent("ended at 10:02 UTC"), sent("since 10:00 UTC")], 0),
        ([sent("from 10:00 to 10:02 UTC"), sent("since 10:00 UTC", "b")], 0),
    ],
    ids=["no end", "no beginning", "nothing", "other order", "unknown alert"],
)
def test_every_wrong_notification_is_a_problem(messages: list[Record], lost: int) -> None:
    """The benchmark would not report a lost notification."""
    found = check_notices(BOTH, messages)
    assert found.lost == lost
    assert found.problems


def test_a_notification_that_no_disk_accepted_is_counted_on_its_own() -> None:
    """A kill while the disk refuses the history would be hidden, or count as a fault of notify."""
    messages = [sent("since 10:00 UTC")]
    assert check_notices(BOTH, messages).lost == 1
    found = check_notices(BOTH, messages, on_no_disk={"cleareda"})
    assert (found.lost, found.on_no_disk, found.problems) == (0, 1, [])


def joined(*lines: str) -> Record:
    return {"title": "2 alerts, 1 machine", "message": "\n".join(f"m0: alarm {x}" for x in lines)}


def composed(*incidents: tuple[str, list[str]], lines: tuple[str, ...]) -> Record:
    about = [
        {"machine": MACHINE, "alert_id": name.rjust(36, "0"), "parts": parts}
        for name, parts in incidents
    ]
    return joined(*lines) | {"incidents": about}


@pytest.mark.parametrize(
    ("lines", "n_problems", "lost"),
    [
        (("from 10:00 to 10:02 UTC", "since 10:05 UTC (score 2 x threshold)"), 0, 0),
        (("from 10:00 to 10:02 UTC",), 1, 0),
        (("since 10:00 UTC", "since 10:05 UTC"), 1, 0),
    ],
    ids=["whole", "a line is missing", "without the end"],
)
def test_a_message_about_several_alerts_must_state_each(
    lines: tuple[str, ...], n_problems: int, lost: int
) -> None:
    """An alert that is missing in such a message would not be noticed."""
    alerts = [*BOTH, alert("raised", "b")]
    record = composed(("a", ["begin", "end"]), ("b", ["begin"]), lines=lines)
    found = check_notices(alerts, [joined(*lines)], composed=[record])
    assert (len(found.problems), found.lost, found.joined) == (n_problems, lost, 1)
    only_one = composed(("a", ["begin", "end"]), lines=lines[:1])
    assert check_notices(alerts, [joined(*lines[:1])], composed=[only_one]).lost == 1
    assert check_notices(alerts, [joined(*lines)]).problems  # it is unknown what it is about


ALERT_ID = "019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d02"


def logged(what: str, piece: str) -> Record:
    return {"message": f"evidence {what}", "evidence": f"{ALERT_ID}{piece}"}


@pytest.mark.parametrize(
    ("log", "lost", "is_known"),
    [
        ([], set(), False),
        ([], {f"{ALERT_ID}-0"}, True),
        ([logged("is lost: x", "-0")], set(), True),
        ([logged("deleted, because x", "/0-raised")], set(), True),
        ([logged("deleted, because x", "/1-raised")], set(), False),
    ],
    ids=["nothing", "in the history", "in the log", "deleted", "another deleted"],
)
def test_evidence_of_which_nothing_is_known_is_a_problem(
    log: list[Record], lost: set[str], is_known: bool, tmp_path: Path
) -> None:
    """The benchmark would not report evidence that is lost without a word."""
    named = {"machine": MACHINE, "event_id": "e1", "evidence": {"id": f"{ALERT_ID}-0"}}
    alerts: list[Record] = [named, {"machine": MACHINE}, {"machine": MACHINE, "short": True}]
    found = check_evidence(alerts, log, tmp_path, lost=lost, remembered={"e1"})
    assert (not found.problems) == is_known
    assert (found.named, found.unnamed, found.forgotten) == (1, 1, 0)
    refused = check_evidence(alerts, log, tmp_path, lost=lost, remembered=set())
    assert (not refused.problems) == is_known
    damaged = check_evidence(alerts, log, tmp_path, lost=lost, remembered=set(), destroyed={"e1"})
    assert (damaged.problems, damaged.forgotten) == ([], int(not is_known))


def test_a_folder_above_its_limit_is_a_problem(tmp_path: Path) -> None:
    """The benchmark would not report a limit that is exceeded for a moment."""
    watch = FolderWatch(tmp_path, history_bytes=10_000, evidence_bytes=100_000)
    (tmp_path / "evidence").mkdir()
    (tmp_path / "history.sqlite3").write_bytes(bytes(6000))
    (tmp_path / "evidence" / "file").write_bytes(bytes(50_000))
    watch.start()
    wait_for(lambda: watch.n_looks > 3)
    assert not watch.problems()
    (tmp_path / "history.sqlite3-wal").write_bytes(bytes(6000))
    (tmp_path / "evidence" / "other").write_bytes(bytes(50_000))
    wait_for(lambda: watch.history.exceeded and watch.evidence.exceeded)
    watch.stop()
    assert len(watch.problems()) == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_lost_while_everything_is_killed(tmp_path: Path) -> None:
    """Alerts would be lost when the daemon, the broker or the network fails."""
    command = [sys.executable, "-m", "benchmarks.chaos", "--minutes", "2.5", "--kills", "8"]
    ran = subprocess.run(
        [*command, "--seed", "5", "--json", "--keep", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout, ran.stderr
    account = json.loads(ran.stdout)
    assert account["problems"] == []
    assert account["ledger"]["lost"] == 0
    assert account["dates"]["future"] == 0
    assert account["ledger"]["faults"] > 3
    assert account["notices"]["lost"] == 0
    assert account["notices"]["alerts"] > 3
    assert account["evidence"]["whole"] + account["evidence"]["partial"] > 0
    done = Counter(account["done"])
    assert done["kill daemon"] + done["kill broker"] >= 6
    assert min(done["kill notify"], done["kill web"]) > 0
    assert sum(number for key, number in done.items() if key.startswith("endpoint")) > 0
    assert sum(number for key, number in done.items() if key.startswith("history")) > 0
    assert account["without"]["read-only disk"] or done["read-only disk"]
    assert done["set clock"] + done["set clock while stopped"] > 1
    assert account["without"]["reboot"] or done["reboot"]
    assert ran.returncode == 0, ran.stderr
