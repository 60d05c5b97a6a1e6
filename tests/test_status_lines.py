"""What `auscult status` prints about a machine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import pytest

from monitor.commands.operate import Target, status

OLD = datetime.fromisoformat("2026-11-23T08:02:00.000Z").astimezone()
NOW = "2026-11-23T10:15:30.250Z"


class Answered(Target):
    """A daemon with one machine, whose newest score is of a given time."""

    score_at: str = ""
    state: str = "ok"
    alert: dict[str, Any] | None = None
    more: Mapping[str, Any] = MappingProxyType({})

    def ask(self, command: str, **_: Any) -> dict[str, Any]:
        assert command == "status"
        machine = {
            "id": "pump-7",
            "state": {"state": self.state, "since": NOW},
            "alert": self.alert,
            "mute": None,
            "score": {"at": self.score_at, "ratio": 0.41},
        }
        daemon = {"started_at": NOW, "version": "1", "config": "c", "delivery": "outbox 0"}
        return {"now": NOW, "machines": [machine], "daemon": {**daemon, **self.more}}


@pytest.mark.parametrize(
    ("score_at", "shown"),
    [
        ("2026-11-23T10:15:20.000Z", "0.41 x threshold"),
        ("2026-11-23T10:15:40.000Z", "0.41 x threshold"),
        (
            "2026-11-23T08:02:00.000Z",
            f"0.41 x threshold at {OLD:%Y-%m-%d %H:%M} UTC{OLD.isoformat()[-6:]}",
        ),
        ("", "0.41 x threshold"),
        ("no time", "0.41 x threshold"),
    ],
)
def test_an_old_score_has_its_time(
    score_at: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a folder was read to its end, its last score would be taken for one of now."""
    target = Answered(None, None)
    monkeypatch.setattr(Answered, "score_at", score_at)
    status(target, as_json=False)
    line = capsys.readouterr().out.splitlines()[1]
    assert line.partition("0.41")[1] + line.partition("0.41")[2].rstrip() == shown


def test_an_anomaly_lasts_since_its_fault_began(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line would have two lengths of the same fault, without saying which is which."""
    alert = {"alert_id": "0194", "started_at": "2026-11-23T10:14:52.000Z"}
    monkeypatch.setattr(Answered, "alert", alert)
    monkeypatch.setattr(Answered, "score_at", NOW)
    for state, shown in (("anomaly", "38 seconds"), ("muted", "0 seconds")):
        monkeypatch.setattr(Answered, "state", state)
        status(Answered(None, None), as_json=False)
        line = capsys.readouterr().out.splitlines()[1]
        assert line.split(state)[1].strip().startswith(shown)
        assert ("alert 0194 for 38 seconds" in line) == (state == "muted")


def test_troubles_that_only_the_json_had_are_in_the_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Evidence is lost for weeks, and `auscult status` shows nothing of it."""
    kinds = ("evidence_lost", "history_lacks_alerts", "history_lost_alerts", "of_a_later_version")
    stated = ("no_broker", "broker_refuses", "outbox_in_memory", "history_not_written")
    troubles = [{"kind": kind, "text": f"text of {kind}", "values": {}} for kind in kinds + stated]
    history = {"trouble": "full", "n_lost": 2, "n_replaced": 0}
    monkeypatch.setattr(Answered, "more", {"trouble_kinds": troubles, "history": history})
    status(Answered(None, None), as_json=False)
    line = capsys.readouterr().out.splitlines()[-1]
    for kind in kinds:
        assert line.count(f"; text of {kind}") == 1
    assert "history in memory (full); 2 values of the history lost" in line
    assert not any(f"text of {kind}" in line for kind in stated)
