"""The learning of a machine: pieces, rules, progress, and what survives a kill or a full disk."""

from __future__ import annotations

import errno
import importlib.util
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from monitor.commands.extras import FOR_TRAINING
from monitor.detection.operation import OperationStatus
from monitor.domain import AudioBlock, Decision, Score
from monitor.errors import BundleError, UsageError
from monitor.features.log_mel_frames import log_mel_frames
from monitor.features.log_mel_spec import LogMelSpec
from monitor.learning.collector import Collector, LevelClasses, PieceSound
from monitor.learning.journal import (
    Alarm,
    Journal,
    LearnedBundle,
    NamedPiece,
    UnseenSound,
    folder_of,
    in_use,
    read_journal,
    write_journal,
)
from monitor.learning.learner import Learner, make_trainer
from monitor.learning.pieces import Piece, PieceStore
from monitor.learning.relearning.scoring import MonitoredBy
from monitor.learning.rule import WEEK_S, alarms_of, most_alarms, next_step
from monitor.learning.settings import LearningSettings
from monitor.learning.sorting import pieces_that_do_not_fit, pieces_while_off, rare_pieces
from monitor.learning.trainers.by_hand import ByHand
from monitor.learning.trainers.child import ChildTrainer
from monitor.learning.trainers.other_unit import OtherUnit, run_requests, train_here
from monitor.learning.trainers.protocol import Job, Result
from monitor.learning.upkeep import most_common
from tests.clocks import FakeClock
from tests.waiting import wait_for
from training.sound.operation import learn_operation
from training.sound.recordings import Recording

ROOT = Path(__file__).resolve().parent.parent
RATE_HZ = 8_000
DAY_S = 600.0
SETTINGS = LearningSettings(days=3, first_after_min=2, piece_s=3, every_s=10)


def piece(number: int, **fields: object) -> Piece:
    known = Piece(
        name=f"{number:04d}.flac",
        recorded_at="2026-11-23T10:00:00.000Z",
        heard_s=10.0 * number,
        day=0,
        hour=10,
        kind="running",
        level_dbfs=-20.0,
        seconds=2.0,
    )
    return replace(known, **fields)  # type: ignore[arg-type]  # fields of a piece


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray[tuple[int], np.dtype]:
    rng = np.random.default_rng(seed)
    samples = rng.normal(0.0, level, round(seconds * RATE_HZ)).astype(np.float32)
    return samples.clip(-1.0, 1.0)


# Pieces on the disk.


def test_pieces_and_what_is_known_of_them_are_there_after_a_restart(tmp_path: Path) -> None:
    """The sound of days would be lost with every restart."""
    store = PieceStore(tmp_path)
    kept = [store.add(noise(1, seed=n), RATE_HZ, piece(n)) for n in range(3)]
    store.set_aside({"0001.flac": "unlike all others"})
    again = PieceStore(tmp_path)
    assert [one.name for one in again.pieces] == ["0000.flac", "0001.flac", "0002.flac"]
    assert again.accepted == [kept[0], kept[2]]
    assert again.pieces[1].aside == "unlike all others"
    again.set_aside({})
    assert sorted(path.name for path in again.accepted_folder.iterdir()) == [
        "0000.flac",
        "0001.flac",
        "0002.flac",
    ]
    samples, rate_hz = soundfile.read(again.accepted_folder / "0001.flac", dtype="float32")
    assert rate_hz == RATE_HZ
    assert np.abs(samples - noise(1, seed=1)).max() < 1e-6


def test_a_kill_at_any_step_loses_at_most_the_piece_that_is_being_written(tmp_path: Path) -> None:
    """Half a piece would be learned, or the others would be lost with it."""
    store = PieceStore(tmp_path)
    for n in range(3):
        store.add(noise(1, seed=n), RATE_HZ, piece(n))
    folder = store.accepted_folder
    (folder / "0003.part").write_bytes(b"fLaC half")  # killed while writing
    (folder / "0004.flac").write_bytes((folder / "0000.flac").read_bytes())  # before its line
    with (tmp_path / "pieces.jsonl").open("ab") as index:  # within a line
        index.write(b'{"piece": {"name": "0005.fl')
    (folder / "0002.flac").rename(tmp_path / "aside" / "0002.flac")  # while set aside
    again = PieceStore(tmp_path)
    assert [one.name for one in again.accepted] == ["0000.flac", "0001.flac"]
    assert [one.name for one in again.pieces if one.aside] == ["0002.flac"]
    assert sorted(path.name for path in folder.iterdir()) == ["0000.flac", "0001.flac"]
    again.add(noise(1), RATE_HZ, piece(6))
    assert len(PieceStore(tmp_path).pieces) == 4


def test_a_full_disk_leaves_no_half_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training would fail on a broken file as long as it is there."""
    store = PieceStore(tmp_path)
    store.add(noise(1), RATE_HZ, piece(0))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("monitor.learning.pieces.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.add(noise(1), RATE_HZ, piece(1))
    monkeypatch.undo()
    assert [path.name for path in store.accepted_folder.iterdir()] == ["0000.flac"]
    assert [one.name for one in PieceStore(tmp_path).pieces] == ["0000.flac"]


# The kernel refuses this process memory that is writable and executable, as the unit does.
HARDENED = """
import ctypes, sys
from pathlib import Path
import numpy as np
from monitor.learning.pieces import Piece, PieceStore
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(75)
piece = Piece("1.flac", "", 0.0, 0, 0, "running", -20.0, 1.0)
PieceStore(Path(sys.argv[1])).add(np.zeros(8000, np.float32), 8000, piece)
"""


def test_pieces_are_written_without_memory_that_is_writable_and_executable(tmp_path: Path) -> None:
    """As a service, no machine would ever be learned."""
    command = [sys.executable, "-c", HARDENED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 75:
        pytest.skip("the kernel is older than 6.3 and cannot refuse such memory to one process")
    assert done.returncode == 0, done.stderr
    assert [one.name for one in PieceStore(tmp_path).pieces] == ["1.flac"]


def test_what_is_removed_leaves_every_level_hour_and_day() -> None:
    """A machine that runs at full load once a day would be learned without it."""
    common = [piece(n, hour=10 + n % 3, day=n % 2) for n in range(40)]
    rare = [
        piece(50, level_dbfs=-5.0),
        piece(51, hour=3),
        piece(52, day=2),
        piece(53, kind="quiet", level_dbfs=-50.0),
    ]
    left = common + rare
    while len(left) > 8:
        left.remove(most_common(left))
    assert set(rare) <= set(left)
    assert {one.hour for one in left} >= {10, 11, 12}


# Which sound becomes a piece.


def collected(sounds: list[tuple[str | None, float]], every_s: float = 10.0) -> list[PieceSound]:
    """The pieces of a stream: kinds with their lengths in seconds."""
    pieces: list[PieceSound] = []
    collector = Collector(2.0, pieces.append)
    at = 0
    for kind, seconds in sounds:
        for _ in range(round(seconds / 0.5)):
            block = AudioBlock(noise(0.5, seed=at), RATE_HZ, at)
            collector.push(block, kind, every_s, [0.5])  # type: ignore[arg-type]  # a kind
            at += RATE_HZ // 2
    return pieces


def test_pieces_are_taken_while_the_machine_runs_and_seldom_while_it_is_quiet() -> None:
    """Hours of an idle machine would fill the disk, and the running one be missed."""
    pieces = collected([("running", 60), ("quiet", 200), (None, 100), ("running", 60)])
    kinds = [one.kind for one in pieces]
    assert kinds.count("running") == 10
    assert kinds.count("quiet") == 5
    assert {one.seconds for one in pieces} == {2.0}
    assert all(one.ratio == 0.5 for one in pieces)


def test_no_piece_contains_a_gap_or_two_kinds_of_sound() -> None:
    """A start of the machine, or a click, would be learned as its healthy sound."""
    assert collected([("running", 1.5), ("quiet", 1.5), ("running", 1.5), (None, 3)]) == []
    pieces: list[PieceSound] = []
    collector = Collector(2.0, pieces.append)
    for n in range(30):
        block = AudioBlock(noise(1), RATE_HZ, n * RATE_HZ, discontinuous=n in {5, 12})
        collector.push(block, "running", 100.0, [])
    assert [one.seconds for one in pieces] == [2.0]


def test_the_sound_of_a_stop_is_no_piece() -> None:
    """A stop is recognised seconds after it: the sound of it would be learned as running."""
    assert collected([("running", 12.5), ("quiet", 8)]) == []
    assert [one.kind for one in collected([("running", 14), ("quiet", 8)])] == ["running"]
    # What was dropped is taken in the next run and not after another interval.
    twice = collected([("running", 8), ("quiet", 8), ("running", 14)], every_s=1000.0)
    assert [one.kind for one in twice] == ["running"]


def test_before_the_first_bundle_running_is_recognised_by_the_level() -> None:
    """The first bundle would be made from the sound of the room."""
    levels = LevelClasses([])
    for _ in range(600):
        levels.push(-65.0, 1.0)
    assert [levels.push(-30.0, 1.0) for _ in range(60)][-1] == "running"
    assert levels.push(-65.0, 1.0) == "quiet"
    assert levels.push(-38.0, 1.0) == "running"
    assert levels.running_s == pytest.approx(61.0)
    again = LevelClasses(levels.seconds)
    assert again.running_s == pytest.approx(61.0)


def test_the_shortest_piece_shows_operating_states() -> None:
    """With a small piece_s, the bundle would not know when the machine is off."""
    with pytest.raises(ValidationError):
        LearningSettings(piece_s=2.9)
    spec = LogMelSpec()
    sound = np.random.default_rng(0).normal(0.0, 0.1, 3 * spec.sample_rate_hz).astype(np.float32)
    recording = Recording("piece", log_mel_frames(sound, spec))
    assert learn_operation([recording], spec, spec.n_mels) is not None


# When to train and when to arm.


def provisional(received_days: float, trained_days: float, **fields: object) -> Journal:
    bundle = LearnedBundle("b1", "", "", trained_days * DAY_S, trained_days * DAY_S, 20)
    journal = Journal(
        stage="provisional",
        heard_s=received_days * DAY_S,
        running_s=received_days * DAY_S,
        bundle="b1",
        bundles=[bundle],
    )
    for name, value in fields.items():
        setattr(journal, name, value)
    return journal


def step(journal: Journal, pieces: list[Piece] | None = None) -> tuple[str, str]:
    pieces = pieces or [piece(n, heard_s=journal.heard_s - n) for n in range(20)]
    found = next_step(journal, pieces, SETTINGS, 1.0, DAY_S)
    return found.action, found.reason


def test_the_first_bundle_needs_time_of_running_and_pieces() -> None:
    """A threshold would be made from a few seconds."""
    journal = Journal(heard_s=500.0, running_s=60.0)
    assert step(journal) == ("wait", "60 seconds of running for the first bundle")
    journal.running_s = 121.0
    assert step(journal, [piece(1), piece(2)]) == (
        "wait",
        "6 pieces for the first bundle (each needs 14 seconds of running without a break)",
    )
    assert step(journal)[0] == "train"


def test_each_day_is_learned_when_it_is_over() -> None:
    """A bundle of the first half hour would be armed."""
    assert step(provisional(0.5, 0.3))[0] == "wait"
    assert step(provisional(0.9, 0.2))[0] == "train"  # soon again on the first day
    assert step(provisional(1.1, 0.9)) == ("train", "day 1 has ended")
    assert step(provisional(1.9, 1.1))[0] == "wait"
    assert step(provisional(2.1, 1.1))[0] == "train"
    few = [piece(1, heard_s=2.05 * DAY_S)]
    assert step(provisional(2.1, 1.1), few)[0] == "wait"  # the machine hardly ran


def test_a_machine_is_armed_when_unseen_sound_kept_the_budget() -> None:
    """A threshold that gives false alarms would be armed, or a good one never."""
    quiet = [UnseenSound("b1", 2, scored_s=500.0)]
    assert step(provisional(3.0, 2.1, unseen=quiet))[0] == "arm"
    assert step(provisional(2.9, 2.1, unseen=quiet))[0] == "wait"
    hardly = [UnseenSound("b1", 2, scored_s=5.0)]
    assert step(provisional(3.0, 2.1, unseen=hardly))[0] == "wait"
    other = [UnseenSound("b0", 2, scored_s=500.0)]
    assert step(provisional(3.0, 2.1, unseen=other))[0] == "wait"
    loud = [UnseenSound("b1", 2, scored_s=500.0, n_alarms=3)]
    action, reason = step(provisional(3.1, 2.1, unseen=loud))
    assert action == "train"
    assert reason == "3 alarms in 8 minutes of new sound, at most 0 would fit the budget"


def test_the_most_alarms_are_those_of_a_poisson_count() -> None:
    """A healthy machine would not be armed because of one alarm that the budget allows."""
    assert most_alarms(1.0, WEEK_S) == 4  # P(more than 4) = 0.4 %, P(more than 3) = 1.9 %
    assert most_alarms(1.0, WEEK_S / 7) == 1
    assert most_alarms(1.0, 1.0) == 0
    assert most_alarms(1000.0, WEEK_S) == pytest.approx(1000 + 2.33 * math.sqrt(1000), abs=3)


def test_an_alarm_during_sound_that_was_set_aside_is_not_held_against_the_machine() -> None:
    """A fault during learning would keep the machine from ever being armed."""
    unseen = [UnseenSound("b1", 1, 500.0, 2, [Alarm(100.0, 130.0), Alarm(300.0, 310.0)])]
    aside = [piece(1, heard_s=120.0, aside="unlike all others"), piece(2, heard_s=305.0)]
    assert alarms_of(unseen, aside) == 1
    assert alarms_of(unseen, [piece(1, heard_s=90.0, aside="x")]) == 2


def test_a_fault_is_set_aside_and_a_state_that_returns_is_not() -> None:
    """A fault would be learned as healthy, or a load that comes once a day never."""
    rng = np.random.default_rng(1)
    healthy = [piece(n, ratio=float(rng.uniform(0.4, 0.9)), day=n % 3) for n in range(60)]
    fault = [piece(100 + n, ratio=4.0 + n / 10, day=1) for n in range(6)]
    assert set(pieces_that_do_not_fit(healthy + fault)) == {one.name for one in fault}
    returns = [replace(one, day=n % 3) for n, one in enumerate(fault)]
    assert pieces_that_do_not_fit(healthy + returns) == {}
    assert pieces_that_do_not_fit(healthy) == {}
    assert pieces_that_do_not_fit([piece(n) for n in range(10)]) == {}
    assert rare_pieces(healthy + fault) == {}
    rare = rare_pieces(healthy + returns)
    assert set(rare) == {one.name for one in fault}
    assert "it is learned, because such sound occurred on 3 days" in rare["0105.flac"]


def test_a_bundle_of_a_machine_that_was_off_is_replaced_when_it_runs() -> None:
    """The sound of the room would be the healthy sound of the machine for days."""
    room = [piece(n, level_dbfs=-60.0 + n % 8) for n in range(30)]  # somebody works beside it
    bundle = LearnedBundle("b1", "", "", 300.0, 300.0, 30)
    runs = [piece(40 + n, level_dbfs=-30.0, ratio=9.0, aside="unlike") for n in range(8)]
    assert pieces_while_off(bundle, room + runs) == {one.name for one in room}
    assert pieces_while_off(bundle, room + runs[1:]) == set()
    louder = [replace(one, level_dbfs=-46.0) for one in runs]  # perhaps a fault
    assert pieces_while_off(bundle, room + louder) == set()
    off = [piece(60 + n, level_dbfs=-60.0, kind="quiet") for n in range(20)]
    assert pieces_while_off(replace(bundle, heard_s=900.0), runs + off) == set()
    for trained_days in (0.5, 2.5):  # also when the days have passed
        journal = provisional(trained_days + 0.6, trained_days)
        start_s = journal.heard_s
        late = [replace(one, heard_s=start_s - n) for n, one in enumerate(runs)]
        assert step(journal, room + late) == (
            "train",
            "far louder sound shows that the machine was off before",
        )


# The journal.


def test_a_damaged_journal_is_kept_and_learning_begins_again(tmp_path: Path) -> None:
    """A file that was cut by a power cut would stop the daemon."""
    write_journal(tmp_path, provisional(1.0, 0.5))
    assert read_journal(tmp_path) == provisional(1.0, 0.5)
    (tmp_path / "journal.json").write_bytes(b'{"stage": "prov')
    assert read_journal(tmp_path) is None
    assert (tmp_path / "journal.damaged").exists()


# The learner.


class ScriptedTrainer:
    """Gives the results that a test sets."""

    advice = ""
    can_start = True
    waits_for_a_person = False

    def __init__(self, folder: Path) -> None:
        self.jobs: list[Job] = []
        self.results: list[Result] = []
        self._folder = folder
        self._is_running = False

    @property
    def is_running(self) -> bool:
        return self._is_running

    def start(self, job: Job) -> None:
        self.jobs.append(job)
        self._is_running = True

    def poll(self) -> Result | None:
        if not self._is_running or not self.results:
            return None
        self._is_running = False
        return self.results.pop(0)

    def stop(self) -> None:
        self._is_running = False

    def close(self) -> None:
        self.stop()

    def gives(self, text: str) -> None:
        """The next result is a bundle that contains this text."""
        out = self._folder / f"out-{text}"
        out.mkdir()
        (out / "bundle.json").write_text(text)
        self.results.append(Result(out))


Make = Callable[..., tuple[Learner, ScriptedTrainer]]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Learners in one folder: each call is a restart."""
    made: list[Learner] = []
    clock = FakeClock()

    def restarted(**options: object) -> tuple[Learner, ScriptedTrainer]:
        trainer = ScriptedTrainer(tmp_path)
        learner = Learner(
            "m",
            SETTINGS.model_copy(update=options.pop("settings", {})),  # type: ignore[arg-type]  # keys
            folder_of(tmp_path, "m"),
            trainer=trainer,
            clock=clock,
            day_s=DAY_S,
            **options,  # type: ignore[arg-type]  # of the learner
        )
        made.append(learner)
        return learner, trainer

    yield restarted
    for one in made:
        one.stop()


def receive(
    learner: Learner,
    seconds: float,
    *,
    ratio: float = 0.5,
    decisions: tuple[Decision, ...] = (),
    operation: OperationStatus | None = OperationStatus.RUNNING,
    level: float = 0.1,
    starts: int = 0,
) -> None:
    """Sound of a machine that runs, scored at ``ratio`` of the threshold."""
    score = Score(ratio, 0.0, 0, 1, np.zeros(1, np.float32))
    samples = noise(1.0, level)
    for second in range(round(seconds)):
        learner.push(
            AudioBlock(samples, RATE_HZ, second * RATE_HZ),
            usable=True,
            operation=operation,
            scores=[score],
            decisions=decisions if second == 0 else (),
            starts=starts if second == 0 else 0,
            alarm_threshold=1.0,
        )
        learner.flush()


def decision(kind: str) -> Decision:
    return Decision(kind, 0, 0, 1.0, 1.0, 1.0, 0.0, 1.0, np.zeros(1, np.float32))  # type: ignore[arg-type]  # a kind


def trained(learner: Learner, trainer: ScriptedTrainer, name: str) -> None:
    """The next training has begun and gives a bundle."""
    wait_for(lambda: learner.turn() or trainer.is_running, 5)
    trainer.gives(name)
    assert learner.turn()


def text_in_use(folder: Path) -> str:
    return (in_use(folder, "m", None).bundles[0] / "bundle.json").read_text()


def test_from_the_first_sound_to_armed(make: Make, tmp_path: Path) -> None:
    """The whole way of a machine would not be possible without a person."""
    learner, trainer = make()
    receive(learner, 100)
    assert not learner.turn()
    assert learner.status()["stage"] == "collecting"
    assert learner.status()["missing"] == "20 seconds of running for the first bundle"
    receive(learner, 30)
    trained(learner, trainer, "first")
    assert learner.status()["stage"] == "provisional"
    assert learner.progress().startswith("learning 16 %, day 1 of 3, ")
    receive(learner, 480)
    trained(learner, trainer, "second")
    receive(learner, DAY_S, decisions=(decision("raised"), decision("cleared")))
    trained(learner, trainer, "third")
    assert learner.status()["unseen_alarms"] == 0  # of the newest bundle
    receive(learner, DAY_S)
    assert learner.turn()
    status = learner.status()
    assert (status["stage"], status["percent"], status["pieces"]) == ("armed", 100, 0)
    assert status["bundles"] == 3
    assert list((folder_of(tmp_path, "m") / "pieces").iterdir()) == []
    journal = read_journal(folder_of(tmp_path, "m"))
    assert journal is not None
    assert journal.armed_by.startswith("0 alarms in ")
    assert [len(one.made_at) for one in journal.bundles] == [24] * 3
    assert len(trainer.jobs) == 3
    receive(learner, 100)
    assert learner.status()["pieces"] == 0  # nothing adapts after arming


def test_learning_continues_after_a_kill(make: Make, tmp_path: Path) -> None:
    """A power cut in the second week would begin it again."""
    learner, trainer = make()
    receive(learner, 130)
    trained(learner, trainer, "first")
    receive(learner, 200)
    pieces = learner.status()["pieces"]
    learner.state.save()
    again, trainer = make()  # the first one was not stopped
    assert again.status()["pieces"] == pieces
    assert again.status()["stage"] == "provisional"
    assert again.status()["bundle"] == learner.status()["bundle"]
    receive(again, 300)
    trained(again, trainer, "second")
    assert text_in_use(tmp_path) == "second"


def test_a_kill_between_two_steps_of_a_swap_leaves_a_bundle(make: Make, tmp_path: Path) -> None:
    """The machine would be without a bundle, or with half of one."""
    learner, trainer = make()
    receive(learner, 130)
    trained(learner, trainer, "first")
    bundles = folder_of(tmp_path, "m") / "bundles"
    (bundles / "2026-11-18-2").mkdir()  # complete, but the journal does not name it yet
    (bundles / "2026-11-18-3.part-1").mkdir()  # half of a copy
    again, trainer = make()
    assert text_in_use(tmp_path) == "first"
    receive(again, 480)
    trained(again, trainer, "second")
    assert text_in_use(tmp_path) == "second"


def test_a_failed_training_is_reported_and_tried_again_later(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """The machine would stay without a bundle and nobody would know why."""
    learner, trainer = make()
    clock = learner.state.clock
    assert isinstance(clock, FakeClock)
    receive(learner, 130)
    learner.turn()
    trainer.results.append(Result(error="disk full"))
    assert not learner.turn()
    assert learner.status()["trouble"] == "the training failed: disk full"
    assert "the training failed: disk full; the next attempt is in" in caplog.text
    learner.turn()
    assert len(trainer.jobs) == 1
    clock.now_s += 61.0
    learner.turn()
    assert len(trainer.jobs) == 2
    trainer.gives("first")
    assert learner.turn()
    assert learner.status()["trouble"] == ""


def test_a_bundle_that_cannot_be_used_is_not_taken(make: Make, tmp_path: Path) -> None:
    """The daemon would not start with it."""

    def refuse(path: Path) -> None:
        raise BundleError(f"{path}: the self-test fails")

    learner, trainer = make(check_bundle=refuse)
    receive(learner, 130)
    learner.turn()
    trainer.gives("wrong")
    assert not learner.turn()
    assert "the self-test fails" in learner.status()["trouble"]
    assert in_use(tmp_path, "m", None).bundles == ()


def test_one_piece_is_counted_in_the_singular(make: Make, tmp_path: Path) -> None:
    """A reader of `auscult status` would look for more pieces than there are."""
    folder = folder_of(tmp_path, "m")
    folder.mkdir(parents=True)
    write_journal(folder, Journal(stage="armed", bundle="b", aside=[NamedPiece("p", "", "loud")]))
    learner, _ = make()
    assert learner.status()["text"] == "armed, 1 piece set aside"


def test_a_fault_during_learning_is_set_aside_and_named(make: Make) -> None:
    """The fault would be learned, and never be detected."""
    learner, trainer = make()
    receive(learner, 130)
    trained(learner, trainer, "first")
    receive(learner, 200)
    receive(learner, 40, ratio=5.0)
    receive(learner, 300)
    learner.turn()
    status = learner.status()
    assert status["set_aside"] == 4
    assert "times the threshold" in status["set_aside_pieces"][0]["reason"]
    assert "4 set aside" in status["text"]
    assert trainer.is_running


def test_a_rare_state_is_learned_and_named(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A fault that comes and goes would be learned, and nobody would be asked to listen."""
    learner, trainer = make(settings={"days": 5})
    receive(learner, 130)
    trained(learner, trainer, "first")
    for day in range(3):
        receive(learner, 400)
        receive(learner, 30, ratio=5.0)
        receive(learner, 170)
        if day < 2:
            trained(learner, trainer, f"day-{day}")
    learner.turn()
    status = learner.status()
    assert (status["set_aside"], status["rare"]) == (0, 11)
    newest = status["rare_pieces"][-1]
    assert "such sound occurred on 3 days" in newest["reason"]
    assert f"listen to 11 rare pieces such as {newest['name']}" in status["text"]
    assert caplog.text.count("listen to piece") == 11
    learner.state.save()
    again, _ = make()
    assert again.status()["rare"] == 11


def test_a_machine_that_waits_to_be_armed_shows_what_it_waits_for(make: Make) -> None:
    """The status would be day 4 of 3."""
    learner, trainer = make()
    receive(learner, 130)
    trained(learner, trainer, "first")
    receive(learner, 3 * DAY_S - 140)
    trained(learner, trainer, "second")
    assert "day 3 of 3" in learner.progress()
    receive(learner, 100, decisions=(decision("raised"), decision("cleared")))
    trained(learner, trainer, "third")
    receive(learner, 20, decisions=(decision("raised"), decision("cleared")))
    learner.turn()
    text = learner.progress()
    assert "day 4" not in text
    assert "3 days complete" in text
    assert "still needed: running sound that the newest bundle was not made from" in text
    receive(learner, 200)
    learner.turn()
    assert "still needed: a day with fewer alarms: 1 alarm in 4 minutes" in learner.progress()


def test_a_machine_is_learned_again_when_it_was_off_at_first(make: Make, tmp_path: Path) -> None:
    """The running machine would be set aside as sound that does not fit the room."""
    learner, trainer = make()
    receive(learner, 130, level=0.001, operation=None)
    trained(learner, trainer, "room")
    receive(learner, 100, level=0.001)
    receive(learner, 60, ratio=50.0)
    assert not learner.turn()
    receive(learner, 40, ratio=50.0)
    trained(learner, trainer, "machine")
    assert text_in_use(tmp_path) == "machine"
    assert learner.state.journal.newest is not None
    assert "off before" in learner.state.journal.newest.reason
    pieces = learner.state.store.pieces
    for one in pieces:
        stamp = re.sub(r"[-:]|\.\d+", "", one.recorded_at)
        assert one.name == f"{stamp}-{round(one.heard_s * 1000):012d}.flac"
        assert one.hour == datetime.fromisoformat(one.recorded_at).astimezone().hour
    assert {one.kind for one in pieces if one.level_dbfs < -40} == {"quiet"}
    assert {one.kind for one in pieces if one.level_dbfs > -40} == {"running"}
    assert {(one.aside, one.ratio) for one in pieces} == {("", None)}
    again, _ = make()
    assert again.state.store.pieces == pieces


def test_the_counted_starts_survive_and_belong_to_one_learning(make: Make) -> None:
    """The limits of duty_cycle would be lost, or be made from the time before an overhaul."""
    learner, trainer = make()
    receive(learner, 130)
    trained(learner, trainer, "first")
    assert learner.state.journal.duty == []
    hour_s = DAY_S / 24
    for _ in range(4):
        receive(learner, 13, starts=1)
        receive(learner, hour_s - 13, operation=OperationStatus.OFF)
    receive(learner, hour_s, operation=None)  # not observed
    counted = [(one.observed_s, one.running_s, one.starts) for one in learner.state.journal.duty]
    assert counted == [(25.0, 13.0, 1)] * 4
    learner.arm("anna")
    receive(learner, 60, starts=1)
    learner.learn("anna")
    receive(learner, 60)
    learner.rollback("anna")  # the bundle before is in use again
    again, trainer = make()
    assert len(again.state.journal.duty) == 4
    again.learn("anna")
    receive(again, 130)
    trained(again, trainer, "second")
    receive(again, 10, starts=1)
    assert [one.starts for one in again.state.journal.duty] == [1]


def test_operators_learn_arm_and_go_back(make: Make, tmp_path: Path) -> None:
    """A wrong bundle could not be undone."""
    learner, trainer = make(settings={"keep": True})
    with pytest.raises(UsageError, match="has no bundle yet"):
        learner.arm("anna")
    with pytest.raises(UsageError, match="no earlier bundle") as refused:
        learner.rollback("anna")
    assert refused.value.kind == "no_earlier_bundle"
    assert learner.status()["earlier_bundles"] == 0
    receive(learner, 130)
    trained(learner, trainer, "first")
    receive(learner, 480)
    trained(learner, trainer, "second")
    assert learner.arm("anna").startswith("armed")
    assert learner.turn()
    assert learner.status()["pieces"] > 0  # keep
    assert learner.status()["earlier_bundles"] == 1
    learner.rollback("anna")
    assert learner.turn()
    assert text_in_use(tmp_path) == "first"
    assert learner.status()["stage"] == "armed"
    learner.learn("anna")
    assert learner.turn()
    assert in_use(tmp_path, "m", None).bundles == ()
    assert (learner.status()["pieces"], learner.status()["bundles"]) == (0, 2)
    learner.rollback("anna")
    assert text_in_use(tmp_path) == "second"


def test_a_machine_with_a_bundle_learns_only_on_command(make: Make, tmp_path: Path) -> None:
    """A machine that is monitored would lose its alerts by a new table."""
    learner, trainer = make(monitored_by=MonitoredBy(tmp_path / "configured"))
    receive(learner, 200)
    assert not learner.turn()
    assert learner.status()["stage"] == "armed"
    configured = tmp_path / "configured"
    assert in_use(tmp_path, "m", configured).bundles == (configured,)
    learner.learn("anna")
    assert in_use(tmp_path, "m", configured).bundles == ()
    receive(learner, 130)
    trained(learner, trainer, "first")
    learner.rollback("anna")
    assert in_use(tmp_path, "m", configured).bundles == (configured,)
    assert learner.status()["stage"] == "armed"


def test_a_clock_that_is_set_changes_neither_days_nor_pieces(make: Make) -> None:
    """A board without a battery would be armed at once, or never."""
    learner, trainer = make()
    clock = learner.state.clock
    assert isinstance(clock, FakeClock)
    receive(learner, 70)
    clock.set_by_s = -1e8  # years back
    receive(learner, 70)
    trained(learner, trainer, "first")
    clock.set_by_s = 1e8
    receive(learner, 100)
    status = learner.status()
    assert (status["stage"], status["day"], status["percent"]) == ("provisional", 1, 22)
    pieces = learner.state.store.pieces
    assert len({one.name for one in pieces}) == len(pieces) == status["pieces"]
    assert [one.heard_s for one in pieces] == sorted(one.heard_s for one in pieces)


def test_a_full_disk_is_shown_and_the_learning_goes_on_when_there_is_space(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The monitoring would end, or the learning would stand still without a word."""
    learner, trainer = make()
    receive(learner, 60)
    kept = learner.status()["pieces"]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("monitor.learning.pieces.os.fsync", full)
        disk.setattr("monitor.durable.os.fsync", full)
        receive(learner, 60)
        assert not learner.turn()
        status = learner.status()
        assert status["pieces"] == kept
        assert status["lost_pieces"] > 0
        assert "No space left" in status["trouble"]
    receive(learner, 60)
    assert learner.status()["pieces"] > kept
    trained(learner, trainer, "first")
    assert text_in_use(tmp_path) == "first"


def test_a_fault_of_the_program_while_a_piece_is_written_is_shown(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The learning would stand still, and the status would show nothing unusual."""
    learner, _ = make()

    def fail(*_: object, **__: object) -> None:
        raise MemoryError("no memory for a callback")

    monkeypatch.setattr(PieceStore, "add", fail)
    receive(learner, 60)
    status = learner.status()
    assert status["lost_pieces"] > 0
    assert "no memory for a callback" in status["trouble"]
    assert "Traceback" in caplog.text


def test_space_is_limited(make: Make) -> None:
    """The pieces would fill the disk."""
    learner, trainer = make(settings={"max_mb": 1.0, "first_after_min": 1000.0})
    trainer._is_running = False
    receive(learner, 600)
    learner.turn()
    assert 0.8 < learner.status()["megabytes"] <= 1.0


# Training elsewhere.


def test_without_the_trainer_it_explains_how_and_takes_the_bundle(tmp_path: Path) -> None:
    """A node without torch could not be commissioned."""
    learner = Learner(
        "m",
        SETTINGS,
        folder_of(tmp_path, "m"),
        trainer=ByHand(folder_of(tmp_path, "m") / "work"),
        day_s=DAY_S,
    )
    receive(learner, 130)
    learner.turn()
    advice = learner.status()["trouble"]
    assert str(folder_of(tmp_path, "m") / "pieces") in advice
    assert "auscult train audio pieces --out new.bundle --false-alarms-per-week 1" in advice
    incoming = folder_of(tmp_path, "m") / "incoming"
    assert str(incoming) in advice
    (incoming / "new.bundle").mkdir()
    assert not learner.turn()
    (incoming / "new.bundle" / "bundle.json").write_text("half")
    assert not learner.turn()  # it may be being copied
    (incoming / "new.bundle" / "bundle.json").write_text("by hand")
    assert not learner.turn()
    assert learner.turn()
    assert text_in_use(tmp_path) == "by hand"
    assert list(incoming.iterdir()) == []
    receive(learner, 3 * DAY_S)
    assert learner.turn()  # nobody trains again, and the bundle keeps the budget
    assert learner.status()["stage"] == "armed"
    learner.stop()


def test_a_bundle_that_was_put_in_place_and_is_wrong_is_refused_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log would be filled with one line a second."""

    def refuse(path: Path) -> None:
        if (path / "bundle.json").read_text() == "wrong":
            raise BundleError("not a bundle of this version")

    folder = folder_of(tmp_path, "m")
    trainer = ByHand(folder / "work")
    learner = Learner("m", SETTINGS, folder, trainer=trainer, day_s=DAY_S, check_bundle=refuse)
    receive(learner, 130)
    learner.turn()
    bundle = folder / "incoming" / "new.bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text("wrong")
    for _ in range(5):
        assert not learner.turn()
    assert caplog.text.count("not a bundle of this version") == 1
    (bundle / "bundle.json").write_text("right one")
    learner.turn()
    assert learner.turn()
    learner.stop()


def test_without_one_package_of_the_trainer_the_bundle_is_trained_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each training would fail at its end, after an hour, and be repeated for ever."""
    find_spec = importlib.util.find_spec

    def without_one(name: str) -> object:
        return None if name == missing else find_spec(name)

    monkeypatch.setattr("importlib.util.find_spec", without_one)
    for missing in FOR_TRAINING:
        trainer = make_trainer(LearningSettings(), tmp_path / "state" / "m" / "work")
        assert isinstance(trainer, ByHand), missing


@pytest.mark.slow
def test_a_training_stays_within_its_memory_and_ends_with_the_daemon(tmp_path: Path) -> None:
    """The training would take the memory of the daemon, or go on for ever without it."""
    store = PieceStore(tmp_path)
    for n in range(8):
        store.add(noise(2, seed=n), RATE_HZ, piece(n))
    trainer = ChildTrainer(tmp_path / "work", 150.0)
    trainer.start(Job(str(store.accepted_folder), 1.0))
    result = wait_for(trainer.poll, 60)
    assert result is not None
    assert result.error == "it needs more memory than memory_mb = 150, or is free"
    assert not trainer.is_running
    trainer.start(Job(str(store.accepted_folder), 1.0))
    process = trainer._process
    assert process is not None
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == 15
    trainer._process = None  # the daemon was killed, and starts again
    again = ChildTrainer(tmp_path / "work", 2000.0)
    again.start(Job(str(store.accepted_folder), 1.0))
    assert process.wait(10) == -signal.SIGKILL
    again.stop()
    assert again.poll() is None


def test_a_request_is_trained_by_another_unit(tmp_path: Path) -> None:
    """Under systemd, no bundle would ever be trained."""
    work = folder_of(tmp_path, "m") / "work"
    requests = tmp_path / "training"
    trainer = OtherUnit(work, requests, "m")
    trainer.start(Job("pieces", 1.0))
    assert trainer.poll() is None
    calls: list[list[str]] = []

    def run(arguments: list[str], folder: Path, _is_wanted: object) -> int:
        calls.append(arguments)
        (folder / "out").mkdir()
        (folder / "out" / "bundle.json").write_text("{}")
        findings = {"outliers": [{"name": "pieces/7.flac"}], "outliers_kept": False}
        (folder / "stdout").write_text(json.dumps({"training_set": findings}))
        return 0

    assert run_requests(requests, run) == 1
    assert run_requests(requests, run) == 0
    assert calls == [["pieces", "--out", str(work / "out"), "--json", *calls[0][4:]]]
    assert OtherUnit(work, requests, "m").poll() == Result(work / "out", ["7.flac"])

    trainer.start(Job("pieces", 1.0))
    restarted = OtherUnit(work, requests, "m")
    assert restarted.is_running

    def fail(_arguments: list[str], folder: Path, _is_wanted: object) -> int:
        (folder / "stderr").write_text("auscult: needs the extra 'train'\n")
        return 69

    run_requests(requests, fail)
    assert restarted.poll() == Result(error="auscult: needs the extra 'train'")
    assert not restarted.is_running


class Killed(BaseException):
    """The end of the process that trains, in place of a signal."""


def test_a_request_whose_training_was_killed_is_reported_and_not_trained_again(
    tmp_path: Path,
) -> None:
    """A training that needs too much memory would begin again and again without a pause."""
    trainer = OtherUnit(tmp_path / "work", tmp_path / "training", "m")
    trainer.start(Job("pieces", 1.0))
    calls: list[int] = []

    def killed(*_: object) -> int:
        calls.append(1)
        raise Killed

    with pytest.raises(Killed):
        run_requests(tmp_path / "training", killed)
    assert trainer.poll() is None
    run_requests(tmp_path / "training", killed)  # systemd starts the unit again at once
    assert len(calls) == 1
    assert trainer.poll() == Result(error="it was ended early: see journalctl -u auscult-train")
    trainer.start(Job("pieces", 1.0))
    run_requests(tmp_path / "training", lambda *_: -signal.SIGKILL)
    result = trainer.poll()
    assert result is not None
    assert "more memory than its unit allows" in result.error


def test_a_training_that_is_not_wanted_any_more_ends_and_answers_no_later_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After auscult learn, the bundle of the sound before would be used."""
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr("monitor.learning.trainers.train_command._COMMAND", sleep)
    trainer = OtherUnit(tmp_path / "work", tmp_path / "training", "m")
    trainer.start(Job("before", 1.0))

    def run(arguments: list[str], work: Path, is_wanted: Callable[[], bool]) -> int:
        trainer.stop()
        trainer.start(Job("after", 1.0))
        return train_here(arguments, work, is_wanted)

    run_requests(tmp_path / "training", run)
    assert trainer.is_running
    assert trainer.poll() is None
    jobs: list[str] = []

    def note(arguments: list[str], *_: object) -> int:
        jobs.append(arguments[0])
        return 1

    run_requests(tmp_path / "training", note)
    assert jobs == ["after"]
    assert trainer.poll() is not None


def test_a_unit_that_does_not_train_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The learning would stand still, and the status would say that a bundle is being trained."""
    trainer = OtherUnit(tmp_path / "work", tmp_path / "training", "m")
    trainer.start(Job("pieces", 1.0))
    assert (trainer.poll(), trainer.advice) == (None, "")
    monkeypatch.setattr(OtherUnit, "LATE_S", 0.0)
    assert "systemctl status auscult-train.path" in trainer.advice
    (tmp_path / "work" / "result.part").mkdir()  # the result cannot be written
    run_requests(tmp_path / "training", lambda *_: 0)
    assert list((tmp_path / "training").iterdir()) == []
    result = trainer.poll()
    assert result == Result(error="it ended without a result: see journalctl -u auscult-train")
    assert trainer.advice == ""
