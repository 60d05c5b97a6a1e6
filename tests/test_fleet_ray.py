"""The engine ray: the results of no engine, on one computer and on a cluster of two nodes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.fleets import replayed, replayed_without_engine, start_replay, write_archives
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("fleet")]

N_MACHINES = 4
RAY = Path(sys.executable).with_name("ray")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archives(Path(tmp_path_factory.mktemp("plant")), N_MACHINES, 20.0)


@pytest.fixture(scope="module")
def expected(plant: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The results without any engine."""
    return replayed_without_engine(plant, Path(tmp_path_factory.mktemp("expected")))


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    """All programs of a cluster need the same one."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Two nodes of Ray on two loopback addresses, each with one core: the address, the nodes.

    The environment has the token that all of them need.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    starts = (
        ("--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--include-dashboard=false"),
        (f"--address={address}", "--node-ip-address=127.0.0.2"),
    )
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for words in starts:
            log = folder / f"node-{len(nodes)}"
            with log.open("wb") as output:
                command = [RAY, "start", *words, "--num-cpus=1", "--block"]
                nodes.append(
                    subprocess.Popen(
                        [*command, "--object-store-memory=80000000"],
                        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
                        stdout=output,
                        stderr=output,
                    )
                )
            wait_for(lambda: b"Ray runtime started" in log.read_bytes(), 120, f"{log} to start")  # noqa: B023 - called at once
        yield address, nodes
    finally:
        for node in reversed(nodes):
            node.terminate()
            node.wait(60)


def test_ray_gives_the_results_of_no_engine(
    plant: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """A result would depend on the engine that made it."""
    out = tmp_path / "out"
    driver = start_replay(plant, out, "--engine", "ray", "--workers", 2)
    _, messages = driver.communicate(timeout=500)
    assert driver.returncode == 0, messages
    assert replayed(out) == expected
    again = start_replay(plant, out, "--workers", 1, "--json")
    printed, _ = again.communicate(timeout=200)
    assert json.loads(printed)["done"] == 0, "another engine knows what is done"


@pytest.mark.usefixtures("token")
def test_two_nodes_give_the_results_of_no_engine_and_a_killed_one_costs_its_tasks_only(
    plant: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """A cluster with a token would be refused or give other results than one computer, or a
    computer that fails would end the work of all the others."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with cluster(tmp_path) as (address, nodes):
        driver = start_replay(plant, whole, "--engine", "ray", "--address", address)
        _, messages = driver.communicate(timeout=500)
        assert driver.returncode == 0, messages
        assert replayed(whole) == expected
        driver = start_replay(plant, killed, "--engine", "ray", "--address", address)
        wait_for(lambda: [*killed.glob(".tasks/*.json")], 200, "a first result")
        node = psutil.Process(nodes[1].pid)
        for process in (*node.children(recursive=True), node):
            process.kill()
        _, messages = driver.communicate(timeout=500)
    assert driver.returncode == 0, messages
    assert replayed(killed) == expected


def test_a_cluster_that_is_not_there_is_named(plant: Path, tmp_path: Path) -> None:
    """A wrong address would give a traceback of Ray."""
    options = ("--engine", "ray", "--address", "127.0.0.1:1")
    driver = start_replay(plant, tmp_path / "out", *options)
    _, messages = driver.communicate(timeout=200)
    assert driver.returncode == 69
    assert b"auscult: --address 127.0.0.1:1: Ray cannot be used" in messages
    assert b"Traceback" not in messages
