"""The order of tests, and which tests stay on one worker. A plugin of pytest."""

from __future__ import annotations

import os

import pytest

# A test that starts real programs is as slow as they are: these run after the quick ones.
SLOWER_MARKERS = ("data", "slow", "systemd")

# Half a minute or more each, the longest first: none of them begins when all others have ended.
LONGEST = (
    *("test_deploy_debian", "test_chaos", "test_notify", "test_fleet", "test_demo"),
    *("test_web_browser", "test_fleet_ray", "test_notify_full_disk", "test_daemon_relearning"),
    *("test_daemon_learning", "test_soak"),
)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first, so that a plain mistake shows in seconds.

    Where tests run side by side, those that boot a system come first instead, then the longest
    files, then the other slow tests, which mostly wait. Every file stays on one worker, and so do
    all tests of the fixture ``booted``, one after another.
    """
    is_beside = "PYTEST_XDIST_WORKER" in os.environ

    def slowness(item: pytest.Item) -> int:
        marked = [i for i, name in enumerate(SLOWER_MARKERS, 1) if item.get_closest_marker(name)]
        return max(marked, default=0)

    def length(item: pytest.Item) -> int:
        name = item.path.stem
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    if is_beside:
        first = len(SLOWER_MARKERS)
        items.sort(key=lambda item: (slowness(item) < first, length(item), -slowness(item)))
    else:
        items.sort(key=slowness)
    for item in items:
        group = "booted" if "booted" in getattr(item, "fixturenames", ()) else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
