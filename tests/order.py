"""The order of tests, and which tests stay on one worker. A plugin of pytest."""

from __future__ import annotations

import os

import pytest

# A test that starts real programs is as slow as they are: these run after the quick ones.
SLOWER_MARKERS = ("data", "slow", "systemd")


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
