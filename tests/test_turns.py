"""Machines that rest in turn while one core does not compute the scores of all."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from monitor.service.schedule import Load
from monitor.service.turns import Turn, Turns

PIPE_S = 4.0


@dataclass(eq=False)
class Live:
    """A machine whose sound waits in a pipe."""

    may_rest: bool = True
    is_deciding: bool = False
    taken_s: float = 0.0
    waiting_s: float = 0.0
    given: Turn = Turn.UNLIMITED
    stretches_s: list[float] = field(default_factory=list)
    rests_s: list[float] = field(default_factory=list)

    def take_turn(self, turn: Turn) -> None:
        was_resting = self.resting
        self.given = turn
        if self.resting is not was_resting:
            (self.rests_s if self.resting else self.stretches_s).append(0.0)

    @property
    def resting(self) -> bool:
        return self.given is Turn.REST


class Loop:
    """One core that processes ``capacity`` seconds of sound in a second, for all machines."""

    def __init__(self, n_machines: int, capacity: float) -> None:
        self.machines = [Live(stretches_s=[0.0]) for _ in range(n_machines)]
        self.capacity = capacity
        self.turns = Turns()
        self.now_s = 0.0

    def pass_(self, seconds: int, capacity: float | None = None) -> None:
        """Let time pass, in turns of a second."""
        for _ in range(seconds):
            self._pass_second(self.capacity if capacity is None else capacity)

    def _pass_second(self, capacity: float) -> None:
        on = [one for one in self.machines if one.may_rest and not one.resting]
        for one in self.machines:
            one.waiting_s = min(PIPE_S, one.waiting_s + 1.0) if one in on else 0.0
            (one.rests_s if one.resting else one.stretches_s)[-1] += 1.0
        wanted_s = sum(one.waiting_s for one in on)
        share = min(1.0, capacity / wanted_s) if wanted_s else 0.0
        for one in on:
            one.taken_s += share * one.waiting_s
            one.waiting_s *= 1.0 - share
        late_s = sum(one.waiting_s for one in on) / max(1, len(on)) if capacity else 0.0
        idle_s = max(0.0, 1.0 - wanted_s / capacity) if capacity else 0.0
        self.now_s += 1.0
        self.turns.turn(self.machines, Load(late_s, idle_s), self.now_s)

    @property
    def n_resting(self) -> int:
        return sum(one.resting for one in self.machines)


@pytest.mark.parametrize("factor", [1.3, 2.5, 6.0, 20.0])
def test_of_too_many_machines_each_gets_its_share_in_long_pieces(factor: float) -> None:
    """With twice as many machines as fit, hardly any score would come."""
    loop = Loop(round(100 * factor), 100)
    loop.pass_(600)
    before = [one.taken_s for one in loop.machines]
    loop.pass_(600)
    taken_s = [one.taken_s - was for one, was in zip(loop.machines, before, strict=True)]
    assert sum(taken_s) >= 0.85 * 600 * 100, "most of the computing time is used"
    fair_s = sum(taken_s) / len(taken_s)
    assert 0.5 * fair_s <= min(taken_s) <= max(taken_s) <= 1.8 * fair_s
    stretches_s = [length for one in loop.machines for length in one.stretches_s[1:-1]]
    assert sum(length >= 8.0 for length in stretches_s) >= 0.9 * len(stretches_s)
    rests_s = [length for one in loop.machines for length in one.rests_s]
    assert max(rests_s) <= max(75.0, 15.0 * factor)


@pytest.mark.parametrize("n_machines", [1, 50, 99])
def test_no_machine_rests_while_all_sound_is_processed(n_machines: int) -> None:
    """A machine would lose sound although the computer is fast enough."""
    loop = Loop(n_machines, 100)
    loop.pass_(120)
    assert all(one.given is Turn.UNLIMITED and not one.rests_s for one in loop.machines)


def test_no_machine_rests_after_a_step_that_hung() -> None:
    """A disk that hangs for a moment would cost sound that lies in the pipes."""
    loop = Loop(80, 100)
    loop.pass_(30)
    loop.pass_(3, capacity=0.0)
    loop.pass_(60)
    assert all(one.given is Turn.UNLIMITED and not one.rests_s for one in loop.machines)


def test_all_machines_are_monitored_again_when_there_is_time_for_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After a backup in the night, machines would lose sound all day."""
    caplog.set_level("INFO")
    loop = Loop(100, 120)
    loop.pass_(30)
    loop.pass_(60, capacity=30.0)
    assert loop.n_resting >= 50
    loop.pass_(120)
    assert all(one.given is Turn.UNLIMITED for one in loop.machines)
    assert [one.levelname for one in caplog.records] == ["WARNING", "INFO"]
    assert "of 100 are monitored at a time" in caplog.text


def test_a_machine_that_may_raise_an_alert_does_not_rest_now() -> None:
    """The turn of a machine would end in the seconds in which its fault is confirmed."""
    loop = Loop(100, 40)
    loop.pass_(60)
    on = [one for one in loop.machines if not one.resting]
    for one in on[:5]:
        one.is_deciding, one.stretches_s = True, [0.0]
    loop.pass_(25)
    assert not any(one.resting for one in on[:5])
    assert any(one.resting for one in on[5:])
    loop.pass_(60)
    assert all(one.rests_s for one in on[:5]), "but not for ever"


def test_an_archive_does_not_count_as_sound_that_comes_now() -> None:
    """While an archive is read at many times real time, the computer would seem fast enough."""
    loop = Loop(100, 40)
    archive = Live(may_rest=False, stretches_s=[0.0])
    loop.machines.append(archive)
    for _ in range(60):
        archive.taken_s += 500.0
        loop.pass_(1)
    assert loop.n_resting >= 50
    assert archive.given is Turn.UNLIMITED


def test_a_source_without_sound_takes_no_turn() -> None:
    """A hundred microphones that are unplugged would take the place of those that work."""
    loop = Loop(100, 40)
    loop.pass_(60)
    for one in loop.machines[:60]:
        one.may_rest = False
    loop.pass_(1)
    assert not any(one.resting for one in loop.machines[:60])
    loop.pass_(60)
    assert loop.n_resting <= 5
