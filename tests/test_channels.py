"""Several channels of one machine: other evidence and longer spans, and one alert at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detection.alert_draft import alert_draft
from monitor.detection.channel import channels_of
from monitor.detection.detector import persistence_of
from monitor.detection.score_watch import ScoreWatch
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.detection.thresholds import thresholds_of
from monitor.domain import Decision, Score, SourceStatus
from monitor.model.bundle import Bundle
from monitor.model.channel_calibration import ChannelBudget, ChannelCalibration, EvidenceKind
from tests.bundles import SPEC

RATE_HZ = SPEC.sample_rate_hz
HOP = SPEC.window_hop_samples
SPAN, ENVELOPE, MEDIUM, LONG, UNTOLD = 0, 1, 2, 3, 4
MEDIUM_S, LONG_S = 15.36, 122.88
STEP_HOPS = {SPAN: 1, ENVELOPE: 1, MEDIUM: 2, LONG: 16}
HEALTHY, BETWEEN, FAULT = 0.2, 0.97, 2.0
BANDS = np.zeros(SPEC.n_mels, np.float32)
SETTINGS = DetectorSettings()
Ratios = dict[int, float]
"""Scores over the threshold of an alert, by channel."""


def channel(
    evidence: EvidenceKind, span_s: float, hops: int, alarm: float, *budgets: float
) -> ChannelCalibration:
    """A channel whose warning begins at 0.75 of its alarm."""
    return ChannelCalibration(
        evidence=evidence,
        span_s=span_s,
        step_s=hops * SPEC.window_hop_s,
        score_median=0.1 * alarm,
        budgets=tuple(
            ChannelBudget(
                false_alarms_per_week=budget, threshold=alarm if budget == 1.0 else 0.75 * alarm
            )
            for budget in budgets or (1.0, 7.0)
        ),
    )


@pytest.fixture(scope="module")
def many(bundle: Bundle) -> Bundle:
    """The bundle with four channels; the last one has no threshold for one alert a week."""
    channels = (
        channel("envelope", bundle.actual_span_s, 1, 7.0),
        channel("distance", MEDIUM_S, STEP_HOPS[MEDIUM], 0.3),
        channel("distance", LONG_S, STEP_HOPS[LONG], 1234.5),
        channel("lines", LONG_S, STEP_HOPS[LONG], 5.0, 100.0, 1000.0),
    )
    calibration = bundle.calibration.model_copy(update={"channels": channels})
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"calibration": calibration}))


class Played:
    """Plays scores of all channels to the watch of a bundle."""

    def __init__(
        self,
        bundle: Bundle,
        settings: DetectorSettings = SETTINGS,
        operation: OperationSettings | None = None,
    ) -> None:
        self.watch = ScoreWatch(bundle, settings, operation or OperationSettings())
        self.decisions: list[Decision] = []
        self.hops = 320  # no span begins before the stream
        thresholds = self.watch.thresholds
        others = [one.alarm or 1.0 for one in thresholds.channels]
        self._alarms = [thresholds.alarm, *others]
        calibration = bundle.calibration
        self._spans_s = [bundle.actual_span_s, *(one.span_s for one in calibration.channels)]

    @property
    def at_sample(self) -> int:
        """Where the newest score ends."""
        return self.hops * HOP

    @property
    def kinds(self) -> list[str]:
        """The kinds of the decisions so far."""
        return [one.kind for one in self.decisions]

    def play(self, seconds: float, ratios: Ratios, *, begins: int | None = None) -> Played:
        """Sound with these scores; other channels are healthy. ``begins``: where spans begin."""
        for _ in range(round(seconds / SPEC.window_hop_s)):
            self.hops += 1
            for number in range(len(self._alarms)):
                if self.hops % STEP_HOPS.get(number, STEP_HOPS[LONG]) == 0:
                    self.push(number, ratios.get(number, HEALTHY), begins)
        return self

    def push(self, number: int, ratio: float, begins: int | None = None) -> None:
        """The next score of a channel."""
        end = self.at_sample
        first = end - round(self._spans_s[number] * RATE_HZ) if begins is None else begins
        value = ratio * self._alarms[number]
        self.keep(self.watch.push(Score(value, 1.0, first, end, BANDS, 0.0, number)))

    def stop(self) -> Played:
        """The machine is switched off."""
        self.watch.gap()
        self.keep(self.watch.machine_stopped(self.at_sample))
        return self

    def start(self) -> Played:
        """The machine runs again."""
        self.watch.gap()
        self.watch.machine_started(self.at_sample)
        return self

    def gap(self) -> Played:
        """Sound is lost."""
        self.watch.gap()
        return self

    def keep(self, decision: Decision | None) -> None:
        """Note a decision."""
        if decision is not None:
            self.decisions.append(decision)


def check_order(decisions: Sequence[Decision], alarm: float) -> None:
    """One alert at a time, each with an end of its own channel, in units of the bundle."""
    opened: Decision | None = None
    for one in decisions:
        assert one.threshold == alarm
        assert (opened is None) == (one.kind == "raised")
        if opened is None:
            assert one.score >= one.threshold
            opened = one
        assert one.span_s <= opened.span_s
        assert one.started_sample == opened.started_sample
        assert one.peak_score >= one.score
        assert one.peak_score >= opened.peak_score
        if one.kind == "cleared":
            opened = None
    times = [one.at_sample for one in decisions]
    assert times == sorted(times)


ratios = st.sampled_from([0.0, 0.5, 0.95, 1.0, 1.01, 3.0])
stretches = st.lists(
    st.tuples(
        st.sampled_from(["", "", "gap", "stop", "start"]),
        st.sampled_from([0.5, 5.0, 12.0, 40.0]),
        st.dictionaries(st.integers(0, 4), ratios),
    ),
    max_size=8,
)


@given(stretches=stretches)
def test_each_alert_ends_before_the_next_one_and_keeps_its_channel(
    many: Bundle, stretches: list[tuple[str, float, Ratios]]
) -> None:
    """Two alerts of a machine are open at once, or a longer span takes over the alert."""
    played = Played(many)
    for event, seconds, values in stretches:
        if event:
            getattr(played, event)()
        played.play(seconds, values)
        assert played.watch.raised == (played.kinds[-1:] not in ([], ["cleared"]))
    check_order(played.decisions, played.watch.thresholds.alarm)


@given(stretches=stretches)
def test_channels_that_stay_healthy_change_no_decision(
    bundle: Bundle, many: Bundle, stretches: list[tuple[str, float, Ratios]]
) -> None:
    """A bundle with channels raises other alerts for the same faults than one without."""
    alone, among = Played(bundle), Played(many)
    thresholds = alone.watch.thresholds
    rule_of = channels_of(bundle, SETTINGS, thresholds, same_fault_s=600.0)
    detector = rule_of[0].detector
    expected: list[Decision | None] = []
    for event, seconds, values in stretches:
        ratio = values.get(SPAN, HEALTHY)
        begin = alone.at_sample
        for played in (alone, among):
            if event:
                getattr(played, event)()
            played.play(seconds, {SPAN: ratio, UNTOLD: 99.0})
        if event:
            detector.gap()
        if event == "stop":
            expected.append(detector.machine_stopped(begin))
        elif event == "start":
            detector.machine_started(begin, 120 * RATE_HZ)
        for end in range(begin + HOP, alone.at_sample + 1, HOP):
            score = Score(ratio * thresholds.alarm, 1.0, end - 4 * HOP, end, BANDS)
            expected.append(detector.push(score))
            if detector.is_healthy:
                detector.trust()
        if not alone.watch.raised and alone.watch.undecided_since is not None:
            assert among.watch.undecided_since == alone.watch.undecided_since
    assert [_values(one) for one in among.decisions] == [_values(one) for one in alone.decisions]
    assert [_values(one) for one in alone.decisions] == [_values(one) for one in expected if one]


def _values(one: Decision) -> tuple[object, ...]:
    return (
        *(one.kind, one.at_sample, one.started_sample, one.score, one.peak_score),
        *(one.threshold, one.reason, one.continues),
    )


@pytest.mark.parametrize("number", [MEDIUM, LONG])
def test_one_score_over_a_long_span_raises_and_only_its_channel_clears(
    many: Bundle, number: int
) -> None:
    """A faint fault raises no alert, or it is cleared because two seconds are healthy."""
    played = Played(many).play(60, {})
    played.play(STEP_HOPS[number] * SPEC.window_hop_s, {number: FAULT})
    (raised,) = played.decisions
    assert raised.span_s == many.calibration.channels[number - 1].span_s
    assert raised.score == pytest.approx(FAULT * played.watch.thresholds.alarm)
    assert played.watch.state is not None
    assert played.watch.state.status is SourceStatus.ANOMALY
    played.play(250, {number: BETWEEN})
    assert played.kinds == ["raised"]
    played.play(250, {})
    assert played.kinds == ["raised", "cleared"]


def test_other_evidence_over_the_same_span_must_last_like_the_score(many: Bundle) -> None:
    """A short sound raises an alert by its envelope, or a gap joins two short sounds."""
    rule = persistence_of(many, SETTINGS)
    short_s = (rule.required - 1) * SPEC.window_hop_s
    played = Played(many).play(20, {}).play(short_s, {ENVELOPE: FAULT}).play(20, {})
    played.play(short_s, {ENVELOPE: FAULT}).gap().play(short_s, {ENVELOPE: FAULT})
    assert played.decisions == []
    played.play(SPEC.window_hop_s, {ENVELOPE: FAULT})
    assert played.kinds == ["raised"]


def test_a_gap_does_not_end_a_long_span(many: Bundle) -> None:
    """Each lost block keeps an alert of a long span open for longer."""
    played = Played(many, SETTINGS.model_copy(update={"clear_after_s": 4 * 1.024}))
    played.play(20, {}).play(2, {MEDIUM: FAULT})
    for _ in range(6):
        played.play(1.024, {}).gap()
    assert played.kinds == ["raised", "cleared"]


def test_sound_of_an_ended_alert_raises_no_other_one(many: Bundle) -> None:
    """A strong fault that is over raises a second alert by the long spans that contain it."""
    played = Played(many).play(20, {}).play(10, {SPAN: FAULT})
    played.play(10, {SPAN: FAULT, MEDIUM: FAULT}).play(30, {})
    assert played.kinds == ["raised", "cleared"]
    cleared = played.decisions[1].at_sample
    played.play(20, {MEDIUM: FAULT, LONG: FAULT}, begins=cleared - 1)
    assert played.kinds == ["raised", "cleared"]
    played.play(5, {MEDIUM: FAULT}, begins=cleared)
    assert played.kinds == ["raised", "cleared", "raised"]


def test_scores_of_others_during_an_alert_count_for_nothing(many: Bundle) -> None:
    """The end of an alert is at once the start of the next one."""
    played = Played(many, SETTINGS.model_copy(update={"quiet_s": 0.0})).play(20, {})
    played.play(20, {SPAN: FAULT})
    while played.kinds == ["raised"]:
        played.play(SPEC.window_hop_s, {ENVELOPE: FAULT})
    rule = persistence_of(many, SETTINGS)
    # The first score of the envelope ends with the one that cleared the alert.
    played.play((rule.required - 2) * SPEC.window_hop_s, {ENVELOPE: FAULT})
    assert played.kinds == ["raised", "cleared"]
    played.play(SPEC.window_hop_s, {ENVELOPE: FAULT})
    assert played.kinds == ["raised", "cleared", "raised"]


def test_the_alert_of_a_faint_fault_lasts_while_a_strong_one_does(many: Bundle) -> None:
    """Loud noise hides the tone that raised the alert: it is cleared while the noise lasts."""
    played = Played(many).play(20, {}).play(60, {MEDIUM: FAULT})
    assert played.kinds == ["raised"]
    raised = played.decisions[0]
    played.play(20, {MEDIUM: FAULT, SPAN: 2 * FAULT}).play(60, {SPAN: 2 * FAULT})
    assert set(played.kinds) == {"raised", "updated"}
    update = played.decisions[1]
    assert update.started_sample == raised.started_sample
    assert update.span_s < raised.span_s
    assert update.peak_score > raised.peak_score
    played.play(60, {})
    assert played.kinds[-1] == "cleared"
    assert played.kinds.count("raised") == played.kinds.count("cleared") == 1


def test_the_quiet_time_is_that_of_the_machine(many: Bundle) -> None:
    """A fault that two channels see by turns gives alerts without a pause."""
    played = Played(many, SETTINGS.model_copy(update={"quiet_s": 60.0})).play(20, {})
    played.play(10, {SPAN: FAULT}).play(10, {})
    cleared = played.decisions[-1].at_sample
    played.play(100, {MEDIUM: FAULT})
    assert played.kinds == ["raised", "cleared", "raised"]
    assert 60 <= (played.decisions[-1].at_sample - cleared) / RATE_HZ < 64


@pytest.mark.parametrize(("first", "second"), [(SPAN, MEDIUM), (MEDIUM, SPAN), (MEDIUM, MEDIUM)])
def test_a_fault_continues_after_a_stop_whichever_channel_detects_it(
    many: Bundle, first: int, second: int
) -> None:
    """The same fault is a new alert after each stop."""
    played = Played(many).play(20, {}).play(10, {first: FAULT}).stop()
    assert played.decisions[-1].reason == "stopped"
    assert played.decisions[-1].span_s == played.decisions[0].span_s
    played.start().play(40, {second: FAULT})
    assert played.kinds == ["raised", "cleared", "raised"]
    assert played.decisions[-1].continues
    again = Played(many).play(20, {}).play(10, {first: FAULT}).stop().start()
    again.play(640, {}).play(10, {second: FAULT})
    assert not again.decisions[-1].continues


@pytest.mark.parametrize(("number", "continues"), [(SPAN, False), (MEDIUM, False), (LONG, True)])
def test_the_time_for_the_same_fault_does_not_count_the_span_of_its_score(
    many: Bundle, number: int, continues: bool
) -> None:
    """A faint fault that was never away is a new alert after each stop."""
    played = Played(many).play(20, {}).play(10, {SPAN: FAULT}).stop().start()
    played.play(650, {}).play(10, {number: FAULT})
    assert played.kinds == ["raised", "cleared", "raised"]
    assert played.decisions[-1].continues is continues


def test_the_sound_before_a_stop_raises_no_alert_after_a_repair(many: Bundle) -> None:
    """A machine that was repaired raises an alert, because a long span contains the fault."""
    played = Played(many).play(20, {}).play(10, {MEDIUM: FAULT}).stop().start()
    played.play(20, {MEDIUM: FAULT}, begins=played.at_sample - 1)
    assert played.kinds == ["raised", "cleared"]


@pytest.mark.parametrize("number", [SPAN, ENVELOPE, MEDIUM])
def test_sound_of_a_start_raises_no_alert_before_its_time(many: Bundle, number: int) -> None:
    """Each start raises an alert by a channel that the caution after a start leaves out."""
    played = Played(many).play(60, {}).stop().start()
    began = played.at_sample
    for _ in range(5):  # of a long span: mostly sound from before the start
        played.push(number, HEALTHY)
    played.play(150, {number: FAULT})
    assert played.kinds == ["raised"]
    assert 120 <= (played.decisions[0].at_sample - began) / RATE_HZ < 130


@pytest.mark.parametrize("unlike", [SPAN, ENVELOPE])
def test_a_start_is_healthy_by_all_evidence_or_not_at_all(many: Bundle, unlike: int) -> None:
    """Noise beside a machine that is off raises an alert, because some evidence is as usual."""
    other = {SPAN: ENVELOPE, ENVELOPE: SPAN}[unlike]
    noise = Played(many).play(60, {}).stop().start()
    noise.play(20, {unlike: FAULT}).play(80, {unlike: FAULT, other: FAULT, MEDIUM: FAULT})
    assert not noise.decisions
    fault = noise.play(30, {unlike: FAULT})
    assert fault.kinds == ["raised"]
    healthy = Played(many).play(60, {}).stop().start().play(10, {}).play(20, {unlike: FAULT})
    assert healthy.kinds == ["raised"]


@pytest.mark.parametrize(
    ("span_s", "owner"),
    [(0.0, SPAN), (2.0, SPAN), (4.1, SPAN), (15.0, MEDIUM), (120.0, LONG), (900.0, LONG)],
)
def test_an_alert_from_before_a_restart_is_cleared_by_its_own_channel(
    many: Bundle, span_s: float, owner: int
) -> None:
    """After a restart, a faint fault is cleared by seconds of sound that seem healthy."""
    played = Played(many)
    played.watch.resume(50.0, span_s, 0)
    assert played.watch.raised
    spans = {SPAN: 0, ENVELOPE: 0, MEDIUM: 1, LONG: 2}
    others = {number: FAULT for number, rank in spans.items() if rank > spans[owner]}
    played.play(8.5, {owner: BETWEEN})
    assert played.kinds == []
    played.play(9, others)
    assert played.kinds[:1] == ["cleared"]
    assert played.decisions[0].peak_score == pytest.approx(50.0)


@pytest.mark.parametrize("lasting", [SPAN, ENVELOPE])
def test_an_alert_from_before_a_restart_lasts_while_evidence_of_its_span_does(
    many: Bundle, lasting: int
) -> None:
    """A restart clears the alert of a fault that is still there, and raises it again."""
    played = Played(many)
    played.watch.resume(50.0, many.actual_span_s, 0)
    played.play(400, {lasting: FAULT})
    assert played.watch.raised
    assert played.kinds == ["updated"]
    played.play(20, {})
    assert played.kinds == ["updated", "cleared"]
    assert not played.watch.raised


@pytest.mark.parametrize(("number", "steps"), [(SPAN, 20), (LONG, 2)])
def test_an_alert_from_before_a_restart_ends_without_scores_of_other_evidence(
    many: Bundle, number: int, steps: int
) -> None:
    """Log-mel has no spectra: an alert that waits for their scores never ends."""
    played = Played(with_peaks_over_long_span(many))
    played.watch.resume(50.0, LONG_S if number == LONG else many.actual_span_s, 0)
    for _ in range(steps):
        played.hops += STEP_HOPS[number]
        played.push(number, HEALTHY)
    assert played.kinds == ["cleared"]


def with_peaks_over_long_span(many: Bundle) -> Bundle:
    """The bundle whose last channel has a threshold too: peaks beside the distance."""
    channels = many.calibration.channels
    last = channels[UNTOLD - 1].model_copy(update={"budgets": channels[0].budgets})
    calibration = many.calibration.model_copy(update={"channels": (*channels[:-1], last)})
    return replace(many, manifest=many.manifest.model_copy(update={"calibration": calibration}))


@pytest.mark.parametrize("lasting", [LONG, UNTOLD])
def test_an_alert_over_minutes_lasts_after_a_restart_by_whichever_evidence(
    many: Bundle, lasting: int
) -> None:
    """One score over a long span clears it, and the other evidence has its first one after it."""
    played = Played(with_peaks_over_long_span(many))
    played.watch.resume(50.0, LONG_S, 0)
    played.play(250, {lasting: FAULT})
    assert played.watch.raised
    assert "cleared" not in played.kinds
    played.play(40, {})
    assert played.kinds[-1] == "cleared"
    assert not played.watch.raised


@pytest.mark.parametrize("is_known_before", [False, True])
def test_an_alert_of_spectra_ends_after_a_restart_with_log_mel(
    many: Bundle, is_known_before: bool
) -> None:
    """It would be open for ever: log-mel gives no scores of spectra."""
    calibration = many.calibration
    lines = channel("lines", LONG_S, STEP_HOPS[LONG], 5.0)
    alone = calibration.model_copy(update={"channels": (*calibration.channels[:2], lines)})
    manifest = many.manifest.model_copy(update={"calibration": alone})
    played = Played(replace(many, manifest=manifest))
    if is_known_before:
        played.watch.without_spectra()
    played.watch.resume(50.0, LONG_S, 0)
    played.watch.without_spectra()
    assert played.watch.raised
    for _ in range(30):
        played.hops += 2
        for number in (SPAN, MEDIUM):
            played.push(number, HEALTHY)
    assert played.kinds == ["cleared"]
    assert not played.watch.raised


def test_a_stop_ends_an_alert_from_before_a_restart_once(many: Bundle) -> None:
    """Each channel clears the alert, or one keeps it open."""
    played = Played(many)
    played.watch.resume(50.0, many.actual_span_s, 0)
    played.play(5, {SPAN: FAULT, ENVELOPE: FAULT}).stop().start().play(200, {})
    assert played.kinds == ["cleared"]


def test_an_alert_from_before_a_restart_never_waits_for_a_span_without_scores(
    many: Bundle,
) -> None:
    """A longer min_fault_s ends the scores of a long span, and its alert stays for ever."""
    played = Played(many, SETTINGS.model_copy(update={"min_fault_s": 10.0}))
    played.watch.resume(50.0, MEDIUM_S, 0)
    for _ in range(40):
        played.hops += 1
        played.push(SPAN, HEALTHY)
        played.push(ENVELOPE, HEALTHY)
    assert played.kinds == ["cleared"]


def test_a_channel_without_a_threshold_decides_nothing(many: Bundle) -> None:
    """A bundle whose channel lacks a threshold for the budget cannot be monitored."""
    thresholds = thresholds_of(many.calibration, SETTINGS)
    assert thresholds.channels[UNTOLD - 1].alarm is None
    assert thresholds.channels[UNTOLD - 1].warning is None
    played = Played(many).play(60, {UNTOLD: 1e9})
    assert played.decisions == []
    assert played.watch.state is None


@pytest.mark.parametrize("number", [SPAN, ENVELOPE, MEDIUM, LONG])
def test_each_channel_can_give_the_state_warning(many: Bundle, number: int) -> None:
    """A faint fault below the alarm is not shown."""
    thresholds = thresholds_of(many.calibration, SETTINGS)
    warning = thresholds.warning if number == SPAN else thresholds.channels[number - 1].warning
    alarm = thresholds.alarm if number == SPAN else thresholds.channels[number - 1].alarm
    assert warning is not None
    assert alarm is not None
    played = Played(many).play(20, {}).play(60, {number: (warning / alarm + 1.0) / 2.0})
    assert played.decisions == []
    assert played.watch.state is not None
    assert played.watch.state.status is SourceStatus.WARNING
    played.play(60, {})
    assert played.watch.state is None


@pytest.mark.parametrize(("per_week", "alarm"), [(0.5, 0.3), (7.0, 0.1)])
def test_a_warning_that_is_not_rarer_than_an_alarm_is_left_out(
    many: Bundle, per_week: float, alarm: float
) -> None:
    """A machine is never in the state warning, or only when an alert is due."""
    budgets = tuple(
        ChannelBudget(false_alarms_per_week=budget, threshold=threshold)
        for budget, threshold in ((0.1, 0.4), (1.0, alarm), (10.0, 0.2))
    )
    one = many.calibration.channels[MEDIUM - 1].model_copy(update={"budgets": budgets})
    calibration = many.calibration.model_copy(update={"channels": (one,)})
    settings = SETTINGS.model_copy(update={"warning_per_week": per_week})
    (thresholds,) = thresholds_of(calibration, settings).channels
    assert (thresholds.alarm, thresholds.warning) == (alarm, None)


def test_drift_and_level_follow_the_scores_of_the_bundle(many: Bundle) -> None:
    """The scores of a long span, with another scale, are reported as drift."""
    played = Played(many)
    for _ in range(20_000):
        played.hops += 1
        played.push(MEDIUM, 0.9)
    assert played.watch.warnings == []


def test_an_alert_states_its_span_and_where_the_evidence_stands_out(many: Bundle) -> None:
    """The frequencies of an alert are those of other evidence."""
    band_error = BANDS.copy()
    band_error[3] = 5.0
    decision = Decision("raised", HOP, HOP, 9.0, 9.0, 8.0, 1.0, 1.0, band_error, span_s=2.0480001)
    draft = alert_draft(decision, many, "pump", lambda seconds: seconds)
    assert draft.span_s == 2.048
    low_hz, high_hz = SPEC.band_edges_hz(3)
    assert draft.bands_hz == ((round(low_hz, 1), round(high_hz, 1)),)
    own = replace(decision, bands_hz=((100.0, 110.0),))
    assert alert_draft(own, many, "pump", float).bands_hz == ((100.0, 110.0),)
