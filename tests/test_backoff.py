"""Pauses between attempts."""

from __future__ import annotations

from monitor.backoff import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    """A broken camera or broker is tried again too often, or only after an hour."""
    backoff = Backoff(0.5, 8.0)
    planned_s = [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    pauses_s = [backoff.next_s() for _ in planned_s]
    for pause_s, longest_s in zip(pauses_s, planned_s, strict=True):
        assert 0.75 * longest_s <= pause_s <= longest_s
    backoff.reset()
    assert backoff.next_s() <= 0.5


def test_pauses_differ() -> None:
    """A hundred machines that failed together try again together."""
    assert len({Backoff(8.0, 8.0).next_s() for _ in range(20)}) == 20


def test_the_longest_pause_can_be_taken_at_once() -> None:
    """A refused password is tried so often that the account is locked."""
    backoff = Backoff(0.5, 8.0)
    assert backoff.next_s(longest=True) >= 6.0
    assert backoff.next_s() <= 1.0
