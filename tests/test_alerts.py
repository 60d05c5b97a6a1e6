"""Alerts: identity and JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from monitor.alerts import AlertKind, alert_from_json, alert_to_dict
from monitor.errors import BadInputError
from monitor.evidence.names import evidence_id
from monitor.outbox.series import AlertSeries
from monitor.uuid7 import Uuid7Generator
from tests.alert_drafts import draft, identified

FINDING = {"kind": "impacts", "rate_hz": 106.7, "text": "106.7 impacts per second", "fits": []}


def test_an_open_alert_is_continued() -> None:
    """After a restart, the same fault is a second alert, and the first one is never cleared."""
    series = AlertSeries(7)
    raised = series.identify(draft("raised", score=50.0))
    again = series.identify(replace(draft("raised", score=20.0), started_at="later"))
    cleared = series.identify(draft("cleared", score=1.0))
    assert [one.kind for one in (raised, again, cleared)] == ["raised", "updated", "cleared"]
    assert [one.sequence for one in (raised, again, cleared)] == [8, 9, 10]
    assert {one.alert_id for one in (raised, again, cleared)} == {raised.alert_id}
    assert {one.started_at for one in (raised, again, cleared)} == {raised.started_at}
    assert (again.peak_score, cleared.peak_score, cleared.score) == (50.0, 50.0, 1.0)
    assert len({one.event_id for one in (raised, again, cleared)}) == 3
    assert series.open is None


def test_an_alert_for_being_off_does_not_end_a_fault_that_a_stop_ended() -> None:
    """The same fault after a long stop is another alert, because the stop was reported too."""
    series = AlertSeries(0)
    first = series.identify(draft("raised"))
    series.identify(replace(draft("cleared"), reason="stopped"))
    for kind in ("raised", "cleared"):
        off = series.identify(replace(draft(kind), reason="off"))
        assert off.alert_id != first.alert_id
    again = series.identify(replace(draft("raised"), continues=True))
    assert again.alert_id == first.alert_id


def test_an_update_without_an_open_alert_raises_one() -> None:
    """After the loss of the outbox, an update is sent for an alert that was never raised."""
    series = AlertSeries(0)
    assert series.identify(draft("updated")).kind == "raised"
    assert series.open is not None


@pytest.mark.parametrize("kind", ["raised", "updated", "cleared"])
def test_an_alert_is_the_same_after_its_json(kind: AlertKind) -> None:
    """The alert that is published is not the one that was raised."""
    alert = identified(kind)
    assert alert_from_json(json.dumps(alert_to_dict(alert))) == alert


@pytest.mark.parametrize("web_url", ["", "https://node.example/auscult"])
def test_the_evidence_of_an_alert_is_the_same_after_its_json(web_url: str) -> None:
    """An alert that waits for the broker loses where its sound is."""
    alert = AlertSeries(0).identify(replace(draft(), evidence_number=0, web_url=web_url))
    assert alert.evidence is not None
    assert alert.evidence.id == evidence_id(alert.alert_id, 0)
    assert alert.evidence.url == (f"{web_url}/alert/{alert.alert_id}" if web_url else "")
    read = alert_from_json(json.dumps(alert_to_dict(alert)))
    assert read == replace(alert, evidence_number=None, web_url="")


def test_every_message_names_the_newest_evidence() -> None:
    """The message that an alert is over has no sound to show, or that of another alert."""
    series = AlertSeries(0)
    numbers: list[tuple[AlertKind, int | None]] = [
        ("raised", 0),
        ("updated", None),
        ("updated", 1),
        ("cleared", None),
    ]
    alerts = [series.identify(replace(draft(kind), evidence_number=n)) for kind, n in numbers]
    evidence = [one.evidence.id[-2:] if one.evidence else None for one in alerts]
    assert evidence == ["-0", "-0", "-1", "-1"]
    assert series.identify(draft("raised")).evidence is None


def test_every_later_message_of_an_alert_has_its_findings() -> None:
    """A person who reads that an alert is over does not read what was wrong."""
    series = AlertSeries(0)
    raised = series.identify(draft())
    found = series.identify(raised.diagnosed("2026-11-23T10:15:50.000Z", [FINDING]))
    restarted = AlertSeries(2, alert_from_json(json.dumps(alert_to_dict(found))))
    later = [restarted.identify(draft(kind)) for kind in ("updated", "cleared")]
    assert [one.findings for one in (raised, found, *later)] == [(), *[(FINDING,)] * 3]
    assert found.kind == "updated"
    assert found.at == "2026-11-23T10:15:50.000Z"
    assert (found.alert_id, found.sequence) == (raised.alert_id, 2)
    assert restarted.identify(draft()).findings == ()
    assert "findings" not in alert_to_dict(raised)  # as in rows of earlier versions


@pytest.mark.parametrize("by_clock", [True, False])
def test_findings_are_not_dated_before_their_alert(by_clock: bool) -> None:
    """A list of messages by time has the finding before the alert, or years after a recording."""
    raised = replace(identified(), dated_by_clock=by_clock)
    assert raised.diagnosed("2020-01-01T00:00:00.000Z", [FINDING]).at == raised.at
    later = raised.diagnosed("2030-01-01T00:00:00.000Z", [FINDING]).at
    assert later == ("2030-01-01T00:00:00.000Z" if by_clock else raised.at)


def test_an_alert_that_is_ended_by_a_later_process_names_its_evidence() -> None:
    """A machine that is removed during an alert leaves a message without its sound."""
    series = AlertSeries(0)
    raised = series.identify(replace(draft(), evidence_number=0, position_s=3.0))
    restarted = AlertSeries(1, alert_from_json(json.dumps(alert_to_dict(raised))))
    cleared = restarted.identify(raised.cleared("2026-11-23T10:16:00.000Z"))
    assert cleared.evidence == raised.evidence
    assert cleared.position_s is None


def test_the_reason_of_an_alert_is_the_same_after_its_json() -> None:
    """An alert that waits for the broker loses why it was cleared."""
    alert = replace(identified("cleared"), reason="stopped")
    assert alert_from_json(json.dumps(alert_to_dict(alert))) == alert
    assert "reason" not in alert_to_dict(identified())  # as in rows of earlier versions


def test_the_span_of_an_alert_is_the_same_after_its_json() -> None:
    """After a restart, an alert of long spans is cleared by the first healthy seconds."""
    alert = replace(identified(), span_s=899.072)
    stored = json.dumps(alert_to_dict(alert))
    assert alert_from_json(stored) == alert
    assert alert_from_json(stored).cleared("later").span_s == 899.072


def test_an_alert_without_a_span_is_read_and_published_without_one() -> None:
    """After an upgrade, waiting alerts are lost, or a span of 0 s is published."""
    stored = alert_to_dict(identified())
    assert "span_s" not in stored
    assert alert_from_json(json.dumps(stored)).span_s == 0.0


def test_a_cleared_alert_of_an_earlier_version_is_read() -> None:
    """After an upgrade, waiting alerts are lost because of a key that is no longer written."""
    alert = identified("cleared")
    stored = alert_to_dict(alert) | {"bands_hz": [[1800, 2100]]}
    assert alert_from_json(json.dumps(stored)) == alert


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "?"},
        {"score": float("nan")},
        {"loss": "1.0"},
        {"sequence": True},
        {"bands_hz": [[1]]},
        {"replayed": 0},
        {"unknown": 1},
    ],
)
def test_json_that_is_not_an_alert_is_refused(wrong: dict[str, object]) -> None:
    """A damaged row of the outbox is published as an alert."""
    text = json.dumps(alert_to_dict(identified()) | wrong)
    with pytest.raises(BadInputError, match=f"not an alert: {next(iter(wrong))} "):
        alert_from_json(text)


@pytest.mark.parametrize("text", ["", "[]", "{}", "no JSON"])
def test_text_that_is_not_an_alert_is_refused(text: str) -> None:
    """A damaged row of the outbox stops the daemon."""
    with pytest.raises(BadInputError, match="not an alert"):
        alert_from_json(text)


def test_uuid7_sorts_by_time_and_is_well_formed() -> None:
    """Events that are sorted by their id are in a wrong order."""
    times_ms = iter([1_000, 1_000, 999, 1_001, 1_001])
    make = Uuid7Generator(lambda: next(times_ms))
    ids = [make() for _ in range(5)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert [one.int >> 80 for one in ids] == [1_000, 1_000, 1_000, 1_001, 1_001]
