"""Evidence on the disk: its limits, kills, clocks that are set, and disks that fail."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.evidence import store as store_module
from monitor.evidence.folder import EvidenceFolder
from monitor.evidence.keeper import EvidenceKeeper
from monitor.evidence.names import HEALTHY, evidence_id, healthy_stem
from monitor.evidence.retention import EvidenceLostError, Retention
from monitor.evidence.settings import EvidenceSettings
from monitor.evidence.store import EvidenceStore
from tests.clocks import FakeClock
from tests.disks import FlashCard, fill, folder_in_memory, small_disk_at
from tests.waiting import wait_for

DAY_S = 86_400.0
ALERTS = [f"019abf2f-5d0a-7c3e-8a53-0000000000{n:02x}" for n in range(40)]
MB = 1_000_000
LIMIT_MB = 10.0


def space_of(folder: Path) -> int:
    """The space that a folder really takes on its disk, with everything in it."""
    whole = [folder, *folder.rglob("*")]
    return sum(max(path.stat().st_size, path.stat().st_blocks * 512) for path in whole)


class Disk:
    """A store of a folder, with a clock; it can be killed and opened again."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.folder = folder
        self.settings = EvidenceSettings(**{"max_mb": LIMIT_MB, **limits})
        self.clock = FakeClock()
        self.labelled: set[str] = set()
        self.open()

    def open(self) -> None:
        is_labelled = self.labelled.__contains__
        self.store = EvidenceStore(self.folder, self.settings, is_labelled, self.clock)
        self.begun = self.store.open()

    def add(self, alert: int, number: int = 0, n_bytes: int = MB) -> None:
        alert_id = ALERTS[alert]
        files = {"flac": bytes(n_bytes - 1000), "bin": bytes(500), "png": bytes(500)}
        self.store.add(alert_id, f"{number}-raised", files, metadata(alert_id, number))

    @property
    def kept(self) -> list[int]:
        """The alerts that have a piece which a reader sees."""
        reader = EvidenceFolder(self.folder)
        return [n for n, alert_id in enumerate(ALERTS) if reader.pieces(alert_id)]

    def files(self) -> set[str]:
        """All files but that of the running time."""
        return {
            path.relative_to(self.folder).as_posix()
            for path in self.folder.rglob("*")
            if path.is_file() and path.name != "state.json"
        }


def metadata(alert_id: str, number: int = 0) -> dict[str, Any]:
    return {
        "evidence_id": evidence_id(alert_id, number),
        "machine": "m",
        "moment": "raised",
        "at": "2026-11-23T10:15:30.250Z",
        "starts_at": "2026-11-23T10:15:15.250Z",
    }


@pytest.fixture
def disk() -> Iterator[Disk]:
    with folder_in_memory() as folder:
        yield Disk(folder / "evidence")


@contextmanager
def watched_space(folder: Path, most: float) -> Iterator[list[int]]:
    """Check the space of a folder after every change of a file."""
    seen: list[int] = []
    write, replace = store_module._write_file, Path.replace

    def check() -> None:
        seen.append(space_of(folder))
        assert seen[-1] <= most

    def written(path: Path, data: bytes) -> None:
        write(path, data)
        check()

    def replaced(path: Path, target: Path) -> Path:
        check()
        return replace(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "_write_file", written)
        patch.setattr(Path, "replace", replaced)
        yield seen


step = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 39), st.integers(0, 2), st.integers(2000, 6 * MB)),
    st.tuples(st.just("begin"), st.integers(0, 39), st.integers(0, 2), st.integers(1, 3 * MB)),
    st.tuples(st.just("label"), st.integers(0, 39), st.just(0), st.just(0)),
    st.tuples(st.just("healthy"), st.integers(0, 3), st.just(0), st.integers(1000, MB)),
    st.tuples(st.just("foreign"), st.integers(0, 3), st.just(0), st.integers(0, MB)),
    st.tuples(st.just("sweep"), st.integers(0, 100), st.just(0), st.just(0)),
    st.tuples(st.just("kill"), st.just(0), st.just(0), st.just(0)),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(step, max_size=25))
def test_the_folder_is_never_larger_than_its_limit(steps: list[tuple[str, int, int, int]]) -> None:
    """Evidence would fill the disk, and then no alert could be written."""
    with folder_in_memory() as parent:
        disk = Disk(parent / "evidence")
        foreign = 0
        with watched_space(disk.folder, LIMIT_MB * MB):
            for action, which, number, n_bytes in steps:
                disk.clock.now_s += 60.0
                try:
                    if action == "add":
                        disk.add(which, number, n_bytes)
                    elif action == "begin":
                        files = {"json": b"{}", "flac": bytes(n_bytes)}
                        disk.store.begin(ALERTS[which], f"{number}-cleared", files)
                    elif action == "healthy":
                        stem = healthy_stem(f"state {which}")
                        about = metadata("") | {"moment": HEALTHY}
                        disk.store.add(f"{HEALTHY}/m", stem, {"flac": bytes(n_bytes)}, about)
                    elif action == "label":
                        disk.labelled.add(ALERTS[which])
                    elif action == "sweep":
                        disk.clock.now_s += which * DAY_S
                        disk.store.sweep()
                    elif action == "kill":
                        disk.open()
                    elif foreign == 0:
                        foreign = n_bytes
                        (disk.folder / "notes").write_bytes(bytes(n_bytes))
                        disk.store.sweep()  # only now does the store know of it
                except EvidenceLostError:
                    assert action in {"add", "begin", "healthy"}
            assert space_of(disk.folder) <= LIMIT_MB * MB
            reader = EvidenceFolder(disk.folder)
            for alert_id in ALERTS:
                for piece in reader.pieces(alert_id):
                    assert piece.sound_path is not None
                    assert piece.picture_path is not None


def test_the_oldest_evidence_goes_first_and_labelled_last(disk: Disk) -> None:
    """The sound of a confirmed fault would be deleted, and that of yesterday's door kept."""
    disk.labelled |= {ALERTS[0], ALERTS[2]}
    for alert in range(12):
        disk.clock.now_s += 60.0
        disk.add(alert)
    assert disk.kept == [0, 2, 5, 6, 7, 8, 9, 10, 11]
    disk.labelled |= set(ALERTS)
    disk.add(12)
    assert disk.kept == [2, 5, 6, 7, 8, 9, 10, 11, 12]
    assert disk.store.retention.evicted == 4


def test_small_files_and_folders_count_with_the_space_that_they_take(disk: Disk) -> None:
    """Many short pieces would take several times the limit on the disk."""
    (disk.folder / "notes").write_bytes(bytes(9_500_000))
    with watched_space(disk.folder, LIMIT_MB * MB):
        for alert in range(40):
            disk.clock.now_s += 1.0
            disk.add(alert, n_bytes=2000)
    assert 10 < len(disk.kept) < 30


def test_all_files_of_a_piece_go_together(disk: Disk) -> None:
    """A picture of deleted sound would stay for ever."""
    disk.add(0, 0)
    disk.clock.now_s += 1.0
    disk.add(0, 1)
    for alert in range(1, 9):
        disk.clock.now_s += 1.0
        disk.add(alert)
    assert {name for name in disk.files() if name.startswith(ALERTS[0])} == {
        f"{ALERTS[0]}/1-raised.{kind}" for kind in ("json", "flac", "bin", "png")
    }
    disk.clock.now_s += 1.0
    disk.add(9)
    assert not (disk.folder / ALERTS[0]).exists()


def test_a_piece_that_is_larger_than_the_limit_deletes_everything_and_says_so(disk: Disk) -> None:
    """A user would not know which key to change."""
    with pytest.raises(EvidenceLostError, match=r"needs 11.0 MB, and evidence.max_mb = 10"):
        disk.add(0, n_bytes=11 * MB)
    assert disk.files() == set()


def test_files_of_others_count_and_stay(disk: Disk) -> None:
    """A note that somebody wrote beside the sound would be deleted, or the limit exceeded."""
    disk.add(0)
    note = disk.folder / ALERTS[0] / "my notes.txt"
    note.write_bytes(bytes(9 * MB))
    with pytest.raises(EvidenceLostError, match="cannot be deleted"):
        disk.add(1)
    assert note.exists()
    note.unlink()
    disk.add(1)
    assert disk.kept == [1]


def test_old_evidence_is_deleted(disk: Disk) -> None:
    """Sound of people who worked at the machine would be kept for ever."""
    disk.add(0)
    disk.labelled.add(ALERTS[0])
    disk.clock.now_s += 50 * DAY_S
    disk.add(1)
    disk.clock.now_s += 41 * DAY_S
    disk.store.sweep()
    assert disk.kept == [1]
    disk.clock.now_s += 50 * DAY_S
    disk.open()
    assert disk.kept == []


@pytest.mark.parametrize("set_by_s", [-30 * 365 * DAY_S, 30 * 365 * DAY_S])
def test_a_clock_that_is_set_deletes_nothing_and_keeps_nothing_longer(
    set_by_s: float, disk: Disk
) -> None:
    """A board without a battery starts in 1970, and its evidence would be gone or stay for ever."""
    disk.add(0)
    disk.clock.set_by_s = set_by_s
    disk.store.sweep()
    disk.add(1)
    disk.clock.reboot("boot-2")
    disk.open()
    assert disk.kept == [0, 1]
    disk.clock.set_by_s = 0.0
    disk.clock.now_s += 89 * DAY_S
    disk.store.sweep()
    assert disk.kept == [0, 1]
    disk.clock.now_s += 2 * DAY_S
    disk.store.sweep()
    assert disk.kept == []


def test_age_counts_over_restarts_of_the_computer(disk: Disk) -> None:
    """A computer that is started every day would never delete anything."""
    disk.add(0)
    for day in range(10):
        disk.clock.now_s += 9.5 * DAY_S
        disk.store.sweep()
        assert disk.kept == ([0] if day < 9 else [])
        disk.clock.reboot(f"boot-{day + 2}", off_s=100 * DAY_S)
        disk.open()


def test_a_lost_running_time_makes_nothing_older(disk: Disk) -> None:
    """A power cut that damages one small file would delete all evidence, or keep it for ever."""
    disk.clock.now_s += 80 * DAY_S
    disk.add(0)
    (disk.folder / "state.json").write_text("damaged")
    disk.clock.reboot("boot-2")
    disk.open()
    disk.clock.now_s += 89 * DAY_S
    disk.store.sweep()
    assert disk.kept == [0]
    disk.clock.now_s += 2 * DAY_S
    disk.store.sweep()
    assert disk.kept == []


@pytest.mark.parametrize("kept_run_s", [9e9, -5.0, "x", None, 1e300, 10**400])
def test_a_damaged_time_of_a_piece_does_not_age_others(kept_run_s: object, disk: Disk) -> None:
    """One damaged number would delete the evidence of all machines."""
    disk.add(0)
    disk.add(1)
    path = disk.folder / ALERTS[0] / "0-raised.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kept_run_s": kept_run_s}))
    disk.open()
    disk.clock.now_s += 10 * DAY_S
    disk.store.sweep()
    assert 1 in disk.kept


def link(path: Path) -> None:
    path.symlink_to("/nowhere")


@pytest.mark.parametrize("replace", [os.mkfifo, link])
def test_metadata_that_cannot_be_read_cost_no_other_evidence(
    replace: Callable[[Path], None], disk: Disk
) -> None:
    """A FIFO in their place would be read for ever, and a link would be an error of each write."""
    disk.add(0)
    replace(disk.folder / ALERTS[0] / "1-worse.json")
    for alert in range(1, 15):
        disk.add(alert)
    disk.open()
    assert 14 in disk.kept
    disk.clock.now_s += 100 * DAY_S
    disk.store.sweep()
    assert disk.kept == []


@pytest.mark.parametrize("kind", ["json", "flac"])
def test_a_file_that_cannot_be_deleted_costs_no_other_evidence(
    kind: str, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file of another user would end the evidence, and keep all that is too old."""
    stuck, unlink = disk.folder / ALERTS[0] / f"0-raised.{kind}", Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == stuck:
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    for alert in range(15):
        disk.add(alert)
        assert space_of(disk.folder) <= LIMIT_MB * MB
    assert 14 in disk.kept
    disk.open()
    disk.clock.now_s += 100 * DAY_S
    disk.store.sweep()
    assert set(disk.kept) <= {0}


def test_what_belongs_to_no_piece_is_removed_at_the_start(disk: Disk) -> None:
    """Parts of pieces from kills and full disks would take space for ever."""
    disk.add(0)
    whole = disk.files()
    folder = disk.folder / ALERTS[1]
    folder.mkdir()
    for name in ("0-raised.flac", "0-raised.png", "1-worse.bin", "2-cleared.json.new"):
        (folder / name).write_bytes(b"x")
    (folder / "3-cleared.flac.part").write_bytes(b"x")
    (disk.folder / ALERTS[2]).mkdir()
    (disk.folder / ALERTS[2] / "0-raised.json").write_text("{")
    (disk.folder / ALERTS[2] / "0-raised.flac").write_bytes(b"x")
    (disk.folder / ALERTS[3]).mkdir()
    disk.open()
    assert disk.files() == whole
    assert sorted(path.name for path in disk.folder.iterdir()) == [ALERTS[0], "state.json"]


class KillError(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at_step", range(13))
def test_a_kill_at_any_time_leaves_a_whole_piece_or_what_was_begun(
    at_step: int, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece without its sound would be shown, or the sound before the alert be lost."""
    left = at_step

    def perhaps_killed() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KillError

    def dying(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            perhaps_killed()
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    disk.store.begin(ALERTS[0], "0-raised", {"json": b"{}", "flac": b"begun"})
    with monkeypatch.context():
        for name in ("fsync", "replace", "unlink"):
            dying(name)
        try:
            disk.add(0)
        except KillError:
            is_killed = True
        else:
            is_killed = False
        monkeypatch.undo()
    disk.open()
    assert is_killed == (at_step < 10)
    piece = EvidenceFolder(disk.folder).piece(evidence_id(ALERTS[0], 0))
    begun = [one.key for one in disk.begun]
    assert (piece is None) == (begun == [(ALERTS[0], "0-raised")])
    if piece is not None:
        assert piece.sound_path is not None
        assert piece.sound_path.stat().st_size == MB - 1000
        assert not [name for name in disk.files() if name.endswith(".part")]
    else:
        assert (disk.folder / ALERTS[0] / "0-raised.flac.part").read_bytes() == b"begun"


def test_a_folder_that_somebody_deletes_is_made_again(disk: Disk) -> None:
    """The way to delete everything would end all evidence until a restart."""
    disk.add(0)
    for path in sorted(disk.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    disk.folder.rmdir()
    disk.add(1)
    disk.store.sweep()
    assert disk.kept == [1]


def test_only_the_service_can_read_evidence(disk: Disk) -> None:
    """Every user of the node could listen."""
    disk.add(0)
    modes = {path.stat().st_mode & 0o077 for path in (disk.folder, *disk.folder.rglob("*/*"))}
    assert modes == {0}


def test_a_full_disk_keeps_what_is_there(tmp_path: Path) -> None:
    """The evidence of an earlier alert would be deleted in vain, or half a piece be left."""
    with small_disk_at(tmp_path / "disk") as root:
        disk = Disk(root / "evidence", max_mb=500.0)
        disk.add(0)
        before = disk.files()
        filler = fill(root)
        with pytest.raises(EvidenceLostError, match="nearly full"):
            disk.add(1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Retention, "LEAST_FREE_SHARE", -1.0)  # the space vanished meanwhile
            with pytest.raises(EvidenceLostError, match="No space left"):
                disk.add(1)
        assert disk.files() == before
        filler.unlink()
        disk.add(1)
        assert disk.kept == [0, 1]


def test_some_of_the_disk_stays_free(tmp_path: Path) -> None:
    """The outbox could not write the next alert."""
    with small_disk_at(tmp_path / "disk") as root:
        disk = Disk(root / "evidence", max_mb=500.0)
        for alert in range(6):
            disk.add(alert, n_bytes=900_000)
        with pytest.raises(EvidenceLostError, match="nearly full"):
            disk.add(6, n_bytes=900_000)
        left = os.statvfs(root)
        assert left.f_bavail * left.f_frsize >= Retention.LEAST_FREE_SHARE * 6 * 2**20


def test_a_disk_that_fails_is_an_error_in_one_line(tmp_path: Path) -> None:
    """A worn-out card would end the writing thread."""
    with FlashCard(tmp_path / "card") as card:
        disk = Disk(tmp_path / "card" / "evidence")
        disk.add(0)
        card.wear_out()
        with pytest.raises(EvidenceLostError, match="Read-only file system"):
            disk.add(1)
        assert disk.kept == [0]
        with pytest.raises(OSError, match="Read-only file system"):
            disk.store.sweep()


def test_what_must_be_there_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a disk that could not be written, alerts of this process would count as lost."""
    asked: list[int] = []

    def expected() -> tuple[()]:
        asked.append(1)
        return ()

    monkeypatch.setattr(EvidenceKeeper, "RETRY_S", 0.0)
    folder = tmp_path / "evidence"
    folder.write_text("in the way")
    keeper = EvidenceKeeper(EvidenceStore(folder, EvidenceSettings()))
    keeper.start({}, expected)
    wait_for(lambda: keeper.status().trouble)
    folder.unlink()
    wait_for(lambda: not keeper.status().trouble)
    keeper.stop()
    assert asked == [1]
