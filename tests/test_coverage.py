"""How much of the time a machine was monitored."""

from __future__ import annotations

from monitor.service.coverage import Coverage


def test_every_second_is_counted_in_exactly_one_account() -> None:
    """An operator could not see how much of a night was monitored."""
    coverage = Coverage()
    coverage.received(60.0, scored=True)
    coverage.received(5.0, scored=False)
    coverage.absent(100.0)
    coverage.absent(101.0)
    assert coverage.seconds(107.0) == {"monitored_s": 60.0, "degraded_s": 5.0, "lost_s": 7.0}
    coverage.present(110.0, missing_s=0.0)
    coverage.present(200.0, missing_s=0.25)
    assert coverage.seconds(300.0) == {"monitored_s": 60.0, "degraded_s": 5.0, "lost_s": 10.25}


def test_an_outage_that_the_source_counted_itself_is_not_counted_twice() -> None:
    """The lost seconds of a replugged microphone would double."""
    coverage = Coverage()
    coverage.absent(10.0)
    coverage.present(20.0, missing_s=9.5)
    assert coverage.seconds(20.0)["lost_s"] == 10.0
