"""The file of a fleet, and the recordings that it names."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import BadInputError, ConfigError, MissingInputError
from monitor.features.log_mel_spec import LogMelSpec
from tests.command_line import auscult
from tests.tiny_sound import SPEC, simulated_frames, write_machine
from training.fleet import perform as performing
from training.fleet.frame_cache import FrameCache
from training.fleet.inputs import expanded, identity_of, local_paths
from training.fleet.perform import perform
from training.fleet.plan import ReplayPlan, TrainingPlan
from training.fleet.settings import read_fleet
from training.fleet.tasks import Result, Task
from training.sound.recordings import read_recording


def write_fleet(folder: Path, text: str) -> Path:
    path = folder / "fleet.toml"
    path.write_text(text)
    return path


def test_a_thousand_machines_take_a_few_lines(tmp_path: Path) -> None:
    """A user would write a loop that writes the file."""
    for number in range(1000):
        (tmp_path / "plant" / f"pump-{number:03d}").mkdir(parents=True)
    path = write_fleet(
        tmp_path,
        "[defaults]\nfalse_alarms_per_week = 3\nseed = 4\n"
        '[[machine]]\nfolders = "plant/pump-*"\ntype = "pump"\n'
        '[[machine]]\nid = "fan"\nhealthy = ["fan/*.wav", "/data/{machine}"]\nseed = 5\n',
    )
    machines = read_fleet(path)
    assert len(machines) == 1001
    fan, first = machines[0], machines[1]
    assert (fan.id, fan.settings.type, fan.settings.seed) == ("fan", "", 5)
    assert fan.patterns("healthy") == [str(tmp_path / "fan/*.wav"), "/data/fan"]
    assert (first.id, first.settings.type, first.settings.seed) == ("pump-000", "pump", 4)
    assert first.patterns("healthy") == [str(tmp_path / "plant/pump-000/healthy")]
    assert {machine.settings.false_alarms_per_week for machine in machines} == {3.0}
    (tmp_path / "other").mkdir()
    absolute = write_fleet(
        tmp_path / "other", f'[[machine]]\nfolders = "{tmp_path}/plant/pump-00*"\n'
    )
    assert [machine.folder for machine in read_fleet(absolute)] == [
        tmp_path / "plant" / f"pump-{number:03d}" for number in range(10)
    ]


def test_a_folder_is_a_fleet_without_a_file(tmp_path: Path) -> None:
    """A user with one folder a machine would have to write a file all the same."""
    for name in ("b", "a"):
        (tmp_path / name / "healthy").mkdir(parents=True)
    (tmp_path / "notes").mkdir()
    assert [machine.id for machine in read_fleet(tmp_path)] == ["a", "b"]
    with pytest.raises(MissingInputError, match="MACHINE/healthy"):
        read_fleet(tmp_path / "notes")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "fleet.toml"),
        ("[[machine]]\n", "fleet.toml:1"),
        ('[[machine]]\nid = "a"\nfolders = "x/*"\n', "fleet.toml:1"),
        ('[[machine]]\nid = "a"\nheallthy = "x"\n', "fleet.toml:3"),
        ('[[machine]]\nid = "a/b"\n', "fleet.toml:1"),
        ('[[machine]]\nid = "scores"\n', "fleet.toml:1"),
        ('[[machine]]\nfolders = "none/*"\n', "fleet.toml:1"),
        ('[[machine]]\nid = "a"\n[[machine]]\nid = "a"\n', "two machines have the id a"),
        ('[defaults]\nshare = "all"\n[[machine]]\nid = "a"\n', "fleet.toml:2"),
        ('[[machine]]\nfolders = "s3://bucket/*"\n', "local folders"),
        ('[[machine]]\nid = "a"\nhealthy = []\n', "fleet.toml:3"),
        ('[[machine]]\nid = "a"\narchive = []\n', "fleet.toml:3"),
        ('[[machine]]\nid = "a"\nhealthy = ""\n', "fleet.toml:3"),
        ('[defaults]\nshare = "type"\n[[machine]]\nid = "a"\n', "give the machines a type"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(text: str, says: str, tmp_path: Path) -> None:
    """A user would look for one wrong key in a file of a hundred lines."""
    path = write_fleet(tmp_path, text)
    with pytest.raises(ConfigError, match=says):
        read_fleet(path)
    outcome = auscult("fleet", "train", path, "--out", tmp_path / "out")
    assert outcome.status == 78
    assert says in outcome.err
    assert not (tmp_path / "out").exists()


def test_patterns_folders_and_urls_give_recordings(tmp_path: Path) -> None:
    """Recordings would be missing, or read twice."""
    folder = write_machine(tmp_path / "healthy", 3)
    (folder / "notes.txt").write_text("no sound")
    paths = [str(path) for path in sorted(folder.glob("*.npy"))]
    assert expanded([str(folder)]) == paths
    assert expanded([str(folder / "0[01].npy"), str(folder)]) == paths
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"pump/healthy/{path.name}")
    urls = [f"zip://pump/healthy/{number:02d}.npy::{tmp_path}/a.zip" for number in range(3)]
    assert expanded([f"zip://pump/healthy::{tmp_path}/a.zip"]) == urls
    assert expanded([f"zip://pump/healthy/*.npy::{tmp_path}/a.zip"]) == urls
    assert expanded([f"zip://pump/healthy/01.npy::{tmp_path}/a.zip"]) == urls[1:2]
    for nothing in (
        str(folder / "9*.npy"),
        str(tmp_path / "none"),
        f"zip://fan::{tmp_path}/a.zip",
        f"zip://pump::{tmp_path}/none.zip",
        "no-such-protocol://x/y.wav",
    ):
        with pytest.raises((MissingInputError, BadInputError)) as raised:
            expanded([nothing])
        assert nothing in str(raised.value)


def test_copies_of_urls_have_the_same_names_everywhere(tmp_path: Path) -> None:
    """A bundle would contain the name of a temporary folder, and differ from worker to worker."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("pump/healthy/00.npy", b"content")
    url = f"zip://pump/healthy/00.npy::{tmp_path}/a.zip"
    before = Path.cwd()
    with local_paths([url]) as paths:
        assert paths == {url: Path("pump/healthy/00.npy")}
        assert paths[url].read_bytes() == b"content"
        inside = Path.cwd()
    assert Path.cwd() == before
    assert not inside.exists()


def test_recordings_of_one_name_in_two_archives_stay_apart(tmp_path: Path) -> None:
    """The recordings of a reference machine would replace those of the machine."""
    urls = [f"zip://healthy/a.wav::{tmp_path}/{number}.zip" for number in range(3)]
    for number in range(3):
        with zipfile.ZipFile(tmp_path / f"{number}.zip", "w") as archive:
            archive.writestr("healthy/a.wav", str(number))
    with local_paths(urls) as paths:
        assert [paths[url].read_text() for url in urls] == ["0", "1", "2"]
    before = identity_of(urls[0])
    with zipfile.ZipFile(tmp_path / "0.zip", "w") as archive:
        archive.writestr("healthy/a.wav", "9")
    assert identity_of(urls[0]) != before


def test_the_folder_of_the_file_is_no_pattern(tmp_path: Path) -> None:
    """A fleet in a folder such as ``plant [old]`` would have no machines."""
    folder = tmp_path / "plant [old]"
    healthy = write_machine(folder / "pump-1" / "healthy", 1)
    entries = ['folders = "pump-*"', 'id = "p"\nhealthy = "pump-*/healthy/*.npy"']
    for entry in [*entries, 'folders = "pump-1"\nhealthy = "healthy/*.npy"']:
        (machine,) = read_fleet(write_fleet(folder, f"[[machine]]\n{entry}\n"))
        assert expanded(machine.patterns("healthy")) == [str(healthy / "00.npy")]


def test_a_folder_that_is_no_bundle_is_not_replaced(tmp_path: Path) -> None:
    """``--out`` with the folder of the recordings would delete the recordings."""
    recording = write_machine(tmp_path / "pump" / "healthy", 1) / "00.npy"
    for why in ("is no bundle", "contains recordings"):
        (task,) = TrainingPlan(read_fleet(tmp_path), tmp_path, overwrite=True).training()
        result = Result.from_json(perform(task.to_json()))
        assert (result.status, why in result.error) == (64, True)
        (tmp_path / "pump" / "bundle.json").touch()
    assert recording.exists()


def test_a_record_that_cannot_be_written_is_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk would end the worker, with a traceback, three times."""
    monkeypatch.setattr(performing, "_work", lambda _: lambda _: ({}, {}))
    (tmp_path / ".tasks").touch()
    task = Task("train-a", "train", "a", tmp_path, (), {})
    result = Result.from_json(perform(task.to_json()))
    assert (result.status, ".tasks" in result.error) == (69, True)


def test_what_a_worker_cannot_reach_is_named_with_its_computer(tmp_path: Path) -> None:
    """A user of a cluster would not know which computer lacks the shared folder."""
    missing = str(tmp_path / "nowhere.wav")
    with (
        pytest.raises(
            MissingInputError, match=rf"nowhere\.wav: is not there on {os.uname().nodename}"
        ),
        local_paths([missing]),
    ):
        pass


def test_the_cache_gives_what_reading_gives(tmp_path: Path) -> None:
    """A bundle would depend on whether its recordings were read for another machine before."""
    folder = write_machine(tmp_path / "healthy", 1)
    path, cache = folder / "00.npy", FrameCache(tmp_path / "frames")
    direct = read_recording(path, SPEC)
    for recording in (cache.read(path, SPEC), cache.read(path, SPEC)):
        assert recording.name == direct.name
        assert recording.first_sample == direct.first_sample
        assert recording.recorded_by == direct.recorded_by
        assert np.array_equal(recording.frames_db, direct.frames_db)
    np.save(path, simulated_frames(99))
    assert not np.array_equal(cache.read(path, SPEC).frames_db, direct.frames_db)


def test_every_machine_of_a_type_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten machines of one type would read every recording ten times."""
    for number in range(3):
        write_machine(tmp_path / f"pump-{number}" / "healthy", 2, first_seed=10 * number)
    read: list[str] = []

    def counting(path: Path, spec: LogMelSpec) -> object:
        read.append(str(path))
        return read_recording(path, spec)

    monkeypatch.setattr("training.fleet.frame_cache.read_recording", counting)
    text = '[[machine]]\nfolders = "pump-*"\ntype = "pump"\nshare = "type"\n'
    plan = TrainingPlan(read_fleet(write_fleet(tmp_path, text)), tmp_path, overwrite=False)
    cache = FrameCache(tmp_path / "frames")
    everything = [*plan.reading(), *plan.training()]
    assert [task.kind for task in everything] == ["read"] * 3 + ["train"] * 3
    assert all(len(task.recordings) == 6 for task in plan.training())
    for task in everything:
        for path in task.recordings:
            cache.read(Path(path), SPEC)
    assert len(read) == len({*read}) == 6


def test_tasks_are_paths_and_survive_as_text(tmp_path: Path) -> None:
    """Sound would be sent to the workers, or a task be changed on the way."""
    write_machine(tmp_path / "pump" / "healthy", 2)
    (task,) = TrainingPlan(read_fleet(tmp_path), tmp_path / "out", overwrite=False).training()
    text = task.to_json()
    assert "\n" not in text
    assert len(text) < 5000
    assert Task.from_json(text) == task
    result = Result("t", "m", {"a": 1.5}, {"f": "0"}, 2.0, "", 0, ("warned",))
    assert Result.from_json(result.to_json()) == result


def test_a_fingerprint_follows_recordings_and_options(tmp_path: Path) -> None:
    """A bundle of other recordings would be taken for a new one, or a new one be made each time."""
    folder = write_machine(tmp_path / "pump" / "healthy", 2)

    def fingerprint(out: str = "out", *, overwrite: bool = False) -> str:
        machines = read_fleet(tmp_path)
        plan = TrainingPlan(machines, tmp_path / out, overwrite=overwrite)
        return plan.training()[0].fingerprint

    first = fingerprint()
    assert fingerprint() == fingerprint("elsewhere") == fingerprint(overwrite=True) == first
    identity = identity_of(str(folder / "00.npy"))
    np.save(folder / "00.npy", simulated_frames(5))
    assert identity_of(str(folder / "00.npy")) != identity
    assert fingerprint() != first


def test_a_machine_without_recordings_is_refused_and_the_others_are_planned(
    tmp_path: Path,
) -> None:
    """One empty folder would stop the fleet before it begins."""
    write_machine(tmp_path / "a" / "healthy", 2)
    (tmp_path / "b" / "healthy").mkdir(parents=True)
    plan = TrainingPlan(read_fleet(tmp_path), tmp_path / "out", overwrite=False)
    assert [task.machine for task in plan.training()] == ["a"]
    assert "contains no recordings" in plan.refused["b"].error
    replay = ReplayPlan(read_fleet(tmp_path), tmp_path / "none", tmp_path / "out")
    assert replay.replaying() == []
    assert {*replay.refused} == {"a", "b"}
