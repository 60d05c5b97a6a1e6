"""Machines with the same bundle share it and its session."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from monitor.config.settings import Settings
from monitor.errors import BundleError
from monitor.features.log_mel import log_mel_windows
from monitor.model.bundle import Bundle, load_bundle
from monitor.service.machine_plan import make_plans
from tests.bundles import SPEC, machine_sound, make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


def settings_for(bundles: Sequence[Path]) -> Settings:
    machines = [
        {"id": f"m{number}", "bundle": path, "source": {"kind": "simulated", "seed": number}}
        for number, path in enumerate(bundles)
    ]
    return Settings.model_validate({"mqtt": {"host": "localhost"}, "machine": machines})


def test_five_hundred_machines_load_their_bundle_once(bundle: Bundle) -> None:
    """The daemon takes minutes to start, or gigabytes of memory, for many machines of a type."""
    first = make_plans(settings_for([bundle.path]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    plans = make_plans(settings_for([bundle.path] * 500), first)
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert all(plan.bundle is first[0].bundle for plan in plans)
    assert all(plan.network is first[0].network for plan in plans)
    assert grown_kb < 500 * 100


def test_a_copy_of_a_bundle_is_shared(bundle: Bundle, tmp_path: Path) -> None:
    """Each machine with a folder of its own needs the memory of a whole bundle."""
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    one, other = make_plans(settings_for([bundle.path, copy]))
    assert one.bundle is other.bundle
    assert one.network is other.network


def test_a_damaged_copy_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """A damaged bundle is used as long as another machine has the same manifest."""
    copy = tmp_path / "copy"
    shutil.copytree(bundle.path, copy)
    (copy / "head.npz").write_bytes(b"damaged")
    with pytest.raises(BundleError, match=r'machine "m1": .*copy/head\.npz: SHA-256'):
        make_plans(settings_for([bundle.path, copy]))
    with pytest.raises(BundleError, match=r"copy/head\.npz: SHA-256"):
        load_bundle(copy, {bundle.sha256: bundle})


def test_another_bundle_is_not_shared(bundle: Bundle, tmp_path: Path) -> None:
    """A machine is scored with the bundle of another machine."""
    sound = [machine_sound(15.0, seed=seed) for seed in range(20, 24)]
    other = make_bundle(tmp_path / "other", sound)
    first, second = make_plans(settings_for([bundle.path, other.path]))
    assert first.bundle is not None
    assert second.bundle is not None
    assert (first.bundle.sha256, second.bundle.sha256) == (bundle.sha256, other.sha256)
    windows_db = log_mel_windows(machine_sound(3.0), SPEC)
    assert first.network is not None
    assert second.network is not None
    one, other_one = first.network.run(windows_db), second.network.run(windows_db)
    assert not np.array_equal(one.evidence, other_one.evidence)
