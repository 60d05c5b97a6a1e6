"""What every test shares: the evaluation recordings, and the profiles of hypothesis."""

from __future__ import annotations

import gc
import os
import signal
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers with two threads each on two cores wait for each other, up to thirty times as long.
    for library in ("OMP", "OPENBLAS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")

if threading.current_thread() is threading.main_thread():
    # A shell starts programs in the background with SIGINT ignored, nohup with SIGHUP ignored, and
    # so would the tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Imported after this file: numpy reads the variables above.
pytest_plugins = ["tests.fixtures", "tests.browser_fixtures", "tests.installed_node", "tests.order"]

# Thousands of tests and their parameters stay until the end: looking for garbage among them, again
# and again, takes a fifth of the collection.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


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
