"""What every test shares: the evaluation recordings, hypothesis' profiles, the order of tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
# A test that starts real programs is as slow as they are: these run after the quick ones.
SLOWER_MARKERS = ("data", "slow", "systemd")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two workers of two threads each on two cores wait for each other, up to thirty times as long.
    for library in ("OMP", "OPENBLAS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

pytest_plugins = ["tests.fixtures"]  # imported after this file: numpy reads the variables above

settings.register_profile("default", deadline=None)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def data_folder() -> Path:
    """Where the evaluation recordings are: AUSCULT_DATA, or beside the checkout."""
    return Path(os.environ.get("AUSCULT_DATA", ROOT.parent / "shared" / "data"))


def shared_data(name: str) -> Path:
    """The folder of evaluation recordings called `name`; without it the calling test skips."""
    folder = data_folder() / name
    if not folder.is_dir():
        pytest.skip(f"no evaluation recordings '{name}' in {data_folder()} (set AUSCULT_DATA)")
    return folder


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first, so that a plain mistake shows in seconds.

    Where tests run side by side, those that boot a system come first instead, one after another on
    one worker, then the other slow ones, which mostly wait, and every file stays on one worker.
    """
    is_beside = "PYTEST_XDIST_WORKER" in os.environ

    def slowness(item: pytest.Item) -> int:
        marked = [i for i, name in enumerate(SLOWER_MARKERS, 1) if item.get_closest_marker(name)]
        return max(marked, default=0)

    items.sort(key=lambda item: -slowness(item) if is_beside else slowness(item))
    for item in items:
        group = "systemd" if item.get_closest_marker("systemd") else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
