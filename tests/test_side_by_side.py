"""The test suite: systems are booted one after another, and a file runs on one worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.order import LONGEST

ROOT = Path(__file__).resolve().parent.parent

_TESTS = """
import os, pathlib, pytest
@pytest.fixture(scope="session")
def booted():
    pass
@pytest.fixture
def node(booted):
    pass
@pytest.mark.systemd
@pytest.mark.parametrize("number", range(4))
def test_boot(number, node):
    with pathlib.Path("boot").open("a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
@pytest.mark.parametrize("number", range(4))
def test_quick(number):
    with pathlib.Path("quick-{name}").open("a") as file:
        file.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


def test_systems_have_one_worker_and_files_stay_whole(tmp_path: Path) -> None:
    """Two systems boot under one name, and every bundle is trained twice."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n data\n systemd\n")
    for name in ("a", "b", "c"):
        (tmp_path / f"test_{name}.py").write_text(_TESTS.format(name=name))
    side_by_side = ["-p", "tests.order", "-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *side_by_side],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    workers = {
        name: (tmp_path / name).read_text(encoding="utf-8").split()
        for name in ("boot", "quick-a", "quick-b", "quick-c")
    }
    assert len(workers["boot"]) == 12
    assert all(len(set(found)) == 1 for found in workers.values())


def test_the_longest_files_exist() -> None:
    """A file that was renamed begins last, and one worker is busy while all others have ended."""
    assert [name for name in LONGEST if not (ROOT / "tests" / f"{name}.py").exists()] == []
