"""What each operator command does in the daemon, without a socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from monitor.control.dispatcher import Dispatcher
from monitor.control.operator_log import OperatorLog
from monitor.learning.learner import Learner
from monitor.outbox.queue import Outbox
from monitor.service.muting import Muting
from monitor.service.operator_commands import Daemon, OperatorCommands
from monitor.service.supervisor import Supervisor
from tests.alert_drafts import draft
from tests.scripted_machines import RecordingOutlet


class Operated:
    """A daemon with the machine ``pump-7``, whose commands are called directly."""

    def __init__(self, folder: Path, outbox: Outbox) -> None:
        self.outlet = RecordingOutlet(outbox)
        self.operators = OperatorLog(folder / "operators" / "operators.sqlite3")
        self.muting = Muting(self.outlet, self.operators)
        machine = SimpleNamespace(publish_state=self.publish)
        supervisor = cast("Supervisor", SimpleNamespace(machines={"pump-7": machine}))
        self.learners: dict[str, Learner] = {}
        daemon = Daemon(supervisor, self.muting, "/etc/c.toml", 0.0, str, learner=self.learners.get)
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


def test_a_later_part_can_replace_a_command(operated: Operated) -> None:
    """Learning could not take over its commands."""
    refused = operated.ask("learn", machine="pump-7")
    assert refused["error"]["status"] == 78
    command = operated.dispatcher._commands["learn"].arguments
    operated.dispatcher.register("learn", command, lambda _arguments, by: {"by": by})
    assert operated.ask("learn", machine="pump-7")["result"] == {"by": "anna"}
