"""How much of the time a machine was monitored."""

from __future__ import annotations


class Coverage:
    """Seconds monitored, degraded and lost since the daemon began to monitor a machine.

    Monitored: sound arrived and was scored. Degraded: sound arrived that cannot be
    scored (silence, clipping, a stuck converter). Lost: no sound arrived. ``now_s``
    is the time of a monotonic clock.
    """

    def __init__(self) -> None:
        self._monitored_s = 0.0
        self._degraded_s = 0.0
        self._lost_s = 0.0
        self._absent_since_s: float | None = None

    def received(self, seconds: float, *, scored: bool) -> None:
        """``seconds`` of sound arrived; ``scored``: whether they were scored."""
        if scored:
            self._monitored_s += seconds
        else:
            self._degraded_s += seconds

    def absent(self, now_s: float) -> None:
        """From now on nothing arrives. A second call changes nothing."""
        if self._absent_since_s is None:
            self._absent_since_s = now_s

    def present(self, now_s: float, missing_s: float) -> None:
        """Sound arrives again; the source counts ``missing_s`` as lost before it.

        The larger of ``missing_s`` and the time on the clock is counted, because a source that
        was restarted cannot count what it missed.
        """
        absent_s = 0.0 if self._absent_since_s is None else now_s - self._absent_since_s
        self._absent_since_s = None
        self._lost_s += max(absent_s, missing_s)

    def seconds(self, now_s: float) -> dict[str, float]:
        """``monitored_s``, ``degraded_s`` and ``lost_s``, a running absence included.

        Any thread may call it.
        """
        absent_since_s = self._absent_since_s
        absent_s = 0.0 if absent_since_s is None else now_s - absent_since_s
        return {
            "monitored_s": round(self._monitored_s, 3),
            "degraded_s": round(self._degraded_s, 3),
            "lost_s": round(self._lost_s + absent_s, 3),
        }
