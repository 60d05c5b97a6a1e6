"""Recordings with odd names, and recordings that vanish: only their machine is affected."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import soundfile

from tests.bundles import machine_sound
from tests.command_line import RATE_HZ
from tests.fleets import InProcess, write_archives
from training.fleet.run import FleetResult, replay_fleet
from training.fleet.settings import read_fleet

NAME = "20261130T101500Z.wav"
NOT_UTF8 = os.fsdecode(b"old\xff.wav")
SHOWN = r"old\xff.wav"


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    """Two machines; the second one has a fault."""
    return write_archives(tmp_path, 2, 12.0)


def replay(plant: Path) -> FleetResult:
    machines = read_fleet(plant / "fleet")
    return replay_fleet(machines, plant / "bundles", plant / "out", InProcess(), lambda *_: None)


def archive(plant: Path, number: int) -> Path:
    return plant / "fleet" / f"pump-{number}" / "archive"


def test_a_recording_whose_name_is_not_utf8_is_scored(plant: Path) -> None:
    """Names of old Windows computers would end the replay of the machine as a fault of Auscult."""
    shutil.move(archive(plant, 1) / NAME, archive(plant, 1) / NOT_UTF8)
    assert not replay(plant).failed
    rows = pq.read_table(plant / "out" / "recordings.parquet").to_pylist()
    assert [Path(row["file"]).name for row in rows] == [NAME, SHOWN]
    assert [row["anomalous"] for row in rows] == [False, True]
    alerts = pq.read_table(plant / "out" / "alerts.parquet").to_pylist()
    assert {Path(alert["file"]).name for alert in alerts} == {SHOWN}
    (scores,) = (plant / "out" / "scores" / "machine=pump-1").rglob("*.parquet")
    assert {Path(one).name for one in pq.read_table(scores)["file"].to_pylist()} == {SHOWN}


def test_a_bad_file_whose_name_is_not_utf8_is_a_row(plant: Path) -> None:
    """No table would be written, for none of the machines."""
    (archive(plant, 0) / NOT_UTF8).write_bytes(b"no sound")
    (failed,) = replay(plant).failed
    assert failed.machine == "pump-0"
    rows = pq.read_table(plant / "out" / "recordings.parquet").to_pylist()
    assert [bool(row["error"]) for row in rows] == [False, True, False]


def test_a_recording_that_has_vanished_affects_its_machine_only(plant: Path) -> None:
    """A link to a disk that is not mounted would end the whole command with a traceback."""
    assert not replay(plant).failed
    recording = archive(plant, 0) / NAME
    recording.unlink()
    recording.symlink_to(plant / "unmounted" / NAME)
    result = replay(plant)
    assert [one.machine for one in result.failed] == ["pump-0"]
    assert str(recording) in result.failed[0].error
    assert (result.known, result.done) == (1, 1)
    recording.unlink()
    soundfile.write(recording, machine_sound(12.0, seed=0), RATE_HZ)
    assert not replay(plant).failed


def test_an_archive_that_has_vanished_affects_its_machine_only(plant: Path) -> None:
    """The same for a recording by a URL, such as a file of a zip archive or of a store."""
    packed = shutil.make_archive(str(plant / "pump-0"), "zip", archive(plant, 0))
    (plant / "fleet.toml").write_text(
        f'[[machine]]\nid = "pump-0"\narchive = "zip://{NAME}::{packed}"\n'
        '[[machine]]\nid = "pump-1"\narchive = "fleet/pump-1/archive"\n'
    )

    def replay_urls() -> FleetResult:
        machines = read_fleet(plant / "fleet.toml")
        bundles, out = plant / "bundles", plant / "out"
        return replay_fleet(machines, bundles, out, InProcess(), lambda *_: None)

    assert not replay_urls().failed
    Path(packed).write_bytes(b"damaged")
    result = replay_urls()
    assert [one.machine for one in result.failed] == ["pump-0"]
    assert result.known == 1
