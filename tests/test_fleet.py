"""Fleets: the same results from every engine, after every interruption, and for every order."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from monitor.model.bundle import load_bundle
from tests.command_line import Outcome, auscult
from tests.fleets import InProcess
from tests.tiny_sound import simulated_frames, write_machine
from training.fleet import local_engine, perform
from training.fleet.run import FleetResult, train_fleet
from training.fleet.settings import read_fleet

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fleet")]

N_MACHINES = 3
CONFIG = """
[training]
epochs = 1
most_windows_per_epoch = 64
batch_size = 16
channels = [4]
bottleneck = 2
[features]
n_mels = 24
window_frames = 16
window_hop_frames = 8
"""
FLEET = """
[defaults]
config = "auscult.toml"
false_alarms_per_week = 7
report = false
[[machine]]
folders = "plant/*"
type = "pump"
share = "type"
most_references = 2
"""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three machines of one type, a fleet file, and archives, one of them with a fault."""
    folder = Path(tmp_path_factory.mktemp("plant"))
    for number in range(N_MACHINES):
        machine = folder / "plant" / f"pump-{number}"
        write_machine(machine / "healthy", 8, first_seed=100 * number)
        archive = write_machine(machine / "archive", 2, first_seed=100 * number + 50)
        if number == 1:
            faulty = simulated_frames(170, seconds=40.0, fault_db=12.0)
            np.save(archive / "20261130T101500Z.npy", faulty)
    (folder / "auscult.toml").write_text(CONFIG)
    (folder / "fleet.toml").write_text(FLEET)
    return folder


@pytest.fixture(scope="module")
def trained(plant: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of this process, without an engine."""
    out = Path(tmp_path_factory.mktemp("one")) / "out"
    assert not train_here(plant / "fleet.toml", out).failed
    return out


def train_here(path: Path, out: Path, *, overwrite: bool = False) -> FleetResult:
    return train_fleet(read_fleet(path), out, InProcess(), lambda *_: None, overwrite=overwrite)


def fleet(command: str, path: Path, out: Path, *more: object) -> Outcome:
    return auscult("fleet", command, path, "--out", out, *more)


def test_a_bundle_of_a_worker_that_was_killed_before_its_record_is_made_again(
    plant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repeated command would ask for --overwrite, although nobody had made a bundle before."""
    (tmp_path / "auscult.toml").write_text(CONFIG)
    path, out = tmp_path / "fleet.toml", tmp_path / "out"
    healthy = plant / "plant" / "pump-0" / "healthy"
    one = f'config = "auscult.toml"\nreport = false\n[[machine]]\nid = "a"\nhealthy = "{healthy}"\n'
    path.write_text(f"[defaults]\n{one}")

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(perform, "record", killed)
        with pytest.raises(SystemExit):
            train_here(path, out)
    placed = (out / "a" / "bundle.json").read_bytes()
    again = train_here(path, out)
    assert (again.failed, again.done) == ([], 1)
    assert (out / "a" / "bundle.json").read_bytes() == placed
    assert not list(out.glob("a.previous*"))
    (out / ".tasks" / "train-a.json").unlink()
    (out / "a" / "bundle.json").write_bytes(placed + b" ")
    assert "--overwrite" in train_here(path, out).failed[0].error


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def results(out: Path) -> dict[str, object]:
    """What must be the same for every engine: the table, and every bundle."""
    folders = [path.parent for path in out.glob("*/bundle.json") if "." not in path.parent.name]
    bundles = {folder.name: load_bundle(folder).sha256 for folder in folders}
    return {"table": (out / "fleet.parquet").read_bytes(), **bundles}


def test_each_machine_gets_a_bundle_and_a_row(trained: Path) -> None:
    """A machine of the fleet would be missing, and nobody would notice among a thousand."""
    found = rows(trained / "fleet.parquet")
    assert [row["machine"] for row in found] == [f"pump-{n}" for n in range(N_MACHINES)]
    for row in found:
        bundle = load_bundle(trained / row["machine"])
        assert row["bundle_sha256"] == bundle.sha256
        assert row["threshold"] == bundle.calibration.threshold
        assert row["false_alarms_per_week"] == 7
        assert row["recordings"] == 8
        assert row["error"] == ""
    left = {path.name for path in trained.iterdir() if path.name.startswith(".")}
    assert left == {".tasks"}, "unfinished work and shared log-mel must be removed"


def test_machines_of_one_type_are_references_of_each_other(trained: Path) -> None:
    """A swapped microphone would not be recognised, and the covariance would not be shared."""
    names = [
        one["name"] for one in load_bundle(trained / "pump-2").manifest.provenance["references"]
    ]
    assert names == ["pump-0", "pump-1"]


def test_two_workers_give_the_same_results(plant: Path, trained: Path, tmp_path: Path) -> None:
    """A fleet could not be repeated, and its bundles not compared."""
    outcome = fleet("train", plant / "fleet.toml", tmp_path / "out", "--workers", 2)
    assert outcome.status == 0, outcome.err
    assert results(tmp_path / "out") == results(trained)
    assert "3 of 3 machines" in outcome.err


def test_what_is_done_is_not_done_again(plant: Path, trained: Path, tmp_path: Path) -> None:
    """An interrupted fleet of a thousand machines would begin anew."""
    out = Path(shutil.copytree(trained, tmp_path / "out"))
    records = {path.name: path.stat().st_mtime_ns for path in (out / ".tasks").iterdir()}
    first = train_here(plant / "fleet.toml", out)
    assert (first.done, first.known, first.failed) == (0, N_MACHINES, [])
    assert {path.name: path.stat().st_mtime_ns for path in (out / ".tasks").iterdir()} == records
    (out / "pump-2" / "bundle.json").write_text("{}")
    again = train_here(plant / "fleet.toml", out, overwrite=True)
    assert (again.done, again.known, again.failed) == (1, N_MACHINES - 1, [])
    assert results(out) == results(trained)


def test_a_bad_machine_is_a_row_and_the_others_are_done(
    plant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One damaged recording would stop a fleet of a thousand machines."""
    monkeypatch.setattr(local_engine, "LocalEngine", lambda _n_workers: InProcess())
    fleet_file = Path(shutil.copytree(plant, tmp_path / "plant")) / "fleet.toml"
    healthy = tmp_path / "plant" / "plant" / "pump-1" / "healthy"
    (healthy / "03.npy").write_bytes(b"damaged")
    shutil.rmtree(tmp_path / "plant" / "plant" / "pump-2" / "healthy")
    outcome = fleet("train", fleet_file, tmp_path / "out", "--workers", 1)
    assert outcome.status == 65
    found = {row["machine"]: row for row in rows(tmp_path / "out" / "fleet.parquet")}
    assert str(healthy / "03.npy") in found["pump-1"]["error"]
    assert "no such file or folder" in found["pump-2"]["error"]
    assert [name for name, row in found.items() if not row["error"]] == ["pump-0"]
    assert "1 bundle of 3 in" in outcome.out
    assert not (tmp_path / "out" / "pump-1").exists()
    provenance = load_bundle(tmp_path / "out" / "pump-0").manifest.provenance
    assert provenance["references"] == [], "a machine that failed is no reference"
    page = (tmp_path / "out" / "index.html").read_text()
    assert "1 bundle of 3 machines" in page
    assert "damaged" not in page
    assert str(healthy / "03.npy") in page


def test_a_changed_recording_needs_overwrite(plant: Path, tmp_path: Path) -> None:
    """A bundle in use would be replaced without notice, or a new recording be ignored."""
    healthy = Path(shutil.copytree(plant / "plant" / "pump-0" / "healthy", tmp_path / "healthy"))
    shutil.copy(plant / "auscult.toml", tmp_path)
    fleet_file, out = tmp_path / "fleet.toml", tmp_path / "out"
    entry = 'config = "auscult.toml"\n[[machine]]\nid = "pump-0"\nhealthy = "healthy/*.npy"\n'
    fleet_file.write_text(f"[defaults]\n{entry}")
    assert not train_here(fleet_file, out).failed
    before = load_bundle(out / "pump-0").sha256
    assert "href='pump-0/report.html'" in (out / "index.html").read_text()
    assert str(out / "pump-0") in (out / "pump-0" / "report.html").read_text()
    np.save(healthy / "08.npy", simulated_frames(8))
    (refused,) = train_here(fleet_file, out).failed
    assert "--overwrite" in refused.error
    assert load_bundle(out / "pump-0").sha256 == before
    fleet_file.write_text(f"[defaults]\nreport = false\n{entry}")
    assert not train_here(fleet_file, out, overwrite=True).failed
    assert load_bundle(out / "pump-0").sha256 != before
    assert load_bundle(out / "pump-0.previous-1").sha256 == before
