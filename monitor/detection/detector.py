"""Scores to decisions: an alert is raised, continued and cleared.

The detector has no clock. It counts samples, so live sound and a recording of it give the same
decisions.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from monitor.alerts import AlertKind
from monitor.detection.hysteresis import Clearing, DetectorRule
from monitor.detection.last_alert import LastAlert
from monitor.detection.persistence import Persistence
from monitor.detection.settings import DetectorSettings
from monitor.domain import Decision, Score
from monitor.model.bundle import Bundle


@dataclass(slots=True)
class _OpenAlert:
    """An alert that is raised and not yet cleared."""

    started_sample: int
    peak_score: float
    reported_sample: int
    clearing: Clearing
    last_score: float
    last_loss: float = 0.0


class Detector:
    """The decisions about one stream of scores of a machine.

    ``before``: shared with the detectors of the machine's other streams of scores.

    State:

    - for each of the last scores, whether it was over the threshold and where it ends (``_last``),
      how many were (``_n_over``), and since when enough of them are (``_lasting_since``)
    - the open alert, if any
    - after a start, how long the machine must still run before an alert is possible
      (``_caution_samples``), and whether the newest scores since then would clear an alert
    - where the sound begins that scores of long spans are made from (``_not_before``), after
      another stream or a stop has ended an alert
    """

    def __init__(self, rule: DetectorRule, before: LastAlert | None = None) -> None:
        self.rule = rule
        self._last: deque[tuple[bool, int]] = deque(maxlen=rule.persistence.out_of)
        self._n_over = 0
        self._lasting_since: int | None = None
        self._open: _OpenAlert | None = None
        self._before = before or LastAlert()
        self._not_before = 0
        self._caution_samples = 0
        self._started_sample = 0
        self._cautious_from = 0
        self._healthy = Clearing(rule)

    @property
    def is_healthy(self) -> bool:
        """Whether the newest scores since a start would clear an alert."""
        return self._healthy.is_clear

    @property
    def is_cautious(self) -> bool:
        """Whether the machine must still run for some time before an alert is possible."""
        return self._caution_samples > 0

    @property
    def raised(self) -> bool:
        """Whether an alert is open."""
        return self._open is not None

    @property
    def undecided_since(self) -> int | None:
        """Where the first score ends that may still be part of the next decision to raise.

        The newest score if none of the last ones is over the threshold; None before the first.
        """
        over = (end_sample for is_over, end_sample in self._last if is_over)
        return next(over, self._last[-1][1] if self._last else None)

    def machine_stopped(self, at_sample: int) -> Decision | None:
        """The machine is off: what is pending is forgotten, and an open alert is cleared."""
        self.gap()
        open_alert, self._open = self._open, None
        if open_alert is None:
            return None
        self._not_before = at_sample
        self._before.stopped()
        return Decision(
            kind="cleared",
            at_sample=at_sample,
            started_sample=open_alert.started_sample,
            score=open_alert.last_score,
            peak_score=open_alert.peak_score,
            threshold=self.rule.threshold,
            loss=open_alert.last_loss,
            false_alarms_per_week=self.rule.false_alarms_per_week,
            band_error=np.zeros(0, dtype=np.float32),
            reason="stopped",
        )

    def machine_started(self, at_sample: int, start_fault_samples: int) -> None:
        """The machine runs after it was off.

        An alert is raised only after ``start_fault_samples`` of running, counted over all starts,
        because noise beside a machine that is off may be taken for its start. ``trust`` ends this.
        It does not apply if an alert ended with the stop.
        """
        self._started_sample = self._cautious_from = at_sample
        self._healthy.restart()
        is_same_fault = self._before.ended_by_stop(self.rule.same_fault_samples)
        if not self._caution_samples and not is_same_fault:
            self._caution_samples = start_fault_samples

    def trust(self) -> None:
        """The machine sounds healthy after its start: an alert needs only the usual time."""
        self._caution_samples = 0

    def resume(self, peak_score: float, at_sample: int = 0) -> None:
        """Continue an alert that was raised before the detector was made."""
        self._open = self._open_alert(at_sample, peak_score, at_sample)

    def gap(self) -> None:
        """Sound was lost: drop the pending scores; an open alert stays open."""
        self._forget_last()
        if self._open is not None:
            self._open.clearing.restart()

    def forget(self, at_sample: int) -> None:
        """Another stream of scores has ended an alert: drop what is pending or open.

        A long span that begins before ``at_sample`` contains sound of that alert, and raises none.
        """
        self.gap()
        self._open = None
        self._healthy.restart()
        self._not_before = at_sample

    def push(self, score: Score) -> Decision | None:
        """The decision after this score, if any. Scores must be in the order of their samples."""
        self._ran(score)
        if self.rule.is_long and self._open is None and score.first_sample < self._not_before:
            return None
        is_over = score.value > self.rule.threshold
        if not is_over and not self._n_over and self._open is None:
            self._last.append((False, score.end_sample))
            return None
        if len(self._last) == self.rule.persistence.out_of:
            self._n_over -= self._last[0][0]
        self._n_over += is_over
        self._last.append((is_over, score.end_sample))
        if self._n_over < self.rule.persistence.required:
            self._lasting_since = None
        elif self._lasting_since is None:
            self._lasting_since = next(end for was_over, end in self._last if was_over)
        if self._open is None:
            return self._raise_if_lasting(score)
        return self._follow(self._open, score)

    def _forget_last(self) -> None:
        self._last.clear()
        self._n_over = 0
        self._lasting_since = None

    def _open_alert(
        self, started_sample: int, peak_score: float, reported_sample: int
    ) -> _OpenAlert:
        return _OpenAlert(
            started_sample, peak_score, reported_sample, Clearing(self.rule), peak_score
        )

    def _raise_if_lasting(self, score: Score) -> Decision | None:
        if self._lasting_since is None:
            return None
        cleared_sample = self._before.cleared_sample
        if (
            cleared_sample is not None
            and score.end_sample - cleared_sample < self.rule.quiet_samples
        ):
            return None
        if self._caution_samples:
            return None
        self._open = self._open_alert(self._lasting_since, score.value, score.end_sample)
        continues = self._before.ended_by_stop(self.rule.same_fault_samples)
        self._before.raised()
        return replace(self._decision("raised", self._open, score), continues=continues)

    def _ran(self, score: Score) -> None:
        """Count the time since an alert ended by a stop, and end the caution after a start."""
        if self._caution_samples:
            ran_samples = score.end_sample - self._cautious_from
            self._caution_samples = max(0, self._caution_samples - ran_samples)
            self._cautious_from = score.end_sample
            is_new = not self.rule.is_long or score.first_sample >= self._started_sample
            if is_new:
                self._healthy.push(score.value)
        if not score.channel and self._last:
            self._before.ran(score.end_sample - self._last[-1][1])

    def _follow(self, open_alert: _OpenAlert, score: Score) -> Decision | None:
        open_alert.last_score, open_alert.last_loss = score.value, score.loss
        open_alert.peak_score = max(open_alert.peak_score, score.value)
        if open_alert.clearing.push(score.value):
            self._open = None
            self._before.cleared(score.end_sample)
            self._forget_last()
            return self._decision("cleared", open_alert, score)
        if score.end_sample - open_alert.reported_sample >= self.rule.update_samples:
            open_alert.reported_sample = score.end_sample
            return self._decision("updated", open_alert, score)
        return None

    def _decision(self, kind: AlertKind, open_alert: _OpenAlert, score: Score) -> Decision:
        return Decision(
            kind=kind,
            at_sample=score.end_sample,
            started_sample=open_alert.started_sample,
            score=score.value,
            peak_score=open_alert.peak_score,
            threshold=self.rule.threshold,
            loss=score.loss,
            false_alarms_per_week=self.rule.false_alarms_per_week,
            band_error=score.band_error,
            bands_hz=score.bands_hz,
        )


def persistence_of(bundle: Bundle, detector: DetectorSettings) -> Persistence:
    """How many of the last scores of ``bundle`` must be over the threshold."""
    return detector.persistence(span_s=bundle.actual_span_s, hop_s=bundle.spec.window_hop_s)
