"""The engine: tasks that wait, hang, flood and fail, and none of them delays the others."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator

import pytest

from monitor.service.engine import Engine
from monitor.sources.waiting import Wait
from tests.waiting import wait_for


class Steps:
    """A task made of a generator."""

    def __init__(self, steps: Iterator[Wait], name: str = "m", closing_s: float = 0.0) -> None:
        self.name = name
        self._steps, self._closing_s = steps, closing_s
        self.closed = threading.Event()

    def step(self) -> Wait | None:
        return next(self._steps, None)

    def close(self) -> None:
        time.sleep(self._closing_s)
        self.closed.set()


class Impatient(Engine):
    """An engine that waits no longer than a test may take."""

    HANGS_AFTER_S = 0.1
    MOST_HANGS = 1


@pytest.fixture
def pipe() -> Generator[tuple[int, int], None, None]:
    """A pipe: the end to read and the end to write."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def ticking(done: Callable[[], object], every_s: float = 0.005) -> Iterator[Wait]:
    """Does something again and again."""
    while True:
        done()
        yield Wait(time.monotonic() + every_s)


def test_what_is_due_for_longest_comes_first() -> None:
    """A machine that is late would become later with each newcomer."""
    order: list[int] = []
    engine, begun_s = Engine(), time.monotonic()

    def late(number: int) -> Iterator[Wait]:
        yield Wait(begun_s + 0.1 * number)
        order.append(number)

    def busy() -> Iterator[Wait]:
        time.sleep(0.5)
        yield Wait.NOW

    tasks = [Steps(late(number)) for number in (3, 1, 4, 2)]
    for task in tasks:
        engine.add(task)
    engine.add(Steps(busy()))
    wait_for(lambda: len(order) == 4)
    assert order == [1, 2, 3, 4]
    assert all(task.closed.wait(5) for task in tasks)


def test_a_task_that_hangs_delays_the_others_once_and_goes_on_alone() -> None:
    """One source or bundle that hangs would stop the monitoring of all machines."""
    release, steps = threading.Event(), 0

    def hanging() -> Iterator[Wait]:
        nonlocal steps
        for _ in range(3):
            release.wait(30)
            steps += 1
            yield Wait.NOW

    done: list[threading.Thread] = []
    engine = Impatient()
    stuck, other = (
        Steps(hanging(), "stuck"),
        Steps(ticking(lambda: done.append(threading.current_thread())), "other"),
    )
    engine.add(other)
    engine.add(stuck)

    def is_relieved() -> bool:
        engine.relieve()
        return len(set(done)) == 2

    wait_for(is_relieved)
    before = len(done)
    wait_for(lambda: len(done) > before + 10)
    assert steps == 0
    release.set()
    assert stuck.closed.wait(5)
    assert steps == 3
    assert len(set(done)) == 2
    engine.remove(other)
    assert other.closed.wait(5)


def test_a_task_that_hung_comes_back_to_the_others() -> None:
    """After a disk that hung for a moment, each machine would keep a thread for ever."""
    release, threads = threading.Event(), []
    engine = Impatient()
    engine.MOST_HANGS = 3  # type: ignore[misc]  # for this engine only

    def hanging() -> Iterator[Wait]:
        release.wait(30)
        while True:
            threads.append(threading.current_thread())
            yield Wait(time.monotonic() + 0.01)

    ticks: list[threading.Thread] = []
    stuck = Steps(hanging(), "stuck")
    other = Steps(ticking(lambda: ticks.append(threading.current_thread())), "other")
    engine.add(stuck)
    engine.add(other)

    def is_relieved() -> bool:
        engine.relieve()
        return bool(ticks)

    wait_for(is_relieved)
    release.set()
    wait_for(lambda: len(threads) > 3)
    assert threads[-1] is ticks[-1]
    for task in (stuck, other):
        engine.remove(task)
        assert task.closed.wait(5)


@pytest.mark.parametrize("ends", ["by itself", "removed"])
def test_an_error_while_closing_ends_no_other_task(
    ends: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in the end of one machine would end the monitoring of all, without a message."""

    class Bad(Steps):
        def close(self) -> None:
            super().close()
            raise RuntimeError("a bug in closing")

    ticks: list[int] = []
    engine, good = Engine(), Steps(ticking(lambda: ticks.append(1)))
    bad = Bad(iter([Wait.NOW] if ends == "by itself" else [Wait(math.inf)]))
    engine.add(good)
    engine.add(bad)
    if ends == "removed":
        engine.remove(bad)
    assert bad.closed.wait(5)
    before = len(ticks)
    wait_for(lambda: len(ticks) > before + 3)
    wait_for(lambda: "a bug in closing" in caplog.text)
    engine.remove(good)


def test_a_loop_that_a_bug_has_ended_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon would run and monitor nothing."""
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)
    ticks: list[int] = []
    engine, task = Engine(), Steps(ticking(lambda: ticks.append(1)))
    engine.add(task)
    wait_for(lambda: ticks)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_schedule", lambda *_: 1 / 0)
        wait_for(lambda: engine._loop is not None and not engine._loop.is_alive())
    before = len(ticks)
    engine.relieve()
    wait_for(lambda: len(ticks) > before + 3)
    engine.remove(task)
    assert task.closed.wait(5)


def test_a_task_that_hangs_can_be_removed() -> None:
    """A machine that hangs would still publish after its removal."""
    release, steps = threading.Event(), 0

    def hanging() -> Iterator[Wait]:
        nonlocal steps
        while True:
            release.wait(30)
            steps += 1
            yield Wait(math.inf)

    engine, stuck = Impatient(), Steps(hanging())
    engine.add(stuck)
    time.sleep(0.2)
    engine.relieve()
    engine.remove(stuck)
    assert not stuck.closed.wait(0.1)
    release.set()
    assert stuck.closed.wait(5)
    assert steps == 1


def test_a_task_that_never_waits_does_not_delay_one_that_is_due() -> None:
    """A program that floods the daemon would delay the alerts of all other machines."""
    between: list[int] = []
    steps: list[tuple[float, int]] = []

    def punctual() -> Iterator[Wait]:
        for _ in range(20):
            due_s = time.monotonic() + 0.02
            yield Wait(due_s)
            between.append(len({number for at_s, number in steps if at_s > due_s}))

    def flooding(number: int) -> Iterator[Wait]:
        while True:
            steps.append((time.monotonic(), number))
            time.sleep(0.001)
            yield Wait.NOW

    engine = Engine()
    floods = [Steps(flooding(number)) for number in range(3)]
    wanted = Steps(punctual())
    for task in (*floods, wanted):
        engine.add(task)
    assert wanted.closed.wait(30)
    assert max(between) <= 1, "only the slice that was under way may come before"
    assert {number for _, number in steps} == {0, 1, 2}
    for task in floods:
        engine.remove(task)
    assert all(task.closed.wait(5) for task in floods)


def test_data_is_taken_when_it_comes_but_not_before_it_is_wanted(pipe: tuple[int, int]) -> None:
    """Each tenth of a second of sound would wake the daemon."""
    woken: list[float] = []
    reading, writing = pipe
    wanted_s = time.monotonic() + 0.3

    def reader() -> Iterator[Wait]:
        yield Wait(math.inf, (reading,), wanted_s)
        woken.append(time.monotonic())
        os.read(reading, 10)
        yield Wait(math.inf, (reading,))
        woken.append(time.monotonic())

    engine, task = Engine(), Steps(reader())
    engine.add(task)
    os.write(writing, b"early")
    wait_for(lambda: woken)
    assert woken[0] >= wanted_s
    written_s = time.monotonic()
    os.write(writing, b"now")
    assert task.closed.wait(5)
    assert woken[1] >= written_s


def test_without_data_it_continues_at_the_end_of_the_wait(pipe: tuple[int, int]) -> None:
    """A program that hangs would never be started again."""
    until_s = time.monotonic() + 0.1
    engine, task = Engine(), Steps(iter([Wait(until_s, (pipe[0],))]))
    engine.add(task)
    assert task.closed.wait(5)
    assert time.monotonic() >= until_s


def test_closing_one_task_delays_no_other() -> None:
    """A program that ignores SIGTERM would interrupt the monitoring of all machines."""
    times: list[float] = []
    engine = Engine()
    slow = Steps(iter([Wait(math.inf)]), closing_s=1.0)
    other = Steps(ticking(lambda: times.append(time.monotonic())))
    for task in (slow, other):
        engine.add(task)
    wait_for(lambda: times)
    engine.remove(slow)
    before = len(times)
    wait_for(lambda: len(times) > before + 10)
    assert not slow.closed.is_set()
    engine.remove(other)
    assert slow.closed.wait(5)


def test_an_error_ends_one_task_only(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in one machine would end the monitoring of all."""

    def failing() -> Iterator[Wait]:
        yield Wait.NOW
        raise RuntimeError("a bug")

    ticks: list[int] = []
    engine, bad, good = Engine(), Steps(failing(), "bad"), Steps(ticking(lambda: ticks.append(1)))
    engine.add(good)
    engine.add(bad)
    assert bad.closed.wait(5)
    before = len(ticks)
    wait_for(lambda: len(ticks) > before)
    assert "a bug" in caplog.text
    engine.remove(good)


def test_it_has_no_thread_while_there_is_nothing_to_do() -> None:
    """Each reload would leave a thread behind."""
    engine, before = Engine(), set(threading.enumerate())
    for _ in range(3):
        tasks = [Steps(iter([Wait(math.inf)])) for _ in range(5)]
        for task in tasks:
            engine.add(task)
        for task in tasks:
            engine.remove(task)
        assert all(task.closed.wait(5) for task in tasks)
    wait_for(lambda: not {one for one in threading.enumerate() if one.is_alive()} - before)


def test_no_step_begins_after_the_stop_and_every_task_is_closed() -> None:
    """A daemon with a thousand machines would need longer to end than systemd waits."""
    ticks: list[int] = []
    before, engine = set(threading.enumerate()), Engine()
    tasks = [Steps(ticking(lambda: ticks.append(1), 0.0)) for _ in range(20)]
    for task in tasks:
        engine.add(task)
    wait_for(lambda: len(ticks) > 20)
    engine.stop()
    loops = [one for one in set(threading.enumerate()) - before if one.name == "engine"]
    wait_for(lambda: not any(one.is_alive() for one in loops))
    n_ticks = len(ticks)
    engine.relieve()
    engine.add(late := Steps(ticking(lambda: ticks.append(1))))
    for task in (*tasks, late):
        engine.remove(task)
    assert all(task.closed.wait(5) for task in (*tasks, late))
    assert len(ticks) == n_ticks


def test_many_tasks_are_closed_although_one_of_them_hangs() -> None:
    """A program that does not end would keep all other machines from ending."""
    engine = Engine()
    tasks = [Steps(ticking(lambda: None, 60.0), closing_s=0.001) for _ in range(500)]
    tasks.insert(0, hanging := Steps(ticking(lambda: None, 60.0), closing_s=3.0))
    for task in tasks:
        engine.add(task)
    engine.stop()
    for task in tasks:
        engine.remove(task)
    assert all(task.closed.wait(2) for task in tasks[1:])
    assert not hanging.closed.is_set()
    assert hanging.closed.wait(10)


def test_a_task_that_is_woken_does_not_wait_any_longer() -> None:
    """A machine would rest for seconds after its turn has come."""
    engine, task = Engine(), Steps(iter([Wait(math.inf)]))
    engine.add(task)
    wait_for(lambda: engine._entries[task].is_waiting and not engine._schedule._ready)
    engine.wake(task)
    assert task.closed.wait(5)
    engine.wake(task)


def test_a_task_that_paces_itself_is_late_and_no_flood() -> None:
    """A recording in real time would get less computing time than a program."""
    order: list[str] = []

    def late() -> Iterator[Wait]:
        for _ in range(3):
            time.sleep(0.02)
            order.append("late")
            yield Wait(time.monotonic())

    def flooding() -> Iterator[Wait]:
        while True:
            time.sleep(0.02)
            order.append("flood")
            yield Wait.NOW

    engine, wanted, flood = Engine(), Steps(late()), Steps(flooding())
    engine.add(flood)
    engine.add(wanted)
    assert wanted.closed.wait(5)
    engine.remove(flood)
    first = order.index("late")
    assert order[first : first + 3] == 3 * ["late"]
    assert flood.closed.wait(5)


def test_the_load_is_how_long_tasks_wait_and_how_long_the_loop_waits() -> None:
    """Machines would rest although there is time for all, or not although there is none."""
    engine = Engine()
    tasks = [Steps(ticking(lambda: time.sleep(0.02), 0.001)) for _ in range(10)]
    for task in tasks:
        engine.add(task)
    time.sleep(0.3)
    engine.take_load()
    time.sleep(1.0)
    busy = engine.take_load()
    assert busy.waited_s >= 0.1, "nine others come first, each for 20 ms"
    assert busy.idle_s <= 0.1
    for task in tasks[1:]:
        engine.remove(task)
    assert all(task.closed.wait(5) for task in tasks[1:])
    engine.take_load()
    time.sleep(0.5)
    assert engine.take_load().waited_s <= busy.waited_s / 2
    engine.remove(tasks[0])
    assert tasks[0].closed.wait(5)
