"""The evidence of machines in this process: what alerts name, and what is kept of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.alerts import Alert
from monitor.control.operator_log import OperatorLog
from monitor.domain import AudioBlock, FloatArray, LogMelBlock
from monitor.evidence import store as store_module
from monitor.evidence.clip import Clip
from monitor.evidence.folder import EvidenceFolder, Piece
from monitor.evidence.keeper import EvidenceKeeper
from monitor.evidence.piece_work import EvidenceEvent, PieceWork
from monitor.evidence.recorder import Recorder
from monitor.evidence.settings import EvidenceSettings
from monitor.features.log_mel_frames import log_mel_frames
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.outbox.queue import Outbox
from monitor.service.evidence import Evidence
from monitor.service.machine import Machine
from monitor.service.muting import Muting
from monitor.sources.protocol import SourceItem
from tests.alert_drafts import draft
from tests.bundles import SPEC, machine_sound
from tests.kept_healthy import keep_healthy
from tests.scripted_machines import RATE_HZ, RecordingOutlet, cut, plan, playing
from tests.waiting import wait_for

ENDED = "the recording ended"


class Node:
    """One machine with an outbox, mutes and evidence."""

    def __init__(self, folder: Path, bundle: Bundle, network: Network) -> None:
        self.folder = folder
        self.plan = plan(bundle, network)
        self.settings = EvidenceSettings(before_s=6.0, after_s=4.0)
        self.web_url = ""
        self.labelled: set[str] = set()
        self.events: list[EvidenceEvent] = []
        self.pictures: list[bytes] = []
        self.stack = ExitStack()
        self.start()

    def start(self) -> None:
        self.outbox = self.stack.enter_context(Outbox(self.folder / "outbox.sqlite3"))
        self.record = RecordingOutlet(self.outbox)
        self.evidence = Evidence(
            self.record,
            self.folder,
            self.settings,
            web_url=self.web_url,
            is_labelled=self.labelled.__contains__,
            on_event=self.events.append,
            on_picture=lambda _request, png: self.pictures.append(png),
        )
        operators = OperatorLog(self.folder / "operators.sqlite3")
        self.stack.callback(operators.close)
        self.muting = Muting(self.evidence, operators)
        self.evidence.is_muted = self.muting.is_muted
        self.evidence.start([self.plan], self.outbox.pending(100))
        self.stack.callback(self.evidence.stop)

    def restart(self) -> None:
        self.stack.close()
        self.start()

    def machine(self, *items: SourceItem, forever: bool = False) -> Machine:
        recorder = self.evidence.recorder("m")
        source = playing(*items, forever=forever)
        return Machine(self.plan, source, self.muting, evidence=recorder)

    def run(self, *items: SourceItem) -> list[Alert]:
        """Let the machine process everything, and wait until its evidence is written."""
        machine = self.machine(*items)
        machine.start()
        wait_for(lambda: machine.ended)
        self.evidence.flush()
        return self.record.alerts

    def pieces(self, alert: Alert) -> list[Piece]:
        return EvidenceFolder(self.folder / "evidence").pieces(alert.alert_id)


@pytest.fixture
def node(tmp_path: Path, bundle: Bundle, network: Network) -> Iterator[Node]:
    one = Node(tmp_path, bundle, network)
    yield one
    one.stack.close()


def as_16_bit(*parts: FloatArray) -> FloatArray:
    samples = np.concatenate(parts)
    return (np.rint(samples * 32768).clip(-32768, 32767) / 32768).astype(np.float32)


def fault_and_back(fault_s: float = 20.0) -> FloatArray:
    """20 s of healthy sound, a fault at 3 kHz, 30 s of healthy sound; 16 bits."""
    fault = machine_sound(fault_s, seed=2, fault=0.3)
    return as_16_bit(machine_sound(20, seed=1), fault, machine_sound(30))


def sound_of(piece: Piece) -> FloatArray:
    assert piece.sound_path is not None
    samples, rate_hz = soundfile.read(piece.sound_path, dtype="float32")
    assert rate_hz == piece.metadata["sample_rate_hz"]
    return np.asarray(samples, dtype=np.float32)


@pytest.mark.parametrize("block", [160, 1371, 64_000])
def test_an_alert_names_its_sound_bit_by_bit(block: int, node: Node) -> None:
    """Nobody could hear what raised an alert; or the sound would be from another time."""
    samples = fault_and_back()
    raised, cleared = node.run(*cut(samples, block))
    for alert, number in ((raised, 0), (cleared, 1)):
        assert alert.evidence is not None
        assert alert.evidence.id == f"{alert.alert_id}-{number}"
        piece = node.pieces(alert)[number]
        assert piece.evidence_id == alert.evidence.id
        assert piece.metadata["moment"] == alert.kind
        assert piece.metadata["at"] == alert.at
        assert piece.metadata["incomplete"] is None
        played = sound_of(piece)
        assert len(played) == 10 * RATE_HZ
        assert alert.position_s is not None
        first = round((alert.position_s - 6.0) * RATE_HZ)
        assert np.array_equal(played, samples[first : first + len(played)])
    assert [event.what for event in node.events] == ["kept", "kept"]
    assert len(node.pictures) == 1


def test_the_kept_sound_contains_the_fault(node: Node) -> None:
    """The clip would be sound, but not that of the fault."""
    raised, cleared = node.run(*cut(fault_and_back(), 1600))
    at_fault, after = (sound_of(piece) for piece in node.pieces(raised))
    for played, is_there in ((at_fault[-4 * RATE_HZ :], True), (after[-4 * RATE_HZ :], False)):
        spectrum = np.abs(np.fft.rfft(played * np.hanning(len(played))))
        loudest_hz = float(spectrum[500:].argmax() + 500) / len(played) * RATE_HZ
        assert (abs(loudest_hz - 3000.0) < 2.0) == is_there
    profile = node.pieces(raised)[0].metadata["band_residual_db"]
    mel_hz = node.pieces(raised)[0].metadata["log_mel"]["mel_hz"]
    assert mel_hz[int(np.argmax(profile))] == pytest.approx(3000.0, rel=0.03)
    assert cleared.bands_hz == ()


def test_scores_of_a_piece_are_those_that_were_published(node: Node) -> None:
    """The page would show another course of the score than the history."""
    (raised, _) = node.run(*cut(fault_and_back(), 1600))
    piece = node.pieces(raised)[0]
    published = [round(score["score"], 3) for _, score in node.record.scores]
    kept = [score for _, score, _ in piece.metadata["scores"]]
    at = published.index(kept[0])
    assert kept == published[at : at + len(kept)]
    assert len(kept) == pytest.approx(10 / SPEC.window_hop_s, abs=2)
    positions = [at_s for at_s, _, _ in piece.metadata["scores"]]
    assert np.allclose(np.diff(positions), SPEC.window_hop_s, atol=2e-3)


def test_pieces_have_the_time_of_the_recording(node: Node) -> None:
    """The sound of last week's recording would have the time of today."""
    began = 1_700_000_000.0
    blocks = [
        replace(block, recorded_unix_s=began + block.start_s)
        for block in cut(fault_and_back(), 64_000)
    ]
    raised, _ = node.run(*blocks)
    assert raised.position_s is not None
    starts = np.datetime64(node.pieces(raised)[0].metadata["starts_at"].rstrip("Z"), "ms")
    assert starts.astype(float) / 1000 == pytest.approx(began + raised.position_s - 6.0, abs=0.01)


def test_a_recording_that_ends_gives_what_there_is(node: Node) -> None:
    """Evidence would be missing, or end in sound of the next recording, without a note."""
    samples = fault_and_back()[: 31 * RATE_HZ]
    (raised,) = node.run(*cut(samples, 1600))
    (piece,) = node.pieces(raised)
    assert piece.metadata["incomplete"] == ENDED
    assert piece.metadata["seconds"] < 10.0
    assert np.array_equal(sound_of(piece), samples[-len(sound_of(piece)) :])
    assert node.events[0].reason == ENDED


def test_a_fault_that_grows_is_kept_again_and_named_later(
    node: Node,
) -> None:
    """The sound of a bearing shortly before it breaks would not be there."""
    faint = machine_sound(30, seed=2, fault=0.005)
    samples = as_16_bit(machine_sound(20, seed=1), faint, machine_sound(30, seed=3, fault=0.3))
    alerts = node.run(*cut(as_16_bit(samples, machine_sound(30)), 1600))
    moments = [piece.metadata["moment"] for piece in node.pieces(alerts[0])]
    assert moments == ["raised", "worse", "cleared"]
    raised, worse, _ = node.pieces(alerts[0])
    assert worse.metadata["ratio"] >= 2.0 * raised.metadata["ratio"]
    assert alerts[-1].evidence is not None
    assert alerts[-1].evidence.id.endswith("-2")


def test_addresses_are_given_if_there_is_a_page(node: Node) -> None:
    """A person would have to search for the page of an alert."""
    node.evidence.apply(node.settings, "https://node.example/auscult")
    raised, _ = node.run(*cut(fault_and_back(), 1600))
    assert raised.evidence is not None
    assert raised.evidence.url == f"https://node.example/auscult/alert/{raised.alert_id}"


def test_nothing_is_kept_if_that_is_configured(node: Node) -> None:
    """A works council has forbidden recordings, and there are recordings."""
    node.evidence.apply(EvidenceSettings(keep="off"), "")
    raised, _ = node.run(*cut(fault_and_back(), 1600))
    assert raised.evidence is None
    node.evidence.flush()
    kept = [path for path in (node.folder / "evidence").rglob("*") if path.name != "state.json"]
    assert kept == []
    assert node.evidence.recorder("m").n_bytes == 0


def test_an_alert_that_a_mute_holds_back_keeps_nothing_until_it_is_raised(node: Node) -> None:
    """What people say during their work at a muted machine would be kept."""
    samples = fault_and_back(fault_s=40.0)
    node.muting.mute("m", 3600.0, "oil change", "anna")
    machine = node.machine(*cut(samples[: 40 * RATE_HZ], 1600), forever=True)
    machine.start()
    wait_for(lambda: machine.coverage()["monitored_s"] > 39.95)
    node.evidence.flush()
    assert node.record.alerts == []
    assert EvidenceFolder(node.folder / "evidence").total_bytes() < 1000
    node.muting.unmute("m")
    machine.ask_to_stop()
    assert machine.join(5)
    node.evidence.flush()
    (raised,) = node.record.alerts
    (piece,) = node.pieces(raised)
    assert raised.evidence is not None
    assert piece.metadata["lost"] is not None
    assert piece.sound_path is None


def test_after_a_mute_only_later_sound_is_kept(node: Node) -> None:
    """The same: the sound before the end of the mute belongs to the time of the mute."""
    samples = fault_and_back(fault_s=40.0)
    recorder = node.evidence.recorder("m")
    node.muting.mute("m", 3600.0, "oil change", "anna")
    ended = False

    def blocks() -> Iterator[AudioBlock]:
        nonlocal ended
        for block in cut(samples[: 50 * RATE_HZ], 1600):
            if block.start_s >= 40.0 and not ended:
                node.muting.unmute("m")
                ended = True
            yield block

    source = playing(forever=False)
    source.script = lambda _stop: blocks()
    machine = Machine(node.plan, source, node.muting, evidence=recorder)
    machine.start()
    wait_for(lambda: machine.ended)
    node.evidence.flush()
    (raised,) = node.record.alerts
    (piece,) = node.pieces(raised)
    assert np.array_equal(sound_of(piece), samples[40 * RATE_HZ : 44 * RATE_HZ])


def test_the_end_of_an_alert_during_a_mute_is_not_kept(node: Node) -> None:
    """The same, for an alert that was raised before the mute."""
    samples = fault_and_back()
    machine = node.machine(*cut(samples[: 32 * RATE_HZ], 1600), forever=True)
    machine.start()
    wait_for(lambda: node.record.alerts)
    wait_for(lambda: machine.coverage()["monitored_s"] > 31.0)
    machine.ask_to_stop()
    assert machine.join(5)
    node.muting.mute("m", 3600.0, "oil change", "anna")
    _, cleared = node.run(*cut(samples[32 * RATE_HZ :], 1600))
    assert cleared.kind == "cleared"
    assert [piece.metadata["moment"] for piece in node.pieces(cleared)] == ["raised"]
    assert cleared.evidence is not None
    assert cleared.evidence.id.endswith("-0")


def test_a_restart_completes_the_piece_and_continues_the_numbers(node: Node) -> None:
    """The sound of the end would replace that of the beginning, or be lost without a note."""
    samples = fault_and_back()
    machine = node.machine(*cut(samples[: 31 * RATE_HZ], 1600), forever=True)
    machine.start()
    wait_for(lambda: node.record.alerts)
    wait_for(lambda: machine.coverage()["monitored_s"] > 30.0)
    machine.ask_to_stop()
    assert machine.join(5)
    node.restart()
    cleared = node.run(*cut(samples[31 * RATE_HZ :], 1600))[-1]
    first, last = node.pieces(cleared)
    assert first.metadata["incomplete"] == "the monitoring was stopped"
    assert (last.metadata["moment"], last.evidence_id[-2:]) == ("cleared", "-1")


def test_what_was_not_diagnosed_before_a_restart_is_diagnosed_after_it(node: Node) -> None:
    """After a kill between the sound and its diagnosis, nobody would read what is wrong."""
    raised, _ = node.run(*cut(fault_and_back(), 1600))
    asked, *_ = [one.request for one in node.events]
    node.events.clear()
    node.restart()
    node.evidence.flush()
    (found,) = node.events
    assert (found.what, found.request.evidence_id) == ("found", f"{raised.alert_id}-0")
    assert found.request.at_s - found.request.began_s == pytest.approx(
        asked.at_s - asked.began_s, abs=0.002
    )
    assert found.request.judge.bundle is not None
    node.evidence.describe(found.request, {"diagnosis": {"findings": []}})
    node.evidence.flush()
    node.events.clear()
    node.restart()
    node.evidence.flush()
    assert node.events == []


def test_a_disk_that_refuses_costs_the_evidence_only(node: Node) -> None:
    """An alert would be late or lost because of a full disk; or nobody would know of the loss."""
    folder = node.folder / "evidence"
    wait_for(folder.exists)
    node.evidence.flush()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    raised, _ = node.run(*cut(fault_and_back(), 1600))
    assert [event.what for event in node.events] == ["lost", "lost"]
    assert node.evidence.status().lost == 2
    assert "File exists" in node.evidence.status().trouble
    assert len(node.pictures) == 1
    folder.unlink()
    node.run(*cut(fault_and_back(), 1600))
    lost, *_ = node.pieces(raised)
    assert "File exists" in lost.metadata["lost"]
    assert (lost.sound_path, lost.images()) == (None, {})


def test_an_alert_that_the_machine_is_off_keeps_no_sound(node: Node) -> None:
    """It is not about the sound; the sound would be that of a room with people."""
    node.evidence.recorder("m").use(node.plan.judge)
    for kind in ("raised", "cleared"):
        alert = node.evidence.alert(replace(draft(machine="m"), kind=kind, reason="off"))
        assert alert is not None
        assert alert.evidence is None
    node.evidence.flush()
    assert node.events == []


def test_a_source_without_sound_gives_pictures(node: Node) -> None:
    """An alert of features that were computed elsewhere would have no evidence at all."""
    frames = log_mel_frames(fault_and_back(), SPEC)
    blocks = [LogMelBlock(frames[at : at + 4], at) for at in range(0, len(frames), 4)]
    raised, _ = node.run(*blocks)
    piece = node.pieces(raised)[0]
    assert piece.sound_path is None
    assert piece.metadata["sample_rate_hz"] is None
    assert piece.metadata["seconds"] == pytest.approx(10.0, abs=0.1)
    images = piece.images()
    assert set(images) == {"log_mel", "reconstruction", "residual"}
    residual = np.asarray(images["residual"]).reshape(SPEC.n_mels, -1)
    loudest = int(residual[:, -60:].mean(axis=1).argmax())
    assert piece.metadata["log_mel"]["mel_hz"][loudest] == pytest.approx(3000.0, rel=0.03)


def test_healthy_sound_is_kept_for_comparison(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is unknown how the machine sounds when it is healthy."""
    monkeypatch.setattr(Recorder, "HEALTHY_AFTER_S", 10.0)
    monkeypatch.setattr(Recorder, "HEALTHY_EVERY_S", 5.0)
    samples = as_16_bit(machine_sound(40, seed=1), machine_sound(10, seed=2, fault=0.3))
    node.run(*cut(samples, 1600))
    reader = EvidenceFolder(node.folder / "evidence")
    assert reader.healthy_operations("m") == ["running"]
    piece = reader.healthy("m", "running")
    assert piece is not None
    assert piece.metadata["moment"] == "healthy"
    played = sound_of(piece)
    assert len(played) == 6 * RATE_HZ  # as much as is held in memory
    spectrum = np.abs(np.fft.rfft(played * np.hanning(len(played))))
    assert spectrum[int(3000 * len(played) / RATE_HZ)] < spectrum.max() / 100
    first = piece.metadata["starts_at"]
    node.run(*cut(samples, 1600))
    again = reader.healthy("m", "running")
    assert again is not None
    assert again.metadata["starts_at"] == first  # it is not older than a day


def test_healthy_sound_from_before_a_slow_fault_stays(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alert would be compared with sound of the day before, which has the fault already."""
    monkeypatch.setattr(Recorder, "HEALTHY_AFTER_S", 10.0)
    monkeypatch.setattr(Recorder, "HEALTHY_EVERY_S", 5.0)
    reader = EvidenceFolder(node.folder / "evidence")
    node.run(*cut(as_16_bit(machine_sound(40, seed=1)), 1600))
    first = [one.metadata["starts_at"] for one in reader.staying_healthy("m")]
    assert len(set(first)) == 3  # the next one a day later
    assert reader.healthy_operations("m") == ["running"]
    monkeypatch.setattr(PieceWork, "HEALTHY_S", 0.0)
    node.run(*cut(as_16_bit(machine_sound(90, seed=1)), 1600))
    kept = [one.metadata["starts_at"] for one in reader.staying_healthy("m")]
    assert kept[:3] == first
    assert len(set(kept)) == 8
    newest = reader.healthy("m", "running")
    assert newest is not None
    assert newest.metadata["starts_at"] > max(kept)


def test_healthy_sound_by_an_earlier_bundle_is_replaced_one_by_one(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a repair, alerts would be compared with another machine, or with nothing."""
    monkeypatch.setattr(Recorder, "HEALTHY_AFTER_S", 10.0)
    monkeypatch.setattr(Recorder, "HEALTHY_EVERY_S", 5.0)
    folder = node.folder / "evidence"
    node.stack.close()
    keep_healthy(folder, "m", [machine_sound(10, seed=seed) for seed in range(8)], RATE_HZ)
    node.start()
    node.run(*cut(as_16_bit(machine_sound(40, seed=1)), 1600))
    staying = EvidenceFolder(folder).staying_healthy("m")
    bundles = [one.metadata["bundle_sha256"] for one in staying]
    assert len(bundles) == 8
    assert node.plan.judge is not None
    assert bundles.count(node.plan.judge.sha256) == 3


def test_scores_near_the_threshold_are_healthy_too(node: Node) -> None:
    """Most machines would have no healthy sound to compare an alert with."""
    node.run(*cut(as_16_bit(machine_sound(90, seed=1)), 1600))
    piece = EvidenceFolder(node.folder / "evidence").healthy("m", "running")
    assert piece is not None
    ratios = [score / threshold for _, score, threshold in piece.metadata["scores"]]
    assert 0.5 < sum(ratios) / len(ratios) <= 1.0


def test_many_alerts_at_once_do_not_fill_the_memory(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut of a hall would end the daemon."""
    monkeypatch.setattr(EvidenceKeeper, "MOST_BYTES", 100)
    raised, _ = node.run(*cut(fault_and_back(), 1600))
    assert {event.what for event in node.events} == {"lost"}
    assert "too many alerts" in node.pieces(raised)[0].metadata["lost"]


def test_a_disk_that_hangs_delays_no_alert_and_fills_no_memory(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network folder that does not answer would end the monitoring."""
    monkeypatch.setattr(EvidenceKeeper, "MOST_BYTES", 1_000_000)
    monkeypatch.setattr(EvidenceKeeper, "STOP_S", 0.1)
    monkeypatch.setattr(Recorder, "HEALTHY_AFTER_S", 1.0)
    monkeypatch.setattr(Recorder, "HEALTHY_EVERY_S", 1.0)
    answers = threading.Event()
    monkeypatch.setattr(store_module, "sync", lambda _path: answers.wait(60))
    for _ in range(3):
        machine = node.machine(*cut(fault_and_back(), 1600))
        machine.start()
        wait_for(lambda machine=machine: machine.ended)  # type: ignore[misc]  # bound now
    assert [alert.kind for alert in node.record.alerts] == ["raised", "cleared"] * 3
    held = [
        clip.rows.nbytes
        for job in list(node.evidence._keeper._waiting.queue)
        for clip in clips_in(job)
    ]
    assert 0 < sum(held) <= 2_000_000
    node.evidence.stop()
    answers.set()


def clips_in(job: object) -> list[Clip]:
    """The clips that a waiting job holds, itself or in what it encloses."""
    if isinstance(job, partial):
        return [one for one in job.args if isinstance(one, Clip)]
    cells = getattr(job, "__closure__", None) or ()
    return [clip for cell in cells for clip in clips_in(cell.cell_contents)]


def test_evidence_of_an_earlier_process_that_is_not_there_is_reported(node: Node) -> None:
    """An alert would name sound that never existed, and nobody would know why."""
    samples = fault_and_back()[: 31 * RATE_HZ]
    raised = node.run(*cut(samples, 1600))[0]
    for path in (node.folder / "evidence" / raised.alert_id).iterdir():
        path.unlink()
    node.events.clear()
    node.restart()
    node.evidence.flush()
    assert [event.what for event in node.events] == ["lost"]
    (piece,) = node.pieces(raised)
    assert "killed" in piece.metadata["lost"]


def test_labelled_alerts_are_deleted_last(node: Node) -> None:
    """The sound of a confirmed fault would be deleted first."""
    node.settings = EvidenceSettings(before_s=6.0, after_s=4.0, max_mb=10.0)
    node.evidence.apply(node.settings, "")
    first = node.run(*cut(fault_and_back(), 1600))[0]
    node.labelled.add(first.alert_id)
    again = cut(fault_and_back(), 64_000)
    for _ in range(16):
        node.run(*again)
    assert len(node.pieces(first)) == 2
    second = node.record.alerts[2]
    assert second.alert_id != first.alert_id
    assert node.pieces(second) == []
    assert node.evidence.status().evicted > 0
