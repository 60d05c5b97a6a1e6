"""A short run of the chaos benchmark: no alert is lost while processes are killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks._chaos.ledger import Record, settle
from benchmarks._chaos.troubles import plan_troubles
from tests.daemons import ROOT

MACHINE = "m0"


def decided(score: float, kind: str = "raised", life: str = "a") -> Record:
    return {"event": "decided", "machine": MACHINE, "kind": kind, "score": score, "life": life}


def returned(score: float, number: int, kind: str = "raised", life: str = "a") -> Record:
    line = decided(score, kind, life) | {"event": "returned", "sequence": number}
    return line | {"event_id": f"e{number}", "in_memory": False}


def message(score: float, number: int, kind: str = "raised") -> Record:
    alert: dict[str, Any] = {"machine": MACHINE, "event_id": f"e{number}", "alert_id": "a"}
    alert |= {"sequence": number, "kind": kind, "score": score, "threshold": 1.0, "bands_hz": []}
    return {"event": "message", "payload": json.dumps(alert)}


WHOLE_WITNESS = [
    decided(9.0),
    returned(9.0, 1),
    decided(0.5, "cleared"),
    returned(0.5, 2, "cleared"),
]
WHOLE = [message(9.0, 1), message(0.5, 2, "cleared")]


def test_the_account_of_a_whole_story_has_no_problems() -> None:
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
def test_whatever_is_wrong_shows_in_the_account(messages: list[Record], lost: int) -> None:
    """The benchmark would not report a lost alert."""
    account = settle(WHOLE_WITNESS, messages, {})
    assert account.lost == lost
    assert account.problems


def test_a_decision_cut_off_by_a_kill_must_be_made_again() -> None:
    """A fault that was detected just before a kill would be lost."""
    again = [decided(9.0), decided(8.0, life="b"), returned(8.0, 1, life="b"), *WHOLE_WITNESS[2:]]
    account = settle(again, [message(8.0, 1), WHOLE[1]], {})
    assert (account.decided_again, account.lost, account.problems) == (1, 0, [])
    never = settle([*WHOLE_WITNESS, decided(9.0)], WHOLE, {})
    assert never.lost == 1


def test_the_plan_is_the_seeds_and_holds_the_kills_asked_for() -> None:
    """A failed run could not be repeated with its seed."""
    plan = plan_troubles(3, 3600, 120)
    assert plan == plan_troubles(3, 3600, 120) != plan_troubles(4, 3600, 120)
    assert sum(trouble.kind.startswith("kill") for trouble in plan) == 120


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_is_lost_while_everything_is_killed(tmp_path: Path) -> None:
    """Alerts would be lost when the daemon, the broker or the network fails."""
    command = [sys.executable, "-m", "benchmarks.chaos", "--minutes", "4", "--kills", "12"]
    done = subprocess.run(
        [*command, "--seed", "5", "--json", "--keep", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    account = json.loads(done.stdout)
    assert account["problems"] == []
    assert account["lost"] == 0
    assert account["faults_told"] == account["faults"] > 3
    assert account["done"]["kill daemon"] + account["done"]["kill broker"] >= 9
    assert done.returncode == 0, done.stderr
