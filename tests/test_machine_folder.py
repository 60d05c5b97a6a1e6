"""A machine with a folder, interrupted at the moment of an alert."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.alerts import Alert, AlertDraft
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.outbox.queue import Outbox
from monitor.service.machine import Machine
from monitor.sources.folder.source import FolderSource
from monitor.sources.settings import FolderSettings
from tests.bundles import machine_sound, make_bundle
from tests.scripted_machines import RATE_HZ, RecordingOutlet, plan
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(Path(tmp_path_factory.mktemp("bundle")))


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.sqlite3") as outbox:
        yield outbox


class InterruptedOutlet(RecordingOutlet):
    """An outlet that fails once, at an alert of ``kind``, before or after it is durable."""

    kind, is_durable, failures = "raised", False, 0

    def alert(self, draft: AlertDraft) -> Alert:
        fails = draft.kind == self.kind and not self.failures
        if fails and not self.is_durable:
            self.failures += 1
            raise RuntimeError("interrupted before the alert was durable")
        alert = super().alert(draft)
        if fails:
            self.failures += 1
            raise RuntimeError("interrupted after the alert was durable")
        return alert


@pytest.mark.parametrize("kind", ["raised", "cleared"])
@pytest.mark.parametrize("is_durable", [False, True], ids=["before", "after"])
def test_an_interruption_at_an_alert_loses_and_repeats_nothing(
    kind: str, is_durable: bool, tmp_path: Path, bundle: Bundle, outbox: Outbox
) -> None:
    """A short fault would not be raised at all, or raised again with another alert_id."""
    folder = tmp_path / "in"
    folder.mkdir()
    # The fault is shorter than twice the time that an alert needs.
    parts = [machine_sound(25), machine_sound(15, seed=1, fault=0.3), machine_sound(30, seed=2)]
    soundfile.write(folder / "1.wav", np.concatenate(parts), RATE_HZ)
    outlet = InterruptedOutlet(outbox)
    outlet.kind, outlet.is_durable = kind, is_durable
    source = FolderSource(FolderSettings(path=folder), tmp_path / "ledger.sqlite3")
    machine = Machine(plan(bundle, Network(bundle)), source, outlet)
    machine.start()
    wait_for(lambda: outlet.failures and outlet.state_sequence()[-1] in {"ok", "warming"}, 20)
    # The second recording shows that the first one was read to its end.
    healthy = np.concatenate([machine_sound(20, seed=3), machine_sound(15, seed=4, fault=0.3)])
    soundfile.write(tmp_path / "2.wav", healthy, RATE_HZ)
    (tmp_path / "2.wav").rename(folder / "2.wav")
    wait_for(lambda: len({alert.alert_id for alert in outlet.alerts}) == 2, 20)
    machine.ask_to_stop()
    assert machine.join(5.0)
    assert [alert.kind for alert in outlet.alerts] == ["raised", "cleared", "raised"]
