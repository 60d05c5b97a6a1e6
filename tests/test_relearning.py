"""A new bundle beside the one in use: from labels to the comparison and the operator's decision."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from monitor.commands.operate import Target
from monitor.commands.relearn import relearn as relearn_command
from monitor.detection.operation import OperationStatus
from monitor.domain import AudioBlock
from monitor.errors import BundleError, UsageError
from monitor.learning.journal import folder_of, in_use, read_journal
from monitor.learning.learner import Learner
from monitor.learning.relearning.comparison import (
    ComparedAlert,
    ComparedSound,
    Comparison,
    comparison_of,
)
from monitor.learning.relearning.labelled_alerts import Clip, LabelledAlert
from monitor.learning.relearning.scoring import (
    BundleFigures,
    MonitoredBy,
    Ratios,
    Scores,
    ScoringJob,
)
from monitor.learning.trainers.by_hand import ByHand
from monitor.learning.trainers.protocol import Result
from tests.clocks import FakeClock
from tests.command_line import auscult
from tests.labelled_alerts import LATER_S, Labelled, alert_id
from tests.test_learning import (
    DAY_S,
    RATE_HZ,
    SETTINGS,
    ScriptedTrainer,
    decision,
    noise,
    receive,
    text_in_use,
    trained,
)
from tests.waiting import wait_for

FIGURES = BundleFigures("0" * 64, 10.0, 1.0, True, 0.8)


class ScriptedScoring:
    """Gives the results that a test sets."""

    def __init__(self) -> None:
        self.jobs: list[ScoringJob] = []
        self.results: list[Scores | str] = []
        self.is_running = False

    def start(self, job: ScoringJob) -> None:
        self.jobs.append(job)
        self.is_running = True

    def poll(self) -> Scores | str | None:
        if not self.is_running or not self.results:
            return None
        self.is_running = False
        return self.results.pop(0)

    def stop(self) -> None:
        self.is_running = False


class Machine:
    """A machine whose learner can be started again in the same folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.labelled = Labelled(folder / "evidence")
        self.clock = FakeClock()
        self.made: list[Learner] = []
        self.monitored_by = MonitoredBy()
        self.settings: dict[str, Any] = {"keep": True}
        self.check_bundle: Callable[[Path], object] = Path.exists

    def start(self) -> None:
        """Start, or start again after a kill."""
        self.trainer = ScriptedTrainer(self.folder)
        self.scoring = ScriptedScoring()
        self.learner = Learner(
            "m",
            SETTINGS.model_copy(update=self.settings),
            folder_of(self.folder, "m"),
            trainer=self.trainer,
            scoring=self.scoring,
            labelled=self.labelled,
            monitored_by=self.monitored_by,
            check_bundle=self.check_bundle,
            clock=self.clock,
            day_s=DAY_S,
        )
        self.made.append(self.learner)

    def arm(self) -> None:
        """Start, learn and arm; the bundle ``first`` is in use."""
        self.start()
        receive(self.learner, 130)
        trained(self.learner, self.trainer, "first")
        self.learner.arm("anna")
        assert self.learner.turn()

    def reach(self, step: str) -> dict[str, Any]:
        """Do turns until the new bundle is at a step."""

        def reached() -> dict[str, Any]:
            self.learner.turn()
            found = self.learner.relearning()
            return found if found is not None and found["step"] == step else {}

        return wait_for(reached, 5)

    def trains(self, name: str = "new") -> None:
        """The training of the new bundle begins and gives a bundle."""
        wait_for(lambda: self.learner.turn() or self.trainer.is_running, 5)
        self.trainer.gives(name)

    def compares(
        self, trained: list[str] | None = None, **clips: tuple[float | None, float | None]
    ) -> None:
        """The comparison gives these ratios by ``n`` and the number of the alert."""
        self.reach("comparing")
        wait_for(lambda: self.learner.turn() or self.scoring.is_running, 5)
        self.scoring.results.append(
            Scores(
                FIGURES,
                FIGURES,
                {f"{alert_id(int(key[1:]))}-0": Ratios(*two, 30.0) for key, two in clips.items()},
                [
                    Ratios(0.5 + 0.01 * number, 1.2 - 0.01 * number, 3.0, name=Path(one).name)
                    for number, one in enumerate(self.scoring.jobs[-1].pieces)
                ],
                trained,
            )
        )

    @property
    def path(self) -> Path:
        return folder_of(self.folder, "m")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    one = Machine(tmp_path)
    yield one
    for learner in one.made:
        learner.stop()


# From the label to the decision.


def test_a_false_alarm_is_relearned_compared_and_accepted(machine: Machine) -> None:
    """A false alarm would come again and again, whatever an operator says."""
    machine.arm()
    machine.labelled.add(1, "false-alarm")
    machine.labelled.add(2, "fault")
    machine.learner.labels_changed()
    assert "nothing changes until you accept it" in machine.learner.relearn("anna")
    machine.trains()
    (job,) = machine.trainer.jobs[1:]
    assert job.pieces == str(machine.path / "pieces")
    assert [path.parent.name for path in Path(job.confirmed).glob("*/*_0.flac")] == [
        f"{alert_id(1)}-0"
    ]
    assert text_in_use(machine.folder) == "first"
    machine.compares(n1=(2.5, 0.8), n2=(7.0, 6.5))
    ready = machine.reach("ready")
    assert ready["text"] == "a new bundle is ready: compare it with auscult relearn m"
    found = ready["comparison"]
    assert [(one["alert_id"], one["label"]) for one in found["alerts"]] == [
        (alert_id(2), "fault"),
        (alert_id(1), "false-alarm"),
    ]
    newest, oldest = found["alerts"]
    assert (newest["ratio_before"], newest["alarm_after"], newest["learned"]) == (7.0, True, False)
    assert (oldest["alarm_before"], oldest["alarm_after"], oldest["learned"]) == (True, False, True)
    assert found["warnings"] == []
    assert found["budget"] == 1.0
    healthy = found["healthy"]
    ratios = [one["ratio_after"] for one in healthy["worst"]]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == 1.2
    assert len(ratios) == min(healthy["pieces"], 50)
    known = {piece.name: piece.recorded_at for piece in machine.learner.state.store.pieces}
    assert all(known[one["name"]] == one["recorded_at"] for one in healthy["worst"])
    assert [one["above_after"] for one in healthy["worst"]] == [one > 1.0 for one in ratios]
    assert text_in_use(machine.folder) == "first"  # nothing adapts by itself
    assert machine.learner.relearn_accept("anna").startswith("uses the new bundle")
    assert machine.learner.turn()
    assert text_in_use(machine.folder) == "new"
    assert machine.learner.status()["relearning"] is None
    newest_bundle = machine.learner.state.journal.newest
    assert newest_bundle is not None
    assert newest_bundle.reason == "relearned with 1 false alarm, by anna"
    machine.learner.turn()
    assert not (machine.path / "candidate").exists()
    machine.learner.rollback("anna")
    assert machine.learner.turn()
    assert text_in_use(machine.folder) == "first"


def test_a_clip_that_the_training_left_out_is_not_learned(machine: Machine) -> None:
    """An operator would think that the new bundle has learned the sound of a copy."""
    machine.arm()
    machine.labelled.add(1, "false-alarm")
    machine.learner.relearn("anna")
    machine.trains()
    machine.compares([], n1=(2.5, 0.8))
    (alert,) = machine.reach("ready")["comparison"]["alerts"]
    assert not alert["learned"]


def test_the_highest_scores_of_each_bundle_are_listed() -> None:
    """Sound that only the bundle in use reports would be missing among thousands of pieces."""
    pieces = [Ratios(0.001 * one, 1.0 - 0.001 * one, 3.0, name=str(one)) for one in range(300)]
    scores = Scores(FIGURES, FIGURES, {}, pieces)
    worst = comparison_of(scores, [], [], "", {"7": "then"}).healthy.worst
    assert [int(one.name) for one in worst] == [*range(25), *range(275, 300)]
    assert [one.recorded_at for one in worst if one.recorded_at] == ["then"]


def test_a_new_bundle_can_be_discarded(machine: Machine) -> None:
    """A bundle that misses a fault could not be refused."""
    machine.arm()
    machine.labelled.add(1, "false-alarm")
    machine.learner.relearn("anna")
    machine.trains()
    machine.compares(n1=(2.5, 0.8))
    machine.reach("ready")
    assert machine.learner.relearn_discard("anna") == "discarded; the bundle in use stays"
    machine.learner.turn()
    assert machine.learner.relearning() is None
    assert text_in_use(machine.folder) == "first"
    assert not (machine.path / "candidate").exists()
    with pytest.raises(UsageError, match="no new bundle: run auscult relearn"):
        machine.learner.relearn_accept("anna")
    with pytest.raises(UsageError, match="nothing to discard"):
        machine.learner.relearn_discard("anna")


def test_a_fault_that_would_be_missed_is_named(machine: Machine) -> None:
    """An operator would accept a bundle that does not detect the fault of last month."""
    machine.arm()
    for number, label in ((1, "false-alarm"), (2, "fault"), (3, "fault"), (4, "false-alarm")):
        machine.labelled.add(number, label)
    machine.learner.relearn("anna")
    machine.trains()
    machine.compares(n1=(2.5, 0.8), n2=(3.0, 0.9), n3=(0.7, 0.6), n4=(2.0, 1.4))
    assert machine.reach("ready")["comparison"]["warnings"] == [
        f"alert {alert_id(4)} is labelled false-alarm, and the new bundle would still raise it",
        (
            f"alert {alert_id(3)} is labelled fault, but its 30 s of stored sound do not show "
            "whether the new bundle would raise it"
        ),
        f"alert {alert_id(2)} is labelled fault, and the new bundle would not raise it",
    ]
    machine.labelled.labels[4] = "ignore"  # after the training
    warnings = machine.learner.relearning()
    assert warnings is not None
    assert warnings["comparison"]["warnings"][-1].startswith("labels have changed since")


def test_fewer_detected_faults_are_named() -> None:
    """A bundle with a far higher threshold would look as good as the one in use."""
    worse = replace(FIGURES, recall=0.6)
    assert Comparison("", FIGURES, worse, ComparedSound()).warnings({}) == [
        "the new bundle detects 60 % of the injected faults, the bundle in use 80 %"
    ]
    assert Comparison("", FIGURES, FIGURES, ComparedSound()).warnings({}) == []


def test_healthy_sound_above_each_threshold_is_counted() -> None:
    """The operator would not see that the new bundle raises more false alarms."""
    pieces = [Ratios(1.2, 0.9, 60.0), Ratios(0.5, 1.1, 30.0), Ratios(None, 2.0, 60.0)]
    made = comparison_of(Scores(FIGURES, FIGURES, {}, pieces), [], [], "", {})
    assert replace(made.healthy, worst=[]) == ComparedSound(2, 90.0, 60.0, 30.0)


def test_an_alert_with_several_clips_counts_by_the_highest(tmp_path: Path) -> None:
    """The clip of its end would hide that an alert is raised."""
    clips = tuple(Clip(f"{alert_id(1)}-{n}", tmp_path, LATER_S) for n in range(3))
    scores = {
        f"{alert_id(1)}-0": Ratios(3.0, 0.9, 30.0),
        f"{alert_id(1)}-1": Ratios(None, None, 5.0, "too short"),
        f"{alert_id(1)}-2": Ratios(0.4, 1.2, 20.0),
    }
    alerts = [LabelledAlert(alert_id(1), "", clips)]
    made = comparison_of(Scores(FIGURES, FIGURES, scores, []), alerts, [], "", {})
    assert made.alerts == [ComparedAlert(alert_id(1), 3.0, 1.2, 30.0)]


def test_the_command_shows_what_would_change(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """A technician at a terminal would have to decide without the comparison."""
    machine.arm()
    for number, label in ((1, "false-alarm"), (2, "fault"), (3, "")):
        machine.labelled.add(number, label)

    def ask(command: str, **arguments: Any) -> dict[str, Any]:
        assert command == "relearn"
        message = machine.learner.relearn("anna", arguments.get("collect_s"))
        return {"message": message, "relearning": machine.learner.relearning()}

    def shown() -> str:
        target = cast("Target", SimpleNamespace(ask=ask))
        relearn_command(target, "m", None, accept=False, discard=False, as_json=False)
        return capsys.readouterr().out

    assert shown().startswith(
        "m: a new bundle is being trained beside the one in use; nothing changes"
    )
    machine.trains()
    assert shown() == "m: a new bundle is being trained\n"
    machine.compares(n1=(2.5, 0.8), n2=(3.0, 0.9), n3=(None, None))
    machine.reach("ready")
    lines = shown().splitlines()
    assert lines[0] == "m: a new bundle is ready. Nothing has changed yet"
    assert [line.split()[1:] for line in lines[3:6]] == [
        ["not", "scored", "not", "scored"],
        ["fault", "3.0,", "alert", "0.90,", "no", "alert"],
        ["false-alarm", "2.5,", "alert", "0.80,", "no", "alert"],
    ]
    assert lines[-3] == (
        f"WARNING: alert {alert_id(2)} is labelled fault, and the new bundle would not raise it"
    )
    assert lines[-2:] == [
        "use it: auscult relearn m --accept",
        "keep the bundle in use: auscult relearn m --discard",
    ]


def test_two_decisions_at_once_are_refused() -> None:
    """One of them would be ignored without a message."""
    refused = auscult("relearn", "m", "--accept", "--discard")
    assert refused.status == 64
    assert "only one of --collect, --accept and --discard" in refused.err


# What survives.


def test_relearning_goes_on_after_a_kill_at_every_step(machine: Machine) -> None:
    """A power cut would leave the machine between two bundles, or lose the work of a day."""
    machine.arm()
    machine.labelled.add(1, "false-alarm")
    machine.learner.relearn("anna")
    machine.start()
    wait_for(lambda: machine.learner.turn() or machine.trainer.is_running, 5)
    machine.start()  # while it trains
    assert machine.reach("training")["by"] == "anna"
    machine.trains()
    machine.reach("comparing")
    wait_for(lambda: machine.learner.turn() or machine.scoring.is_running, 5)
    machine.start()  # while it compares
    machine.compares(n1=(2.0, 0.5))
    machine.reach("ready")
    machine.start()
    found = machine.learner.relearning()
    assert found is not None
    assert found["comparison"]["alerts"][0]["ratio_after"] == 0.5
    machine.learner.relearn_accept("anna")
    machine.start()
    assert text_in_use(machine.folder) == "new"
    assert machine.learner.relearning() is None


def test_a_discarded_bundle_does_not_come_back_after_a_restart(machine: Machine) -> None:
    """The journal of a machine with a bundle of its own was not written without a reason."""
    machine.monitored_by = MonitoredBy(machine.folder / "configured")
    machine.start()
    machine.learner.relearn("anna", 60.0)
    machine.learner.relearn_discard("anna")
    machine.start()
    assert machine.learner.relearning() is None
    assert machine.learner.status()["stage"] == "armed"


def test_a_failed_training_is_shown_and_can_be_tried_again(machine: Machine) -> None:
    """The operator would wait for a bundle that never comes."""
    machine.arm()
    machine.labelled.add(1, "false-alarm")
    machine.learner.relearn("anna")
    wait_for(lambda: machine.learner.turn() or machine.trainer.is_running, 5)
    machine.trainer.results.append(Result(error="disk full"))
    machine.learner.turn()
    failed = machine.learner.status()["relearning"]
    assert failed["trouble"] == "the training failed: disk full"
    assert failed["text"].endswith("try again with auscult relearn m")
    assert machine.learner.relearn("anna")
    machine.trains()
    machine.compares()
    machine.reach("ready")


def test_a_part_that_cannot_be_trained_is_removed_and_the_training_begins_again(
    machine: Machine,
) -> None:
    """One damaged file would end every relearning."""
    machine.arm()
    for number in (1, 2):
        machine.labelled.add(number, "false-alarm")
    machine.learner.relearn("anna")
    wait_for(lambda: machine.learner.turn() or machine.trainer.is_running, 5)
    damaged = next((machine.path / "relearn" / f"{alert_id(1)}-0").iterdir())
    machine.trainer.results.append(Result(error="x", unusable={damaged.name: "is silence"}))
    machine.learner.turn()
    machine.trains()
    assert [path.name for path in Path(machine.trainer.jobs[-1].confirmed).iterdir()] == [
        f"{alert_id(2)}-0"
    ]


def test_a_failed_comparison_and_an_unusable_bundle_are_shown(machine: Machine) -> None:
    """The machine would be left with a bundle that nobody can judge."""
    machine.arm()
    machine.labelled.add(1, "false-alarm")
    machine.learner.relearn("anna")
    machine.trains()
    machine.reach("comparing")
    wait_for(lambda: machine.learner.turn() or machine.scoring.is_running, 5)
    machine.scoring.results.append("out of memory")
    assert machine.reach("failed")["trouble"] == "the comparison failed: out of memory"

    def refuse(path: Path) -> None:
        raise BundleError(f"{path}: the self-test fails")

    machine.check_bundle = refuse
    machine.start()
    machine.learner.relearn("anna")
    machine.trains("wrong")
    assert "the self-test fails" in machine.reach("failed")["trouble"]


def test_a_full_disk_changes_nothing_when_a_bundle_is_accepted(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine would be monitored by half a bundle."""
    machine.arm()
    machine.labelled.add(1, "false-alarm")
    machine.learner.relearn("anna")
    machine.trains()
    machine.compares()
    machine.reach("ready")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("monitor.durable.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            machine.learner.relearn_accept("anna")
    assert text_in_use(machine.folder) == "first"
    assert machine.learner.status()["relearning"]["step"] == "ready"
    machine.learner.relearn_accept("anna")
    assert text_in_use(machine.folder) == "new"


def test_a_rollback_ends_a_comparison_with_the_bundle_before(machine: Machine) -> None:
    """The operator would decide by a comparison with a bundle that is not in use."""
    machine.arm()
    machine.labelled.add(1, "false-alarm")
    for name in ("second", "third"):
        machine.learner.relearn("anna")
        machine.trains(name)
        machine.compares()
        machine.reach("ready")
        if name == "second":
            machine.learner.relearn_accept("anna")
    machine.learner.rollback("anna")
    assert machine.learner.status()["relearning"]["trouble"] == (
        "another bundle is in use since then"
    )
    assert text_in_use(machine.folder) == "first"


def test_a_new_learning_forgets_the_sound_of_earlier_alerts(machine: Machine) -> None:
    """After an overhaul, the sound of the old machine would be learned as healthy."""
    machine.arm()
    machine.labelled.add(1, "false-alarm")
    machine.learner.relearn("anna")
    wait_for(lambda: machine.learner.turn() or machine.trainer.is_running, 5)
    machine.clock.now_s += 5_000.0
    machine.learner.learn("anna")
    assert not (machine.path / "relearn").exists()
    receive(machine.learner, 130)
    trained(machine.learner, machine.trainer, "second")
    machine.learner.arm("anna")
    with pytest.raises(UsageError, match="nothing new to learn"):
        machine.learner.relearn("anna")


# What is refused, and collecting beside the monitoring.


def test_what_cannot_be_relearned_is_refused_with_what_to_do(machine: Machine) -> None:
    """An operator would not know why nothing happens."""
    machine.start()
    with pytest.raises(UsageError, match=r"is still learning.*auscult arm"):
        machine.learner.relearn("anna")
    machine.arm()
    with pytest.raises(UsageError, match="label an alert as false-alarm, or collect it"):
        machine.learner.relearn("anna")
    machine.settings = {"keep": False}
    machine.start()
    machine.learner.turn()
    machine.labelled.add(1, "false-alarm")
    with pytest.raises(
        UsageError, match=r"no piece of healthy sound \(keep = false .* relearn m --collect 7d"
    ):
        machine.learner.relearn("anna")
    assert read_journal(machine.path) is not None


def test_sound_is_collected_beside_the_monitoring(machine: Machine) -> None:
    """A machine whose pieces were deleted could never be relearned."""
    machine.settings = {"keep": False}
    machine.arm()
    machine.learner.turn()
    assert machine.learner.status()["pieces"] == 0
    machine.labelled.add(1, "false-alarm")
    assert "machine must be healthy meanwhile" in machine.learner.relearn("anna", 240.0)
    assert machine.learner.relearn("anna").endswith("still needed: 4 minutes of sound")
    with pytest.raises(UsageError, match="is being relearned already"):
        machine.learner.relearn("anna", 60.0)
    receive(machine.learner, 100)
    machine.learner.turn()
    machine.learner.state.save()
    machine.start()  # killed meanwhile
    status = machine.learner.status()
    assert (status["stage"], status["relearning"]["collected_s"]) == ("armed", 100.0)
    assert 8 <= status["pieces"] <= 10
    receive(machine.learner, 150)
    machine.trains()
    machine.compares(n1=(2.0, 0.5))
    machine.reach("ready")
    assert machine.learner.status()["pieces"] > 15
    receive(machine.learner, 60)
    machine.learner.relearn_accept("anna")
    machine.learner.turn()
    assert machine.learner.status()["pieces"] == 0
    assert list((machine.path / "pieces").iterdir()) == []


def test_sound_of_an_alert_is_not_collected(machine: Machine) -> None:
    """A fault during the collection would be learned as healthy."""
    machine.arm()
    machine.learner.relearn("anna", 300.0)
    long_alert = replace(decision("raised"), span_s=50.0)
    receive(machine.learner, 150)
    receive(machine.learner, 1, decisions=(long_alert,))
    n_before = len(machine.learner.state.store.accepted)
    alarm(machine.learner, 100)
    assert len(machine.learner.state.store.accepted) == n_before
    receive(machine.learner, 160)
    machine.trains()
    aside = [one for one in machine.learner.state.store.pieces if one.aside]
    assert aside
    assert {one.aside for one in aside} == {"it is of the sound that raised an alert"}
    alarms = machine.learner.state.journal.relearning
    assert alarms is not None
    (span,) = alarms.alarms
    assert all(span.begin_s - 4.0 < one.heard_s < (span.end_s or 0.0) for one in aside)


def alarm(learner: Learner, seconds: int) -> None:
    """Sound while an alert is open."""
    for second in range(seconds):
        block = AudioBlock(noise(1.0), RATE_HZ, second * RATE_HZ)
        learner.push(block, usable=True, operation=OperationStatus.RUNNING, is_alarm=True)
        learner.flush()


def test_a_machine_with_a_bundle_of_its_own_is_relearned_and_rolled_back(machine: Machine) -> None:
    """A bundle that was trained by hand would have to be trained by hand for ever."""
    configured = machine.folder / "configured"
    machine.monitored_by = MonitoredBy(configured)
    machine.start()
    assert machine.learner.status()["stage"] == "armed"
    machine.learner.relearn("anna", 120.0)
    receive(machine.learner, 130)
    machine.trains()
    assert machine.trainer.jobs[-1].confirmed == ""
    machine.compares()
    assert machine.scoring.jobs[-1].before == str(configured)
    machine.reach("ready")
    machine.learner.relearn_accept("anna")
    new, beside = in_use(machine.folder, "m", configured).bundles
    assert (new / "bundle.json").read_text() == "new"
    assert beside == configured
    machine.learner.rollback("anna")
    assert in_use(machine.folder, "m", configured).bundles == (configured,)


def test_by_hand_the_advice_names_both_folders(machine: Machine) -> None:
    """The person at the other computer would train without the confirmed sound."""
    machine.arm()
    machine.labelled.add(1, "false-alarm")
    machine.learner.stop()
    learner = Learner(
        "m",
        SETTINGS.model_copy(update=machine.settings),
        machine.path,
        trainer=ByHand(machine.path / "work"),
        scoring=machine.scoring,
        labelled=machine.labelled,
        clock=machine.clock,
        day_s=DAY_S,
    )
    machine.made.append(learner)
    learner.relearn("anna")

    def advice() -> str:
        learner.turn()
        return str(learner.status()["relearning"]["trouble"])

    found = wait_for(advice, 5)
    assert f"copy {machine.path / 'pieces'} and {machine.path / 'relearn'} to a computer" in found
    assert "auscult train audio pieces --confirmed relearn --out new.bundle" in found
    incoming = machine.path / "incoming" / "new.bundle"
    incoming.mkdir()
    (incoming / "bundle.json").write_text("by hand")
    for _ in range(3):
        learner.turn()
    assert learner.status()["relearning"]["step"] == "comparing"
    assert (machine.path / "candidate" / "bundle.json").read_text() == "by hand"
    assert list((machine.path / "incoming").iterdir()) == []
