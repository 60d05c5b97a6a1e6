"""The healthy range of starts and running time is learned, and the warning needs no setting."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.config.settings import Settings, load_config
from monitor.detection.duty_cycle import DutyPart, DutyWatch, duty_text
from monitor.detection.healthy_duty import healthy_duty
from monitor.detection.operation import OperationStatus
from monitor.domain import FloatArray
from monitor.learning.journal import (
    Journal,
    LearnedBundle,
    folder_of,
    read_journal,
    write_journal,
)
from monitor.learning.learner import Learner
from monitor.model.operation import HealthyDuty
from monitor.outbox.queue import Outbox
from monitor.service.machine import Machine
from monitor.service.machine_plan import MachinePlan, make_plans
from tests.command_line import auscult
from tests.payload_check import check_payload
from tests.scripted_machines import RecordingOutlet, cut, playing
from tests.stopping_machine import RATE_HZ, bundle_with_operation, room_sound, running, stream
from tests.waiting import wait_for

HOUR_S, OVER_S = 3600.0, 4 * 3600.0
DAY_S = 240.0
"""Of the simulated machine, so that an hour is 10 s."""


def hours(per_h: float, days: int, seed: int, run_s: float = 200.0) -> list[DutyPart]:
    """A machine that starts by chance, rarely at night and at the weekend."""
    rng, parts = np.random.default_rng(seed), []
    for hour in range(24 * days):
        is_busy = 7 <= hour % 24 < 19 and hour // 24 % 7 < 5
        starts = int(rng.poisson(per_h if is_busy else 0.2 * per_h))
        running_s = min(HOUR_S, float(starts * run_s * rng.uniform(0.7, 1.3)))
        parts.append(DutyPart(HOUR_S, running_s, starts))
    return parts


def regular(per_h: float, days: int, run_s: float = 200.0) -> list[DutyPart]:
    """A machine that starts at equal intervals."""
    counts = [math.floor((n + 1) * per_h) - math.floor(n * per_h) for n in range(24 * days)]
    return [DutyPart(HOUR_S, run_s * starts, starts) for starts in counts]


def warnings_of(duty: HealthyDuty, parts: list[DutyPart]) -> set[str]:
    """The warnings while these hours pass."""
    watch, found = DutyWatch(duty, OVER_S), set()
    for part in parts:
        for _ in range(part.starts):
            watch.started()
        watch.passed(part.running_s, OperationStatus.RUNNING)
        watch.passed(part.observed_s - part.running_s, OperationStatus.OFF)
        found.add(watch.detail)
    return found - {""}


@pytest.mark.parametrize("per_h", [2.0, 4.0, 10.0])
def test_healthy_variation_is_no_warning(per_h: float) -> None:
    """Chance, nights and weekends of a healthy machine are reported."""
    for seed in range(5):
        duty = healthy_duty(hours(per_h, 7, seed), OVER_S)
        assert duty.most_starts_per_h is not None
        assert warnings_of(duty, hours(per_h, 28, 100 + seed)) == set()


@pytest.mark.parametrize("per_h", [1.0, 2.0, 6.0])
def test_twice_as_many_starts_are_a_warning(per_h: float) -> None:
    """A compressor with a leak is not reported."""
    duty = healthy_duty(regular(per_h, 7), OVER_S)
    assert warnings_of(duty, regular(1.25 * per_h, 7)) == set()
    (warning, *_) = sorted(warnings_of(duty, regular(2 * per_h, 2)))
    assert f"{2 * per_h:g} starts per hour, healthy: at most" in warning
    assert "for" not in warning


def test_only_limits_that_the_days_support() -> None:
    """A machine that was seen for three days is reported on its first weekend."""
    week = regular(4.0, 7)
    assert healthy_duty(week[: 24 * 5], OVER_S) == HealthyDuty()
    assert healthy_duty([], OVER_S) == HealthyDuty()
    assert healthy_duty(week, HOUR_S / 2) == HealthyDuty()  # shorter than what was counted
    assert healthy_duty(week, 48 * HOUR_S) == HealthyDuty()  # three such times in the week
    assert healthy_duty(week, 24 * HOUR_S).most_starts_per_h == pytest.approx(6.0)
    always = [DutyPart(HOUR_S, HOUR_S, 0) for _ in week]
    expected = HealthyDuty(most_starts_per_h=0.75, least_running_share=0.5)
    assert healthy_duty(always, OVER_S) == expected
    assert duty_text(expected) == ("at most 0.75 starts per hour, running at least 50% of the time")
    nights = [DutyPart(HOUR_S, 900.0 * (n % 24 > 6), int(n % 24 > 6)) for n in range(len(week))]
    assert healthy_duty(nights, OVER_S).least_running_share is None


# A simulated compressor, learned by the daemon's own parts.


def compressor(period_s: float, seconds: float) -> FloatArray:
    """Runs for half of each period."""
    one = stream(running(0.5 * period_s, seed=3), room_sound(0.5 * period_s, seed=3))
    return np.tile(one, math.ceil(seconds / period_s))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A machine that is learned, without a setting of its duty except the time of counting."""
    (tmp_path / "config.toml").write_text(
        '[service]\nstate_dir = "state"\n[[machine]]\nid = "m"\n[machine.learning]\ndays = 6.2\n'
        'trainer = "elsewhere"\n[machine.operation]\nchange_s = 0.5\nsettle_s = 0.5\n'
        'duty_cycle_s = 120\n[machine.source]\nkind = "simulated"\n'
    )
    return load_config(tmp_path / "config.toml")


@pytest.fixture
def record(tmp_path: Path) -> Iterator[RecordingOutlet]:
    with Outbox(tmp_path / "outbox.sqlite3") as outbox:
        yield RecordingOutlet(outbox)


def play(
    plan: MachinePlan, samples: FloatArray, record: RecordingOutlet, learner: Learner | None
) -> None:
    """Monitor the machine to the end of its sound."""
    machine = Machine(plan, playing(*cut(samples, RATE_HZ // 2), forever=False), record)
    machine.attach(learner)
    machine.start()
    wait_for(lambda: machine.ended, 60)


def test_a_learned_compressor_that_starts_twice_as_often_is_a_warning(
    tmp_path: Path, settings: Settings, record: RecordingOutlet
) -> None:
    """The warning needs a setting that nobody makes, or is lost with a restart."""
    state = tmp_path / "state"
    folder = folder_of(state, "m")
    bundle_with_operation(
        folder / "bundles" / "one",
        [stream(running(12, seed=n), room_sound(8, seed=n)) for n in range(8)],
    )
    made = LearnedBundle("one", "", "", 0.0, 0.0, 8)
    write_journal(folder, Journal(stage="provisional", bundle="one", bundles=[made]))
    (machine,) = settings.machines
    learning = settings.learning_of(machine)
    assert learning is not None
    learner = Learner("m", learning, folder, day_s=DAY_S)
    (provisional,) = make_plans(settings, state_dir=state)
    assert provisional.duty == HealthyDuty()
    play(provisional, compressor(20.0, 6.3 * DAY_S), record, learner)
    assert learner.turn()
    assert learner.stage == "armed"
    learner.stop()

    (armed,) = make_plans(settings, (provisional,), state)
    assert not armed.same_as(provisional)
    assert armed.duty.most_starts_per_h == pytest.approx(180 * 1.5, rel=0.2)
    play(armed, compressor(20.0, 260.0), record, None)
    assert "duty_cycle" not in record.last_state()["warnings"]
    limits = record.operations[-1][1]["healthy_duty"]
    assert limits["most_starts_per_h"] == armed.duty.most_starts_per_h
    check_payload("operation", record.operations[-1][1])
    play(armed, compressor(10.0, 260.0), record, None)
    assert "duty_cycle" in record.last_state()["warnings"]
    assert (
        "starts per hour, healthy: at most" in record.last_state()["warning_details"]["duty_cycle"]
    )

    checked = auscult("check", "--config", tmp_path / "config.toml")
    assert f"m: warning duty_cycle unless {duty_text(armed.duty)}" in checked.out
    journal = read_journal(folder)
    assert journal is not None
    assert len(journal.duty) == pytest.approx(6.3 * 24, abs=2)
