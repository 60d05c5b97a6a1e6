"""`auscult fleet replay`: the scores and alerts of a plain replay, as Parquet."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
import soundfile

from monitor.domain import AudioBlock
from monitor.model.bundle import Bundle
from tests.bundles import machine_sound, make_bundle
from tests.command_line import RATE_HZ, Outcome, auscult
from tests.fleets import InProcess
from training.fleet import plan as planning
from training.fleet import replay_task
from training.fleet.run import replay_fleet
from training.fleet.settings import Machine, read_fleet
from training.fleet.tasks import Result

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("fleet")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("made") / "pump-1")


@pytest.fixture(scope="module")
def plant(made: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two machines with archives: dated and undated recordings, a fault, and a damaged file."""
    folder = Path(tmp_path_factory.mktemp("plant"))
    for name in ("pump-1", "pump-2"):
        (folder / "fleet" / name / "healthy").mkdir(parents=True)
        (folder / "fleet" / name / "archive").mkdir()
        shutil.copytree(made.path, folder / "bundles" / name)
    archive = folder / "fleet" / "pump-1" / "archive"
    fault = np.concatenate([machine_sound(10), machine_sound(12, seed=1, fault=0.3)])
    soundfile.write(archive / "20261129T235955Z.flac", fault, RATE_HZ)
    soundfile.write(archive / "undated.flac", machine_sound(12, seed=7), RATE_HZ)
    soundfile.write(
        folder / "fleet" / "pump-2" / "archive" / "a.wav", machine_sound(12, seed=8), RATE_HZ
    )
    return folder


def fleet(plant: Path, out: Path, *more: object) -> Outcome:
    bundles = ("--bundles", plant / "bundles")
    return auscult("fleet", "replay", plant / "fleet", "--out", out, *bundles, *more)


def plain(bundle: Path, recordings: Path) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """The rows of scores, and the summary, of `auscult replay`."""
    scores = auscult("replay", bundle, recordings, "--jobs", 1, "--scores", "-").out
    result = auscult("replay", bundle, recordings, "--jobs", 1, "--json").json
    return list(csv.DictReader(io.StringIO(scores))), result


def rows(out: Path) -> list[dict[str, Any]]:
    """All scores, as a user reads them with one line of pandas."""
    table = pyarrow.dataset.dataset(out / "scores", partitioning="hive").to_table()
    found: list[dict[str, Any]] = table.to_pylist()
    return sorted(found, key=lambda row: (row["file"], row["end_s"]))


def test_the_scores_are_those_of_a_replay(plant: Path, tmp_path: Path) -> None:
    """An archive would be judged in another way than live sound."""
    outcome = fleet(plant, tmp_path / "out", "--workers", 2)
    assert outcome.status == 0, outcome.err
    expected, result = plain(plant / "bundles" / "pump-1", plant / "fleet" / "pump-1" / "archive")
    found = [row for row in rows(tmp_path / "out") if row["machine"] == "pump-1"]
    assert len(found) == len(expected) > 20
    expected.sort(key=lambda one: (one["file"], float(one["end_s"])))
    for row, one in zip(found, expected, strict=True):
        assert (row["file"], row["score"]) == (one["file"], float(one["score"]))
        assert (row["start_s"], row["end_s"]) == (float(one["start_s"]), float(one["end_s"]))
        assert row["loss"] == float(one["loss"])
        assert row["anomalous"] == bool(int(one["anomalous"]))
    by_file = {
        row["file"]: row
        for row in pq.read_table(tmp_path / "out" / "recordings.parquet").to_pylist()
    }
    for one in result["files"]:
        assert by_file[one["file"]]["score"] == one["score"]
        assert by_file[one["file"]]["alerts"] == one["alerts"]
    alerts = pq.read_table(tmp_path / "out" / "alerts.parquet").to_pylist()
    assert [one["at"] for one in alerts] == [one["at"] for one in result["alerts"]]
    assert [one["kind"] for one in alerts] == ["raised"]


def test_scores_are_in_folders_by_machine_and_day(plant: Path, tmp_path: Path) -> None:
    """A reader of one day would read the archive of years."""
    assert fleet(plant, tmp_path / "out", "--workers", 1).status == 0
    folders = {
        path.parent.relative_to(tmp_path / "out").as_posix()
        for path in (tmp_path / "out" / "scores").rglob("*.parquet")
    }
    assert folders == {
        "scores/machine=pump-1/day=2026-11-29",
        "scores/machine=pump-1/day=2026-11-30",
        "scores/machine=pump-1/day=undated",
        "scores/machine=pump-2/day=undated",
    }
    for row in rows(tmp_path / "out"):
        assert (row["at"] is None) == (row["day"] == "undated")
        if row["at"] is not None:
            assert row["at"].date().isoformat() == str(row["day"])


def test_a_damaged_recording_is_a_row_and_the_rest_is_done_once(
    plant: Path, tmp_path: Path
) -> None:
    """One file would stop the replay of years, or every repetition do all of it again."""
    other = Path(shutil.copytree(plant, tmp_path / "plant"))
    (other / "fleet" / "pump-2" / "archive" / "b.wav").write_bytes(b"no sound")
    shutil.rmtree(other / "bundles" / "pump-1")
    out = tmp_path / "out"
    outcome = fleet(other, out, "--workers", 1, "--json")
    assert outcome.status == 65
    failed = {one["machine"]: one["error"] for one in outcome.json["failed"]}
    assert "b.wav" in failed["pump-2"]
    assert str(other / "bundles" / "pump-1") in failed["pump-1"]
    assert len([row for row in rows(out) if row["machine"] == "pump-2"]) > 5
    assert (outcome.json["done"], outcome.json["done_before"]) == (1, 0)
    again = fleet(other, out, "--workers", 1, "--json")
    assert (again.json["done"], again.json["done_before"]) == (0, 1)
    assert again.json["failed"] == outcome.json["failed"]
    (part,) = out.rglob("replay-*.parquet")
    part.write_bytes(b"damaged")
    assert fleet(other, out, "--workers", 1, "--json").json["done"] == 1


def test_scores_of_recordings_that_were_removed_are_removed(
    plant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an archive that loses its oldest days, the newest ones would be there twice."""
    monkeypatch.setattr(planning, "_TASK_BYTES", 1000)  # a task for each recording
    other, out = Path(shutil.copytree(plant, tmp_path / "plant")), tmp_path / "out"

    def scored_files() -> list[str]:
        machines = read_fleet(other / "fleet")
        replay_fleet(machines, other / "bundles", out, InProcess(), lambda *_: None)
        found = [row for row in rows(out) if row["machine"] == "pump-1"]
        assert len({(row["file"], row["end_s"]) for row in found}) == len(found)
        return sorted({row["file"] for row in found})

    assert len(scored_files()) == 2
    (other / "fleet" / "pump-1" / "archive" / "20261129T235955Z.flac").unlink()
    (kept,) = scored_files()
    assert kept.endswith("undated.flac")


def test_scores_of_machines_that_left_the_fleet_are_removed(
    plant: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question about all machines would count one that was sold; or a user's file is deleted."""
    monkeypatch.setattr(planning, "_TASK_BYTES", 1000)  # a task for each recording
    out, machines = tmp_path / "out", read_fleet(plant / "fleet")

    def removed_by(fleet: Sequence[Machine], bundles: Path) -> list[str]:
        return replay_fleet(fleet, bundles, out, InProcess(), lambda *_: None).removed

    def scored() -> set[str]:
        return {path.parents[1].name for path in out.rglob("replay-*.parquet")}

    bundles = plant / "bundles"
    assert removed_by(machines, bundles) == []
    assert scored() == {"machine=pump-1", "machine=pump-2"}
    kept = machines[1:]
    left = out / "scores" / "machine=pump-1"
    own = left / "notes.txt"
    own.write_text("written by hand")
    changed = next(left.glob("day=undated/*.parquet"))
    changed.write_bytes(b"changed by hand")
    present = (out / "scores" / "machine=pump-2").rglob("replay-*.parquet")
    scores = next(present).with_name("replay-of-mine.parquet")
    scores.write_bytes(b"made by hand")
    (out / ".tasks" / "replay-evil.json").write_text(
        json.dumps(_record("replay-evil", "gone", {"../outside": _sha256(b"outside")}))
    )
    (tmp_path / "outside").write_bytes(b"outside")
    # A machine of the fleet that cannot be scored now keeps its scores.
    assert removed_by(machines, tmp_path / "no bundles") == []
    assert scored() == {"machine=pump-1", "machine=pump-2"}
    assert removed_by(kept, bundles) == ["pump-1"]
    assert sorted(path.name for path in left.rglob("*") if path.is_file()) == sorted(
        [changed.name, own.name]
    )
    assert scores.exists()
    assert (tmp_path / "outside").exists()
    assert not list((out / ".tasks").glob("replay-pump-1-*"))
    changed.unlink()
    own.unlink()
    assert removed_by(machines, bundles) == []  # the machine is back: all of it is scored again
    assert len(list(left.rglob("replay-*.parquet"))) == 3
    assert removed_by(kept, bundles) == ["pump-1"]
    assert not left.exists()


def _record(task: str, machine: str, files: dict[str, str]) -> dict[str, Any]:
    result = Result(task, machine, {}, files)
    return {"fingerprint": "f", "result": json.loads(result.to_json())}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_stretches_of_a_long_recording_give_the_scores_of_the_whole(
    made: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores would differ near the cuts, or be missing or doubled there."""
    archive = tmp_path / "fleet" / "pump-1" / "archive"
    archive.mkdir(parents=True)
    (archive.parent / "healthy").mkdir()
    sound = np.concatenate(
        [machine_sound(100), machine_sound(60, seed=1, fault=0.3), machine_sound(96, seed=2)]
    )
    soundfile.write(archive / "long.wav", sound, RATE_HZ)
    monkeypatch.setattr(planning, "STRETCH_S", 64.0)
    monkeypatch.setattr(planning, "_LONGEST_S", 96.0)
    monkeypatch.setattr(planning, "_TASK_BYTES", 1000)
    monkeypatch.setattr(replay_task, "LEAD_IN_S", 64.0)
    out = tmp_path / "out"
    result = replay_fleet(
        read_fleet(tmp_path / "fleet"), made.path.parent, out, InProcess(), lambda *_: None
    )
    assert not result.failed
    assert result.done == 4
    expected, _ = plain(made.path, archive)
    found = rows(out)
    assert [row["end_s"] for row in found] == [float(one["end_s"]) for one in expected]
    assert [row["score"] for row in found] == [float(one["score"]) for one in expected]
    parts = pq.read_table(out / "recordings.parquet").to_pylist()
    assert [(part["start_s"], part["end_s"]) for part in parts] == [
        (0.0, 64.0), (64.0, 128.0), (128.0, 192.0), (192.0, 256.0),
    ]  # fmt: skip
    assert sum(part["alerts"] for part in parts) == 1


def test_the_positions_of_a_stretch_count_from_its_beginning(made: Bundle, tmp_path: Path) -> None:
    """The check of the recording chain would hold all windows back, a gigabyte in two hours."""
    soundfile.write(tmp_path / "long.wav", machine_sound(30), RATE_HZ)
    stretch = replay_task.Stretch(made, "long.wav", 980.0, 990.0, None)  # begins at 20 s
    read = stretch.blocks(tmp_path / "long.wav")
    blocks = [block for block in read if isinstance(block, AudioBlock)]
    assert blocks[0].first_sample == 0
    assert sum(len(block.samples) for block in blocks) == 10 * RATE_HZ
