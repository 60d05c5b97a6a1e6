"""The space for healthy sound, with many machines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from monitor.evidence.folder import EvidenceFolder
from monitor.evidence.healthy_space import free_healthy_space
from monitor.evidence.names import HEALTHY, healthy_stem
from monitor.evidence.settings import EvidenceSettings
from monitor.evidence.store import EvidenceStore
from tests.clocks import FakeClock
from tests.kept_healthy import AT

PIECE_BYTES = 100_000
MOST_BYTES = 2_500_000


class Share:
    """The healthy sound of a folder, within a share of its space."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.store = EvidenceStore(folder, EvidenceSettings(max_mb=10.0), clock=self.clock)
        self.store.open()
        self.reader = EvidenceFolder(folder)

    def keep(self, machine: str, number: int = 0) -> bool:
        folder, stem = f"{HEALTHY}/{machine}", healthy_stem("running", number)
        self.clock.now_s += 60.0
        if not free_healthy_space(self.store, folder, stem, PIECE_BYTES, MOST_BYTES):
            return False
        about = {"machine": machine, "moment": HEALTHY, "at": AT, "starts_at": AT}
        self.store.add(folder, stem, {"flac": bytes(PIECE_BYTES)}, about)
        return True

    def counts(self, machines: list[str]) -> list[int]:
        return [len(self.reader.staying_healthy(name)) for name in machines]


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path / "evidence")


def test_every_machine_has_healthy_sound_also_the_last_one(share: Share) -> None:
    """The first machines would fill the share, and alerts of the others have no comparison."""
    machines = [f"m{number}" for number in range(7)]
    for name in machines:
        for number in range(9):
            share.keep(name, number)
    assert all(share.reader.healthy(name, "running") for name in machines)
    counts = share.counts(machines)
    assert max(counts) - min(counts) <= 1
    assert min(counts) >= 1
    n_pieces = sum(counts) + len(machines)
    assert MOST_BYTES - 3 * PIECE_BYTES < n_pieces * PIECE_BYTES <= MOST_BYTES


def test_a_full_share_does_not_keep_the_newest_sound_from_being_replaced(share: Share) -> None:
    """The comparison would be with sound of a year ago, because the old piece counts too."""
    machines = [f"m{number}" for number in range(25)]
    kept = Counter(name for name in machines if share.keep(name))
    assert len(kept) > 20
    before = share.store.kept_s(f"{HEALTHY}/m3", healthy_stem("running"))
    assert share.keep("m3")
    after = share.store.kept_s(f"{HEALTHY}/m3", healthy_stem("running"))
    assert before is not None
    assert after is not None
    assert after > before
    assert not share.keep("m3", 1)  # it takes nothing from machines that have as little
