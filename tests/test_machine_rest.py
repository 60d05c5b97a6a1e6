"""A machine that rests: what it loses is counted, and no score is made of sound with a gap."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from monitor.domain import AudioBlock
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.pipeline import Pipeline
from monitor.service.machine import Machine
from monitor.service.turns import Turn
from monitor.sources.protocol import SourceItem
from monitor.sources.settings import FileSettings, FolderSettings, SourceSettings
from tests.bundles import machine_sound
from tests.scripted_machines import RATE_HZ, RecordingOutlet, ScriptedSource, cut, plan
from tests.waiting import wait_for


class Given(ScriptedSource):
    """A source that gives what is put into its queue."""

    def __init__(self) -> None:
        self.items: queue.Queue[AudioBlock | None] = queue.Queue()
        super().__init__(self._play)

    def _play(self, stop: threading.Event) -> Iterator[SourceItem]:
        while not stop.is_set() and (item := self.items.get()) is not None:
            yield item

    def put(self, blocks: list[AudioBlock]) -> None:
        for block in blocks:
            self.items.put(block)


def test_a_rest_loses_one_piece_of_sound_and_is_reported(
    bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """Sound would be lost in silence, or a score would span the gap."""
    blocks = cut(machine_sound(30), RATE_HZ // 2)
    source = Given()
    machine = Machine(plan(bundle, network), source, record)
    machine.start()
    source.put(blocks[:20])
    wait_for(lambda: machine.coverage()["monitored_s"] == 10.0)
    assert machine.may_rest
    machine.take_turn(Turn.REST)
    source.put(blocks[20:40])
    wait_for(source.items.empty)
    wait_for(lambda: record.last_state()["warnings"] == ["overload"])
    assert record.last_state()["state"] == "ok"
    machine.take_turn(Turn.ON)
    source.put(blocks[40:41])
    wait_for(lambda: not machine._intake.is_losing)
    source.put(blocks[41:])
    wait_for(lambda: machine.taken_s >= 19.0)
    assert record.last_state()["warnings"] == ["overload"]
    machine.take_turn(Turn.UNLIMITED)
    source.put([replace(block, first_sample=block.first_sample + 30 * RATE_HZ) for block in blocks])
    source.items.put(None)
    wait_for(lambda: machine.ended)

    coverage = machine.coverage()
    assert coverage["lost_s"] == pytest.approx(60.0 - coverage["monitored_s"], abs=1.0)
    assert 9.0 <= coverage["lost_s"] <= 12.0
    assert record.state_sequence() == ["warming", "ok", "unavailable"]
    assert [one["warnings"] for _, one in record.states][-1] == []
    first = first_block_after_rest(coverage["monitored_s"])
    gap = replace(blocks[first], discontinuous=True)
    reference = Pipeline(bundle, network=network)
    expected = [
        score.value
        for block in [*blocks[:20], gap, *blocks[first + 1 :]]
        for score in reference.push(block).scores
    ]
    assert [one["score"] for _, one in record.scores][: len(expected)] == expected


def first_block_after_rest(monitored_s: float) -> int:
    """The block at which it went on."""
    return round(2 * (60.0 - monitored_s)) + 20


@pytest.mark.parametrize(
    "source", [FolderSettings(path="."), FileSettings(path="a.wav", realtime=False)]
)
def test_recordings_that_wait_do_not_rest(
    source: SourceSettings, bundle: Bundle, network: Network, record: RecordingOutlet
) -> None:
    """Recordings would be skipped that could be processed later."""
    usual = plan(bundle, network)
    archive = replace(usual, settings=usual.settings.model_copy(update={"source": source}))
    given = Given()
    machine = Machine(archive, given, record)
    machine.start()
    given.put(cut(machine_sound(2), 1600))
    wait_for(lambda: machine.taken_s == 2.0)
    assert not machine.may_rest
    given.items.put(None)
    wait_for(lambda: machine.ended)
