"""Fleets whose workers or driver are killed: the same results, and nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.fleets import replayed, replayed_without_engine, start_replay, write_archives
from tests.waiting import wait_for
from training.fleet.local_engine import LocalEngine
from training.fleet.tasks import Task

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fleet")]

N_MACHINES = 6


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archives(Path(tmp_path_factory.mktemp("plant")), N_MACHINES, 60.0)


@pytest.fixture(scope="module")
def expected(plant: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results without any engine."""
    return replayed_without_engine(plant, Path(tmp_path_factory.mktemp("expected")))


def children_of(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children")
    return [int(one) for one in found.read_text().split()] if found.exists() else []


def is_gone(process: int) -> bool:
    """Whether a process has ended, also if nobody has waited for it yet."""
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or ") Z " in status.read_text()


def records(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / ".tasks").glob("*.json")}


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_give_the_results_of_no_processes(
    workers: int, plant: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """The results would depend on the computer."""
    out = tmp_path / "out"
    driver = start_replay(plant, out, "--workers", workers)
    _, messages = driver.communicate(timeout=200)
    assert driver.returncode == 0, messages
    assert replayed(out) == expected
    assert f"{N_MACHINES} of {N_MACHINES} tasks".encode() in messages


def test_a_killed_worker_costs_its_task_only(
    plant: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """A machine would be missing because the kernel ended a process for its memory."""
    out = tmp_path / "out"
    driver = start_replay(plant, out, "--workers", 2, "--json")
    wait_for(lambda: records(out), 150, "a first result")
    os.kill(children_of(driver.pid)[0], signal.SIGKILL)
    printed, messages = driver.communicate(timeout=200)
    assert driver.returncode == 0, messages
    assert json.loads(printed)["done"] == N_MACHINES
    assert replayed(out) == expected


def test_a_killed_driver_continues_where_it_was(
    plant: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """Hours of work would be repeated, or two drivers write the same files."""
    out = tmp_path / "out"
    driver = start_replay(plant, out, "--workers", 1)
    wait_for(lambda: records(out), 150, "a first result")
    workers = children_of(driver.pid)
    driver.kill()
    driver.communicate(timeout=60)
    wait_for(lambda: all(map(is_gone, workers)), 60, "the end of the workers")
    done = records(out)
    again = start_replay(plant, out, "--workers", 1, "--json")
    printed, messages = again.communicate(timeout=200)
    assert again.returncode == 0, messages
    counts = json.loads(printed)
    assert (counts["done_before"], counts["done"]) == (len(done), N_MACHINES - len(done))
    assert {name: records(out)[name] for name in done} == done
    assert replayed(out) == expected


def test_an_interruption_says_how_to_continue(plant: Path, tmp_path: Path) -> None:
    """A user would not know whether hours of work are lost."""
    out = tmp_path / "out"
    driver = start_replay(plant, out, "--workers", 1)
    wait_for(lambda: records(out), 150, "a first result")
    workers = children_of(driver.pid)
    driver.send_signal(signal.SIGINT)
    _, messages = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert b"interrupted; repeat the command to continue" in messages
    wait_for(lambda: all(map(is_gone, workers)), 60, "the end of the workers")


def test_a_task_that_ends_its_workers_becomes_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One recording that needs too much memory would be tried for ever."""
    program = tmp_path / "worker.py"
    program.write_text(
        "import os, sys\n"
        "for line in sys.stdin:\n"
        "    if 'deadly' in line: os.kill(os.getpid(), 9)\n"
        "    name = line.split(chr(34))[3]\n"
        '    print(\'{"task": "%s", "machine": "m", "values": {}, "files": {}, \'\n'
        "          '\"messages\": []}' % name, flush=True)\n"
    )
    words = ("python3", str(program))
    monkeypatch.setattr("training.fleet.local_engine._PROGRAM", words)
    names = ["good-1", "deadly", "good-2", "good-3"]
    engine = LocalEngine(2)
    found = {
        one.task: one.error
        for one in engine.results([Task(name, "k", "m", tmp_path, (), {}) for name in names])
    }
    engine.close()
    assert {*found} == {*names}
    assert [name for name, error in found.items() if error] == ["deadly"]
    assert found["deadly"] == (
        "the worker was ended by signal 9, 3 times: is there too little memory?"
    )


def test_a_second_command_does_not_use_the_same_folder(plant: Path, tmp_path: Path) -> None:
    """A command that begins before the last one has ended would report machines as failed."""
    out = tmp_path / "out"
    first = start_replay(plant, out, "--workers", 1)
    try:
        wait_for(lambda: records(out), 150, "a first result")
        first.send_signal(signal.SIGSTOP)  # it would be done before the other one has begun
        second = start_replay(plant, out, "--workers", 1)
        _, messages = second.communicate(timeout=60)
        assert second.returncode == 69
        assert b"another auscult fleet uses this folder" in messages
        first.kill()
        first.wait(20)
        third = start_replay(plant, out, "--workers", 1)
        _, messages = third.communicate(timeout=200)
        assert third.returncode == 0, messages
    finally:
        first.kill()
        first.communicate()
