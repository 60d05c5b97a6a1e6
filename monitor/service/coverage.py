"""How much of the time a machine was really listened to."""

from __future__ import annotations

from monitor.domain import SourceStatus


class Coverage:
    """Seconds monitored, degraded and lost since the daemon began with a machine.

    Monitored: sound that could be judged. Degraded: sound arrived but was none to
    judge a machine by (silence, clipping, a stuck converter). Lost: nothing
    arrived. Times on the ``now_s`` axis are those of a monotonic clock.
    """

    def __init__(self) -> None:
        self._monitored_s = 0.0
        self._degraded_s = 0.0
        self._lost_s = 0.0
        self._absent_since_s: float | None = None

    def heard(self, seconds: float, *, judged: bool) -> None:
        """``seconds`` of sound arrived; ``judged``: and could be used."""
        if judged:
            self._monitored_s += seconds
        else:
            self._degraded_s += seconds

    def absent(self, now_s: float) -> None:
        """From now on nothing arrives. Saying so again changes nothing."""
        if self._absent_since_s is None:
            self._absent_since_s = now_s

    def present(self, now_s: float, missing_s: float) -> None:
        """Sound arrives again and the source counts ``missing_s`` as lost before it.

        An absence lasted at least as long as the clock says: a source that was
        restarted cannot know what it missed.
        """
        absent_s = 0.0 if self._absent_since_s is None else now_s - self._absent_since_s
        self._absent_since_s = None
        self._lost_s += max(absent_s, missing_s)

    def seconds(self, now_s: float) -> dict[str, float]:
        """``monitored_s``, ``degraded_s`` and ``lost_s``, a running absence included."""
        absent_s = 0.0 if self._absent_since_s is None else now_s - self._absent_since_s
        return {
            "monitored_s": round(self._monitored_s, 3),
            "degraded_s": round(self._degraded_s, 3),
            "lost_s": round(self._lost_s + absent_s, 3),
        }


JUDGED = frozenset({SourceStatus.OK, SourceStatus.WARMING, SourceStatus.ANOMALY})
"""The states in which what is heard is judged."""
