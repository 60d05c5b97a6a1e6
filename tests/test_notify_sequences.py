"""Any sequence of alerts, failures and kills: every alert is sent, and in order."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from monitor.notify.quiet_hours import QuietTime
from tests.notify_lines import AlertLine, lines_of
from tests.notify_model import QUIET, Alert, World, plan

MACHINES = st.sampled_from(["pump-7", "fan-2", "press-1"])
KILLS = st.sampled_from(["", "", "", "before send", "after send", "before save", "after save"])


class Notifications(RuleBasedStateMachine):
    """Alerts come and go; the target fails and comes back; the process is killed anywhere."""

    world: World

    @initialize(
        ended=st.booleans(),
        min_interval_s=st.sampled_from([0.0, 600.0]),
        quiet=st.sampled_from([None, QUIET, replace(QUIET, alarms=True)]),
    )
    def begin(self, ended: bool, min_interval_s: float, quiet: QuietTime | None) -> None:
        self.world = World(plan(quiet, ended=ended, min_interval_s=min_interval_s))

    @rule(machine=MACHINES, evidence=st.sampled_from([None, {"id": "a picture that never comes"}]))
    def raise_or_update(self, machine: str, evidence: dict[str, str] | None) -> None:
        alert = self.world.open_alert(machine)
        if alert is not None:
            self.world.happens("updated", alert)
            return
        self.world.raised(machine, evidence=evidence)

    @rule(machine=MACHINES)
    def clear(self, machine: str) -> None:
        alert = self.world.open_alert(machine)
        if alert is not None:
            self.world.happens("cleared", alert)

    @rule(kill=KILLS)
    def turn(self, kill: str) -> None:
        self.world.turn(kill)

    @rule()
    def fail_or_recover(self) -> None:
        self.world.is_down = not self.world.is_down

    @rule()
    def refuse_or_accept_the_history(self) -> None:
        if self.world.refuses:
            self.world.accept()
        else:
            self.world.refuses = True

    @rule()
    def hide_or_show_the_history(self) -> None:
        self.world.history.exists = not self.world.history.exists

    @rule()
    def lose_or_find_the_broker(self) -> None:
        self.world.broker_is_down = not self.world.broker_is_down

    @rule()
    def kill_the_daemon(self) -> None:
        self.world.kill_daemon()

    @rule(minutes=st.integers(1, 200))
    def wait(self, minutes: int) -> None:
        self.world.clock.now_s += 60.0 * minutes

    @rule(set_by_s=st.sampled_from([0.0, -1e6, 1e6]))
    @precondition(lambda self: self.world.plan.schedule.quiet is None)
    def set_the_clock(self, set_by_s: float) -> None:
        self.world.clock.set_by_s = set_by_s

    @invariant()
    def nothing_is_sent_in_the_quiet_hours(self) -> None:
        quiet = self.world.plan.schedule.quiet
        if quiet is None:
            return
        for sent in self.world.sent:
            alarm = quiet.alarms and sent.message.mood == "failure"
            assert alarm or not quiet.covers(sent.unix_s)

    @invariant()
    def there_is_an_interval_between_messages(self) -> None:
        least_s = self.world.plan.schedule.min_interval_s
        for before, sent in itertools.pairwise(self.world.sent):
            assert sent.after_kill or sent.steady_s - before.steady_s >= least_s

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        # Also if the disk never accepts the history again.
        for accepts_at_last in (False, True):
            self._check_all(accepts_at_last=accepts_at_last)

    def _check_all(self, *, accepts_at_last: bool) -> None:
        world = self.world
        world.clock.set_by_s = 0.0
        world.is_down = False
        world.history.exists = True
        if accepts_at_last:
            world.accept()
        for _ in range(5):  # through the quiet hours
            world.settle()
            world.clock.now_s += 3600.0
        world.settle()
        assert not _unsent(world)
        _check_order(world)


def _lines(world: World) -> list[list[AlertLine]]:
    return [lines_of(sent.message, sent.unix_s) for sent in world.sent]


def _unsent(world: World) -> list[Alert]:
    """The alerts whose last state was not sent."""
    lines = [line for lines in _lines(world) for line in lines]
    begins = {(line.machine, line.begin) for line in lines}
    ends = {(line.machine, line.end) for line in lines}
    unsent = []
    for alert in world.alerts:
        begin_sent = (alert.machine, alert.begin) in begins
        end_sent = (alert.machine, alert.end) in ends
        needs_end = alert.end is not None and world.plan.interest.ended
        if not begin_sent or (needs_end and not end_sent):
            unsent.append(alert)
    return unsent


def _check_order(world: World) -> None:
    """Of each machine, messages have what happened in its order; only a kill repeats a message.

    A message about several machines may be repeated in parts: pictures are waited for again. An
    alert of the outbox does not wait for a history that cannot be read, nor for what that has.
    """
    out_of_order = {
        (alert.machine, minute)
        for alert in world.alerts
        if alert.alert_id in world.without_history
        for minute in (alert.begin, alert.end)
    }
    for machine in {alert.machine for alert in world.alerts}:
        before: list[AlertLine] = []
        was_killed = False
        for written, sent in zip(_lines(world), world.sent, strict=True):
            lines = [line for line in written if line.machine == machine]
            times = [line.newest for line in lines]
            was_killed |= sent.after_kill
            if not lines:
                continue
            if any((machine, line.newest) in out_of_order for line in [*before, *lines]):
                before, was_killed = lines, False
                continue
            assert times == sorted(times)
            if before and was_killed:
                assert times[0] >= before[0].newest
            elif before:
                assert times[0] > before[-1].newest
            before, was_killed = lines, False


TestNotifications = pytest.mark.slow(Notifications.TestCase)
TestNotifications.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
