"""What each operator command does in the daemon, without a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from monitor.control.dispatcher import Dispatcher
from monitor.control.labels import LABELS
from monitor.control.operator_log import OperatorLog
from monitor.learning.learner import Learner
from monitor.learning.relearning.labelled_alerts import Clip
from monitor.outbox.queue import Outbox
from monitor.service.alert_labels import AlertLabels
from monitor.service.history_feed import HistoryFeed
from monitor.service.muting import Muting
from monitor.service.operator_commands import Daemon, OperatorCommands
from monitor.service.supervisor import Supervisor
from tests.alert_drafts import draft
from tests.scripted_machines import RecordingOutlet
from tests.test_relearning import Machine

ROOT = Path(__file__).resolve().parent.parent


class Operated:
    """A daemon with the machine ``pump-7``, whose commands are called directly."""

    def __init__(self, folder: Path, outbox: Outbox) -> None:
        self.outlet = RecordingOutlet(outbox)
        self.operators = OperatorLog(folder / "operators" / "operators.sqlite3")
        self.muting = Muting(self.outlet, self.operators)
        self.monitored_s = 10.0
        machine = SimpleNamespace(
            publish_state=self.publish,
            computed_s=0.5,
            coverage=lambda: {"monitored_s": self.monitored_s, "degraded_s": 0.0, "lost_s": 0.0},
        )
        supervisor = cast("Supervisor", SimpleNamespace(machines={"pump-7": machine}))
        self.learners: dict[str, Learner] = {}
        self.with_sound: set[str] = set()
        daemon = Daemon(
            supervisor,
            self.muting,
            "/etc/c.toml",
            0.0,
            str,
            learner=self.learners.get,
            history=HistoryFeed(folder / "history.sqlite3"),
            has_sound=self.with_sound.__contains__,
        )
        assert daemon.history is not None
        self.history = daemon.history
        self.dispatcher = Dispatcher(Path(daemon.config))
        OperatorCommands(daemon).register(self.dispatcher)
        self.publish()

    def publish(self) -> None:
        self.muting.state("pump-7", {"state": "ok", "reason": "", "detail": ""})

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """The response to a request of the user anna."""
        request = {"version": 1, "command": command, "arguments": arguments}
        response: dict[str, Any] = json.loads(
            self.dispatcher.answer(json.dumps(request).encode(), "anna")
        )
        return response

    def alert(self) -> str:
        """Raise and clear an alert; returns its alert_id."""
        self.muting.alert(draft("raised"))
        self.muting.alert(draft("cleared"))
        return self.outlet.alerts[-1].alert_id


@pytest.fixture
def operated(tmp_path: Path) -> Iterator[Operated]:
    with Outbox(tmp_path / "outbox.sqlite3") as outbox:
        one = Operated(tmp_path, outbox)
        yield one
        one.operators.close()
        one.history.close()


def test_the_coverage_is_that_of_now(operated: Operated) -> None:
    """The page would show numbers that are a minute old beside live sound."""
    operated.monitored_s = 25.0  # nothing is published meanwhile
    (machine,) = operated.ask("status")["result"]["machines"]
    assert machine["state"]["coverage"]["monitored_s"] == 25.0


def test_what_operators_did_is_kept_with_user_and_note(operated: Operated) -> None:
    """Nobody could find out later who muted a machine, and why."""
    alert_id = operated.alert()
    operated.ask("mute", machine="pump-7", for_s=60, note="oil")
    operated.ask("acknowledge", alert_id=alert_id)
    operated.ask("label", alert_id=alert_id, label="fault", note="bearing")
    operated.ask("unmute", machine="pump-7")
    operated.ask("unmute", machine="pump-7")  # changes nothing
    rows = operated.operators._open()._connection.execute(
        "SELECT user, action, machine, alert_id, value, note FROM entries ORDER BY position"
    )
    assert rows.fetchall() == [
        ("anna", "mute", "pump-7", "", "60", "oil"),
        ("anna", "acknowledge", "pump-7", alert_id, "", ""),
        ("anna", "label", "pump-7", alert_id, "fault", "bearing"),
        ("anna", "unmute", "pump-7", "", "", ""),
    ]


def test_an_alert_that_is_over_can_be_labelled_by_its_beginning(operated: Operated) -> None:
    """A technician who labels an alert after the repair would have to type 36 characters."""
    alert_id = operated.alert()
    assert operated.ask("label", alert_id=alert_id[:23], label="fault")["ok"]
    assert operated.operators.alerts[alert_id].label == "fault"


def test_an_ambiguous_beginning_names_the_alerts(operated: Operated) -> None:
    """Another alert would be labelled than the one that was meant."""
    first, second = operated.alert(), operated.alert()
    refused = operated.ask("label", alert_id=first[:8], label="fault")
    assert refused["error"]["status"] == 64
    for alert_id in (first, second):
        assert f"{alert_id} (pump-7)" in refused["error"]["message"]
        assert operated.operators.alerts[alert_id].label == ""


def test_an_alert_that_only_the_history_knows_can_be_labelled(operated: Operated) -> None:
    """The page shows it for 400 days with its buttons, which would be refused."""
    alert_id = operated.alert()
    operated.history.alert(operated.outlet.alerts[-1])
    assert operated.history.has(operated.outlet.alerts[-1].event_id, 10.0)
    operated.operators.alerts.clear()  # as after 1000 others, or when the file was damaged
    assert operated.ask("label", alert_id=alert_id, label="false-alarm")["ok"]
    assert operated.operators.alerts[alert_id].label == "false-alarm"
    unknown = operated.ask("label", alert_id=alert_id[::-1], label="fault")
    assert unknown["error"]["status"] == 64


def test_a_disk_that_refuses_is_reported(operated: Operated) -> None:
    """An operator would believe that a mute survives a restart."""
    operated.operators._disconnect()
    file = operated.operators.path
    for path in file.parent.iterdir():
        path.unlink()
    file.mkdir()
    muted = operated.ask("mute", machine="pump-7", for_s=60)
    assert muted["result"]["state"] == "muted"
    assert "only in memory until the disk accepts changes" in muted["result"]["warning"]
    assert operated.muting.alert(draft("raised")) is None
    file.rmdir()
    operated.operators._next_try_s = 0.0
    operated.muting.turn()
    assert "warning" not in operated.ask("unmute", machine="pump-7")["result"]


def test_an_alert_from_before_the_operator_log_can_be_acknowledged(operated: Operated) -> None:
    """After an update, the open alert could not be acknowledged."""
    alert = operated.outlet.alert(draft("raised"))
    assert operated.ask("acknowledge", alert_id=alert.alert_id)["result"]["acknowledged"]
    (machine,) = operated.ask("status")["result"]["machines"]
    assert machine["alert"]["alert_id"] == alert.alert_id
    assert machine["state"]["acknowledged"] is True


def test_the_status_shows_the_progress_of_now(operated: Operated) -> None:
    """A technician would see the progress of a minute ago and take the learning for stuck."""
    progress = [{"stage": "collecting", "pieces": 0}]
    operated.learners["pump-7"] = cast("Learner", SimpleNamespace(status=lambda: progress[-1]))
    learning = {"state": "learning", "learning": progress[0], "provisional": True}
    operated.muting.state("pump-7", learning)
    progress.append({"stage": "collecting", "pieces": 3})
    (machine,) = operated.ask("status")["result"]["machines"]
    assert machine["state"]["learning"]["pieces"] == 3
    assert machine["state"]["state"] == "learning"


def test_a_label_shows_its_effect(operated: Operated) -> None:
    """An operator would not know what a label changes, or would expect that it changes alerts."""
    alert_id = operated.alert()
    labelled = operated.ask("label", alert_id=alert_id, label="false-alarm")["result"]
    assert "added to the relearning set" in labelled["effect"]
    assert "add the table [machine.learning]" in labelled["remark"]
    assert operated.ask("label", alert_id=alert_id, label="sensor")["result"]["remark"] == ""
    operated.learners["pump-7"] = cast("Learner", SimpleNamespace(labels_changed=lambda: None))
    labelled = operated.ask("label", alert_id=alert_id, label="false-alarm")["result"]
    assert "No sound of this alert is kept" in labelled["remark"]
    operated.with_sound.add(alert_id)
    assert not operated.ask("label", alert_id=alert_id, label="false-alarm")["result"]["remark"]
    page = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    for label, (meaning, effect) in LABELS.items():
        assert f"| `{label}` | {meaning} | {effect} |" in page


def test_relearning_by_commands(operated: Operated, tmp_path: Path) -> None:
    """The web page could not show a new bundle, or nobody would know who accepted it."""
    refused = operated.ask("relearn", machine="pump-7")["error"]
    assert refused["status"] == 78
    assert "add the table [machine.learning] to it in /etc/c.toml" in refused["message"]
    machine = Machine(tmp_path / "state")
    machine.arm()
    operated.learners["pump-7"] = machine.learner
    assert operated.ask("relearn", machine="pump-7")["error"]["status"] == 64
    assert operated.ask("relearn", machine="pump-7", collect_s=1)["error"]["status"] == 64
    assert operated.ask("relearn_accept", machine="pump-7")["error"]["status"] == 64
    machine.labelled.add(1, "false-alarm")
    assert operated.ask("relearn", machine="pump-7")["ok"]
    machine.trains()
    machine.compares(n1=(2.5, 0.8))
    machine.reach("ready")
    shown = operated.ask("relearn_show", machine="pump-7")["result"]["relearning"]
    assert shown == operated.ask("relearn", machine="pump-7")["result"]["relearning"]
    assert shown["comparison"]["alerts"][0]["ratio_after"] == 0.8
    accepted = operated.ask("relearn_accept", machine="pump-7")["result"]
    assert (accepted["relearning"], accepted["machine"]) == (None, "pump-7")
    rows = operated.operators._open()._connection.execute(
        "SELECT user, action, value FROM entries WHERE action = 'relearn' ORDER BY position"
    )
    assert rows.fetchall() == [("anna", "relearn", "begin"), ("anna", "relearn", "accept")]
    machine.learner.stop()


def test_alert_labels_join_the_labels_with_the_kept_sound(
    operated: Operated, tmp_path: Path
) -> None:
    """A false alarm would be relearned without its sound, or a fault with it."""
    kept, silent = operated.alert(), operated.alert()
    operated.ask("label", alert_id=kept, label="false-alarm")
    folder = tmp_path / "evidence" / kept
    folder.mkdir(parents=True)
    for number, starts_at in enumerate(("2026-11-23T10:15:15.250Z", "at noon")):
        metadata = {
            "evidence_id": f"{kept}-{number}",
            "machine": "pump-7",
            "moment": "raised",
            "at": "2026-11-23T10:15:30.250Z",
            "starts_at": starts_at,
        }
        (folder / f"{number}-raised.json").write_text(json.dumps(metadata))
        (folder / f"{number}-raised.flac").write_bytes(b"fLaC")
    labelled = AlertLabels(operated.muting, tmp_path)
    (alert,) = labelled.of("pump-7")
    assert (alert.alert_id, alert.label) == (kept, "false-alarm")
    assert alert.clips == (Clip(f"{kept}-0", folder / "0-raised.flac", 1795428915.25),)
    assert labelled.of("another") == []
    assert silent != kept


def test_a_later_part_can_replace_a_command(operated: Operated) -> None:
    """Learning could not take over its commands."""
    refused = operated.ask("learn", machine="pump-7")
    assert refused["error"]["status"] == 78
    command = operated.dispatcher._commands["learn"].arguments
    operated.dispatcher.register("learn", command, lambda _arguments, by: {"by": by})
    assert operated.ask("learn", machine="pump-7")["result"] == {"by": "anna"}
