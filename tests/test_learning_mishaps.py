"""The learning of a machine when pieces are lost or damaged, the disk is full, or it is killed."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import BundleError, UsageError
from monitor.learning.collector import LevelClasses, level_dbfs
from monitor.learning.journal import folder_of, in_use, read_journal
from monitor.learning.pieces import PieceStore
from monitor.learning.trainers.child import ChildTrainer
from monitor.learning.trainers.protocol import Job
from monitor.learning.trainers.train_command import result_of
from tests import test_learning
from tests.clocks import FakeClock
from tests.test_learning import RATE_HZ, Make, noise, piece, receive, text_in_use, trained

make = test_learning.make

QUICK = {"first_after_min": 0.5}


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# The pieces on the disk.


def test_half_a_line_of_the_index_does_not_damage_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that was full for a moment would cost a piece that was written later."""
    store = PieceStore(tmp_path)
    real_fsync, calls = os.fsync, []

    def full_at_the_index(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:  # after that of the piece and that of its folder
            full()
        real_fsync(descriptor)

    with monkeypatch.context() as disk:
        disk.setattr("monitor.learning.pieces.os.fsync", full_at_the_index)
        with pytest.raises(OSError, match="No space left"):
            store.add(noise(1), RATE_HZ, piece(1))
    assert (tmp_path / "pieces.jsonl").read_bytes() == b""
    store.add(noise(1), RATE_HZ, piece(2))
    assert [one.name for one in PieceStore(tmp_path).pieces] == ["0002.flac"]


def test_a_lost_index_loses_no_piece(tmp_path: Path) -> None:
    """A week of sound would be deleted because one small file is damaged."""
    store = PieceStore(tmp_path)
    kept = [store.add(noise(1, seed=n), RATE_HZ, piece(n, ratio=0.5)) for n in range(3)]
    store.set_aside({"0001.flac": "unlike all others"})
    (tmp_path / "pieces.jsonl").write_bytes(bytes(300))
    again = PieceStore(tmp_path)
    assert again.accepted == [kept[0], kept[2]]
    assert [one.aside for one in again.pieces] == ["", "set aside", ""]
    (tmp_path / "pieces.jsonl").unlink()
    assert PieceStore(tmp_path).accepted == [kept[0], kept[2]]


def test_what_is_no_piece_is_moved_and_does_not_end_the_learning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that somebody made among the pieces would end the learning for ever."""
    PieceStore(tmp_path).add(noise(1), RATE_HZ, piece(0))
    (tmp_path / "pieces" / "my recordings").mkdir()
    (tmp_path / "pieces" / "monday.wav").write_bytes(b"mine")
    assert [one.name for one in PieceStore(tmp_path).pieces] == ["0000.flac"]
    assert files(tmp_path / "pieces") == ["0000.flac"]
    assert (tmp_path / "unknown" / "0-monday.wav").read_bytes() == b"mine"
    assert (tmp_path / "unknown" / "1-my recordings").is_dir()
    assert "monday.wav is not a piece of sound: moved to" in caplog.text


def test_a_piece_that_somebody_deleted_does_not_stop_the_trainings(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Setting it aside would fail at every attempt."""
    learner, trainer = make(settings=QUICK)
    receive(learner, 40)
    trained(learner, trainer, "first")
    receive(learner, 30, ratio=9.0)
    receive(learner, 100)
    store = learner.state.store
    outlier = next(one for one in store.pieces if one.ratio == 9.0)
    (store.accepted_folder / outlier.name).unlink()
    (store.accepted_folder / "mine.wav").write_bytes(b"no piece")
    trained(learner, trainer, "second")
    assert outlier.name not in [one.name for one in store.pieces]
    assert "mine.wav" not in files(store.accepted_folder)
    assert f"somebody has removed 1 piece, such as {outlier.name}" in caplog.text


def test_a_damaged_piece_is_removed_and_the_training_begins_again(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One damaged file would end all trainings of the machine."""
    learner, trainer = make(settings=QUICK)
    receive(learner, 40)
    learner.turn()
    pieces = learner.state.store.pieces
    damaged = pieces[3].name
    folder = learner.state.store.accepted_folder
    work = tmp_path / "train"
    work.mkdir()
    (work / "stderr").write_text(
        f"auscult: {folder / damaged}: truncated or damaged after 0.00 s; copy it again\n"
    )
    trainer.results.append(result_of(BundleError.exit_status, work))
    learner.turn()
    assert damaged in files(folder)  # another exit status: not a fault of the recordings
    clock = learner.state.clock
    assert isinstance(clock, FakeClock)
    clock.now_s += 61.0
    learner.turn()
    trainer.results.append(result_of(65, work))
    learner.turn()
    assert f"piece {damaged} is removed: truncated or damaged" in caplog.text
    assert damaged not in files(folder)
    assert len(trainer.jobs) == 3  # at once
    trainer.gives("first")
    assert learner.turn()


# A full disk.


def test_a_bundle_that_cannot_be_stored_is_trained_again_after_a_pause(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One training after the other would take the processor until there is space."""
    learner, trainer = make(settings=QUICK)
    receive(learner, 40)
    learner.turn()
    trainer.gives("first")
    with monkeypatch.context() as disk:
        disk.setattr("monitor.learning.learned_bundles.copy_files", full)
        learner.turn()
        learner.turn()
    assert len(trainer.jobs) == 1
    assert "the bundle cannot be stored: [Errno 28]" in learner.status()["trouble"]


def test_a_change_that_the_disk_refused_is_used_when_it_is_written(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status would name a bundle that is used only after a restart."""
    learner, trainer = make(settings=QUICK)
    receive(learner, 40)
    learner.turn()
    trainer.gives("first")
    with monkeypatch.context() as disk:
        disk.setattr("monitor.learning.journal.replace_content", full)
        assert not learner.turn()
        assert "No space left" in learner.status()["trouble"]
    assert learner.turn()
    assert text_in_use(tmp_path) == "first"
    assert learner.status()["trouble"] == ""


def test_a_machine_is_armed_only_when_that_is_written(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status would show it as armed, but it would raise no alert until a restart."""
    learner, trainer = make(settings=QUICK)
    receive(learner, 40)
    trained(learner, trainer, "first")
    with monkeypatch.context() as disk:
        disk.setattr("monitor.learning.journal.replace_content", full)
        with pytest.raises(OSError, match="No space left"):
            learner.arm("anna")
        assert learner.status()["stage"] == "provisional"
        assert learner.status()["pieces"] > 0
    learner.arm("anna")
    assert learner.turn()
    assert in_use(tmp_path, "m", None).stage == "armed"


def test_a_limit_of_space_that_is_too_small_is_named(make: Make) -> None:
    """The machine would never be learned, and the status would only ask for more pieces."""
    learner, trainer = make(settings={"max_mb": 1.0, "piece_s": 30.0})
    for _ in range(6):
        receive(learner, 60)
        learner.turn()
    assert not trainer.jobs
    assert learner.status()["missing"].startswith("a larger max_mb: 8 pieces need 5.")


# Kills.


def test_pieces_are_deleted_although_a_kill_came_between(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Speech beside the machine would stay on the disk for ever."""
    learner, trainer = make(settings=QUICK)
    receive(learner, 40)
    trained(learner, trainer, "first")
    with monkeypatch.context() as killed:
        killed.setattr(PieceStore, "clear", full)
        with pytest.raises(OSError, match="No space left"):
            learner.arm("anna")
    again, _ = make(settings=QUICK)
    assert again.status()["stage"] == "armed"
    again.turn()
    assert files(folder_of(tmp_path, "m") / "pieces") == []


def test_sound_from_before_a_new_learning_is_not_learned(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an overhaul, the machine would be compared with the worn one."""
    learner, trainer = make(settings=QUICK)
    receive(learner, 40)
    trained(learner, trainer, "first")
    receive(learner, 66)
    with monkeypatch.context() as killed:
        killed.setattr("monitor.learning.state.write_journal", full)
        with pytest.raises(OSError, match="No space left"):
            learner.learn("anna")
    assert files(folder_of(tmp_path, "m") / "pieces") == []
    receive(learner, 6)
    learner.learn("anna")
    receive(learner, 13)
    assert all(one.heard_s >= 0 for one in learner.state.store.pieces)
    assert learner.status()["pieces"] == 0


def test_a_damaged_journal_is_replaced_by_its_copy(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An armed machine would not be monitored any more, and be learned with its fault."""
    learner, trainer = make(settings=QUICK)
    receive(learner, 40)
    trained(learner, trainer, "first")
    learner.arm("anna")
    folder = folder_of(tmp_path, "m")
    (folder / "journal.json").write_bytes(bytes(500))
    use = in_use(tmp_path, "m", None)
    assert (use.stage, len(use.bundles)) == ("armed", 1)
    assert "its copy of the last change of the bundle is used" in caplog.text
    (folder / "journal.json").unlink()
    assert in_use(tmp_path, "m", None).stage == "armed"
    (folder / "journal.json").write_bytes(b"{")
    (folder / "journal.copy").write_bytes(b"{")
    assert read_journal(folder) is None


# By hand.


def test_a_rollback_passes_over_bundles_that_cannot_be_used(make: Make, tmp_path: Path) -> None:
    """The answer would name a bundle that is not used."""

    def must_exist(path: Path) -> None:
        if not path.exists():
            raise BundleError(f"{path}: no such bundle")

    learner, trainer = make(settings=QUICK, check_bundle=must_exist)
    receive(learner, 40)
    trained(learner, trainer, "first")
    receive(learner, 130)
    trained(learner, trainer, "second")
    names = [one.name for one in learner.state.journal.bundles]
    shutil.rmtree(folder_of(tmp_path, "m") / "bundles" / names[1])
    learner.learn("anna")
    assert names[0] in learner.rollback("anna")
    assert text_in_use(tmp_path) == "first"
    learner.learn("anna")
    shutil.rmtree(folder_of(tmp_path, "m") / "bundles")
    with pytest.raises(UsageError, match=r"no earlier bundle that can be used: .* no such"):
        learner.rollback("anna")


# Trainings and levels.


def test_one_machine_is_trained_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten machines that were installed together would need ten times memory_mb at once."""
    monkeypatch.setattr(
        "monitor.learning.trainers.train_command._COMMAND", ["/bin/sh", "-c", "sleep 60", "sh"]
    )
    one, other = ChildTrainer(tmp_path / "1", 2000.0), ChildTrainer(tmp_path / "2", 2000.0)
    assert one.can_start
    one.start(Job("pieces", 1.0))
    assert not other.can_start
    one.stop()
    assert other.can_start


def test_a_machine_waits_while_another_one_is_trained(make: Make) -> None:
    """It would wait without a reason."""
    learner, trainer = make(settings=QUICK)
    trainer.can_start = False
    receive(learner, 40)
    learner.turn()
    assert not trainer.jobs
    assert learner.status()["missing"] == "the end of the training of another machine"
    trainer.can_start = True
    trained(learner, trainer, "first")


def test_an_offset_of_the_converter_is_no_sound() -> None:
    """A machine that is off would seem as loud as one that runs, and its room would be learned."""
    levels = LevelClasses([])
    running = noise(1, 0.03) + np.float32(0.05)
    off = noise(1, 0.001) + np.float32(0.05)
    assert levels.push(level_dbfs(running), 60.0) == "running"
    assert levels.push(level_dbfs(off), 60.0) == "quiet"
    assert level_dbfs(np.full(100, 0.1, np.float32)) == -120.0
