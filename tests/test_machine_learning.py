"""A machine that is learned: what its thread publishes before it is armed, and the swap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.config.settings import Settings
from monitor.errors import BundleError
from monitor.learning.journal import Journal, LearnedBundle, Stage, folder_of, write_journal
from monitor.learning.learner import Learner
from monitor.learning.settings import LearningSettings
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.service.machine import Machine
from monitor.service.machine_plan import MachinePlan, make_plans
from tests.bundles import machine_sound
from tests.payload_check import check_payload
from tests.scripted_machines import (
    RATE_HZ,
    RecordingOutlet,
    cut,
    fault_and_back,
    plan,
    playing,
)
from tests.waiting import wait_for


@pytest.fixture
def learner(tmp_path: Path) -> Iterator[Learner]:
    """Learns nothing yet: its first bundle needs more sound than a test gives."""
    one = Learner("m", LearningSettings(piece_s=3.0, every_s=5.0), tmp_path / "learning")
    yield one
    one.stop()


def learned(plan: MachinePlan, stage: Stage, **settings: Any) -> MachinePlan:
    return replace(plan, stage=stage, learning=LearningSettings(**settings))


def test_without_a_bundle_the_sound_is_collected_and_nothing_is_judged(
    bundle: Bundle, network: Network, record: RecordingOutlet, learner: Learner
) -> None:
    """A machine without a bundle could not be started."""
    without = replace(plan(bundle, network), bundle=None, network=None)
    source = playing(*cut(machine_sound(30), 1600), forever=False)
    machine = Machine(learned(without, "collecting"), source, record)
    machine.attach(learner)
    machine.start()
    wait_for(lambda: machine.ended)
    assert record.state_sequence() == ["warming", "learning", "unavailable"]
    assert record.scores == []
    learner.flush()
    status = learner.status()
    assert status["pieces"] + status["lost_pieces"] == 4
    for _, state in record.states:
        check_payload("state", state)
    assert record.last_state()["learning"]["stage"] == "collecting"


def test_deleted_bundles_of_one_machine_do_not_stop_the_others(
    bundle: Bundle, record: RecordingOutlet, tmp_path: Path
) -> None:
    """The daemon would not start, and `auscult learn` would need a daemon that runs."""
    gone = LearnedBundle("2026-11-01-1", "", "", 1.0, 1.0, 8)
    folder = folder_of(tmp_path, "a")
    folder.mkdir(parents=True)
    write_journal(folder, Journal(stage="armed", bundle=gone.name, bundles=[gone]))
    source = {"kind": "simulated"}
    machines = [
        {"id": "a", "source": source, "learning": {}},
        {"id": "b", "source": source, "bundle": str(bundle.path)},
    ]
    settings = Settings.model_validate({"mqtt": {"host": "localhost"}, "machine": machines})
    with pytest.raises(BundleError, match=r'machine "a": .* no such bundle'):
        make_plans(settings, state_dir=tmp_path)  # for `check` and a reload
    a, b = make_plans(settings, state_dir=tmp_path, at_start=True)
    assert (a.bundle, bool(b.bundle)) == (None, True)
    machine = Machine(a, playing(*cut(machine_sound(3), 1600), forever=False), record)
    machine.start()
    wait_for(lambda: machine.ended)
    degraded = next(state for _, state in record.states if state["state"] == "degraded")
    assert degraded["reason"] == "no_bundle"
    assert "no such bundle" in degraded["detail"]


def test_a_provisional_bundle_gives_warnings_and_no_alerts(
    bundle: Bundle, network: Network, record: RecordingOutlet, learner: Learner
) -> None:
    """A threshold that was never tested would send alerts."""
    source = playing(*cut(fault_and_back(), 1600), forever=False)
    machine = Machine(learned(plan(bundle, network), "provisional"), source, record)
    machine.attach(learner)
    machine.start()
    wait_for(lambda: machine.ended)
    assert record.alerts == []
    assert record.state_sequence() == ["warming", "ok", "warning", "ok", "unavailable"]
    by_state = {state["state"]: state["severity"] for _, state in record.states}
    assert (by_state["ok"], by_state["warning"]) == (None, "warning")
    assert record.last_state()["provisional"] is True
    assert {score["provisional"] for _, score in record.scores} == {True}


def test_a_provisional_bundle_may_raise_alerts(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """The setting would have no effect."""
    wanted = learned(plan(bundle, network), "provisional", alarm_while_provisional=True)
    source = playing(*cut(fault_and_back(), 1600), forever=False)
    machine = Machine(wanted, source, record)
    machine.start()
    wait_for(lambda: machine.ended)
    assert [alert.kind for alert in record.alerts] == ["raised", "cleared"]
    assert [alert.provisional for alert in record.alerts] == [True, True]


def test_a_bundle_is_replaced_without_a_lost_sample(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """Every new bundle would interrupt the microphone, and a raised alert would stay for ever."""
    armed = plan(bundle, network)
    blocks = cut(fault_and_back()[: 40 * RATE_HZ], 1600)
    machine = Machine(armed, playing(*blocks), record)
    machine.start()
    wait_for(lambda: record.alerts)
    wait_for(lambda: machine.coverage()["monitored_s"] == 40.0)
    machine.ask_to_stop()
    assert machine.join(2)
    # The same machine is learned again, then has a bundle.
    more = playing(*cut(machine_sound(60), 1600), forever=False)
    without = learned(replace(armed, bundle=None, network=None), "collecting")
    machine = Machine(without, more, record)
    machine.start()
    wait_for(lambda: [alert.kind for alert in record.alerts] == ["raised", "cleared"])
    machine.adopt(learned(armed, "armed"))
    wait_for(lambda: machine.ended)
    coverage = machine.coverage()
    assert coverage["monitored_s"] + coverage["degraded_s"] == pytest.approx(60.0)
    assert coverage["lost_s"] == pytest.approx(0.0, abs=0.5)
    assert len(record.alerts) == 2
