"""Which moments of an alert are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evidence.alert_pieces import AlertPieces, DayLimit

AFTER_S = 15.0


def pieces(most: int = 3, per_day: int = 50) -> AlertPieces:
    return AlertPieces(most, AFTER_S, DayLimit(per_day))


def raised(one: AlertPieces, ratio: float = 2.0, at_s: float = 100.0) -> None:
    wanted = one.decided("raised", ratio, at_s, 0.0, goes_on=False)
    assert wanted is not None
    assert (wanted.moment, wanted.number) == ("raised", 0)
    one.alert_id = "a"


def scores(one: AlertPieces, ratio: float, begin_s: float, end_s: float) -> list[tuple[str, float]]:
    """What is kept while the score stays at a ratio, with the position; a score a second."""
    kept: list[tuple[str, float]] = []
    for at_s in range(int(begin_s), int(end_s)):
        wanted = one.scored(ratio, float(at_s), 0.0)
        if wanted is not None:
            kept.append((wanted.moment, float(at_s)))
    return kept


def test_the_beginning_and_the_end_of_an_alert_are_kept() -> None:
    """Nobody could hear what raised an alert, or that the machine is healthy again."""
    one = pieces()
    raised(one)
    end = one.decided("cleared", 0.5, 200.0, 0.0, goes_on=True)
    assert end is not None
    assert (end.moment, end.number) == ("cleared", 1)
    raised(one, at_s=300.0)


def test_a_fault_that_becomes_much_worse_is_kept_again() -> None:
    """The sound shows a scratching bearing, and the machine is about to break."""
    one = pieces()
    raised(one, ratio=2.0)
    assert scores(one, 2.5, 100, 116) == []
    assert scores(one, 4.9, 116, 200) == []  # the last piece shows 2.5
    assert scores(one, 5.0, 200, 300) == [("worse", 205.0)]
    assert one.count == 2


def test_what_the_last_piece_shows_is_not_much_worse() -> None:
    """Each alert would be kept twice: scores rise while the fault fills the span."""
    one = pieces()
    raised(one, ratio=1.1)
    assert scores(one, 20.0, 101, 116) == []
    assert scores(one, 30.0, 116, 200) == []


def test_a_short_noise_is_not_a_fault_that_becomes_worse() -> None:
    """A door would use up the pieces of an alert."""
    one = pieces()
    raised(one)
    for begin_s in range(120, 200, 10):
        assert scores(one, 50.0, begin_s, begin_s + 5) == []
        assert scores(one, 2.0, begin_s + 5, begin_s + 10) == []


def test_a_message_with_twice_the_score_is_kept() -> None:
    """A faint fault that grows over hours has no score over the short span."""
    one = pieces()
    raised(one, ratio=1.2)
    assert one.decided("updated", 2.3, 400.0, 0.0, goes_on=True) is None
    worse = one.decided("updated", 2.4, 700.0, 0.0, goes_on=True)
    assert worse is not None
    assert (worse.moment, worse.number) == ("worse", 1)


def test_the_end_of_an_alert_always_has_a_piece_left() -> None:
    """An alert that became worse many times would have no sound of its end."""
    one = pieces(most=3)
    raised(one)
    kept = [
        name for n in range(2, 9) for name, _ in scores(one, 2.0 * 4.0**n, 200 * n, 200 * n + 99)
    ]
    assert kept == ["worse"]
    end = one.decided("cleared", 0.5, 3000.0, 0.0, goes_on=True)
    assert end is not None
    assert end.number == 2


@pytest.mark.parametrize(("most", "kept"), [(1, ["raised"]), (2, ["raised", "cleared"])])
def test_fewer_pieces_of_an_alert(most: int, kept: list[str]) -> None:
    """The setting max_per_alert would not be a limit."""
    one = pieces(most=most)
    raised(one)
    found = ["raised", *(name for name, _ in scores(one, 50.0, 120, 200))]
    end = one.decided("cleared", 0.5, 200.0, 0.0, goes_on=True)
    assert [*found, *([end.moment] if end else [])] == kept


def test_an_alert_that_goes_on_after_a_stop_continues_its_numbers() -> None:
    """The sound of the second run would replace that of the first."""
    one = pieces(most=5)
    raised(one)
    one.decided("cleared", 1.5, 200.0, 0.0, goes_on=True)
    again = one.decided("raised", 2.0, 300.0, 0.0, goes_on=True)
    assert again is not None
    assert (again.moment, again.number) == ("raised", 2)


def test_an_alert_of_an_earlier_process_goes_on() -> None:
    """After a restart, each score would seem much worse, or the first piece would be replaced."""
    one = pieces(most=5)
    one.resume("a", count=1, ratio=10.0)
    assert scores(one, 19.0, 10, 100) == []
    assert scores(one, 20.0, 100, 200) == [("worse", 105.0)]
    end = one.decided("cleared", 0.5, 300.0, 0.0, goes_on=True)
    assert end is not None
    assert end.number == 2


def test_positions_of_a_new_stream_begin_at_zero() -> None:
    """After a source was started again, no score would be much worse for an hour."""
    one = pieces()
    raised(one, at_s=3600.0)
    one.begin_stream()
    assert scores(one, 50.0, 1, 60) == [("worse", 6.0)]


def test_no_more_pieces_in_a_day_than_allowed() -> None:
    """A loose contact would fill the disk within a day, and the day after it nothing is kept."""
    limit, day_s = DayLimit(3), 86_400.0
    limit.restore([100.0])
    assert [limit.take(now_s) for now_s in (200.0, 300.0, 400.0)] == [True, True, False]
    assert not limit.take(99.0 + day_s)
    assert limit.take(100.0 + day_s)
    assert not limit.take(199.0 + day_s)


@given(
    st.lists(
        st.tuples(st.sampled_from(["raised", "updated", "cleared"]), st.floats(0.0, 1e6)),
        max_size=60,
    ),
    st.integers(1, 4),
    st.integers(1, 10),
)
def test_limits_hold_for_any_alerts(
    messages: list[tuple[str, float]], most: int, per_day: int
) -> None:
    """A case that nobody thought of would exceed a limit, or give two pieces one name."""
    one = pieces(most, per_day)
    names: list[tuple[int, int]] = []
    alert, is_open = 0, False
    for at_s, (kind, ratio) in enumerate(messages):
        alert += not is_open
        wanted = one.decided(kind, ratio, 20.0 * at_s, 0.0, goes_on=is_open)  # type: ignore[arg-type]  # one of the three kinds
        one.alert_id = str(alert)
        is_open = kind != "cleared"
        later = one.scored(ratio, 20.0 * at_s + 19.0, 0.0)
        names += [(alert, found.number) for found in (wanted, later) if found is not None]
    assert len(set(names)) == len(names) <= per_day
    assert all(number < most for _, number in names)


def test_a_full_day_is_reported_once_and_again_on_another_day() -> None:
    """Alerts would have no evidence, and nobody would know why."""
    reports: list[str] = []
    limit = DayLimit(2, lambda: reports.append("full"))
    counts = []
    for now_s in (0.0, 10.0, 20.0, 30.0, 86_400.0, 86_405.0, 86_407.0, 86_410.0):
        limit.take(now_s)
        counts.append(len(reports))
    assert counts == [0, 0, 1, 1, 1, 2, 2, 2]
