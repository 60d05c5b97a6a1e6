"""Hysteresis: an alert is raised at one threshold, and cleared at a lower one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from monitor.detection.persistence import Persistence
from monitor.detection.settings import DetectorSettings
from monitor.model.channel_calibration import ChannelCalibration
from monitor.model.manifest import Calibration


@dataclass(frozen=True, slots=True)
class DetectorRule:
    """``DetectorSettings`` for one bundle, in scores and samples.

    ``false_alarms_per_week``: the budget of the threshold. ``persistence``: how many scores must
    be over ``threshold`` to raise an alert. ``clearing``: how many must be below
    ``clear_threshold`` to clear it. ``same_fault_samples``: a fault within this time of running
    after a stop counts as the one before the stop. ``is_long``: the spans are longer than that of
    the bundle. They continue after a gap or a stop, so a score may contain sound from before.
    """

    threshold: float
    clear_threshold: float
    false_alarms_per_week: float
    persistence: Persistence
    clearing: Persistence
    quiet_samples: int
    update_samples: int
    same_fault_samples: int = 0
    is_long: bool = False

    @classmethod
    def of(
        cls,
        settings: DetectorSettings,
        calibration: Calibration | ChannelCalibration,
        threshold: float,
        false_alarms_per_week: float,
        *,
        span_s: float,
        hop_s: float,
        sample_rate_hz: int,
        same_fault_s: float = 0.0,
        is_long: bool = False,
    ) -> DetectorRule:
        """The rule for scores that come every ``hop_s`` over ``span_s`` seconds.

        A single score over a long span is enough, because it is made so that no sound shorter than
        ``min_fault_s`` can raise it. It shows a fault up to ``span_s`` after the fault is back.
        """
        persistence = settings.persistence(span_s=span_s, hop_s=hop_s)
        if is_long:
            persistence = Persistence(1, 1)
            same_fault_s += span_s if same_fault_s > 0 else 0.0
        to_median = max(0.0, threshold - calibration.score_median)
        return cls(
            threshold=threshold,
            clear_threshold=threshold - settings.hysteresis * to_median,
            false_alarms_per_week=false_alarms_per_week,
            persistence=persistence,
            clearing=Persistence.share_of(
                settings.clear_after_s, settings.persistence_share, hop_s
            ),
            quiet_samples=round(settings.quiet_s * sample_rate_hz),
            update_samples=round(settings.update_interval_s * sample_rate_hz),
            same_fault_samples=round(same_fault_s * sample_rate_hz),
            is_long=is_long,
        )


class Clearing:
    """Whether enough of the last scores are below the threshold that clears an alert."""

    def __init__(self, rule: DetectorRule) -> None:
        self._rule = rule
        self._below: deque[bool] = deque(maxlen=rule.clearing.out_of)

    @property
    def is_clear(self) -> bool:
        """The answer for the scores so far. No before there are enough."""
        clearing = self._rule.clearing
        return len(self._below) == clearing.out_of and sum(self._below) >= clearing.required

    def push(self, score: float) -> bool:
        """The answer with this score as the newest one."""
        self._below.append(score < self._rule.clear_threshold)
        return self.is_clear

    def restart(self) -> None:
        """Forget the scores so far."""
        self._below.clear()
