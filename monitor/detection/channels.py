"""All channels of a machine: one alert at a time."""

from __future__ import annotations

from monitor.detection.channel import Channel
from monitor.domain import Decision, Score


class Channels:
    """At most one alert of all channels. It belongs to the channel that raises it.

    Only this channel updates and clears the alert, and the others wait meanwhile. When it has
    ended, the others begin anew.
    """

    def __init__(self, channels: dict[int, Channel]) -> None:
        """``channels``: by number, with channel 0."""
        self._channels = channels
        self._owner: Channel | None = None

    @property
    def raised(self) -> bool:
        """Whether an alert is open."""
        return self._owner is not None

    @property
    def warns(self) -> bool:
        """Whether a score stays above the threshold of a warning."""
        return any(channel.warns for channel in self._channels.values())

    @property
    def undecided_since(self) -> int | None:
        """Where the first score ends that may still be part of the next decision to raise.

        As in ``Detector``, without the long spans.
        """
        known = [one.detector.undecided_since for one in self._short()]
        return min((end_sample for end_sample in known if end_sample is not None), default=None)

    def push(self, score: Score) -> Decision | None:
        """Take the next score. A channel without a threshold decides nothing."""
        channel = self._channels.get(score.channel)
        if channel is None:
            return None
        if channel.warner is not None:
            channel.warner.push(score)
        if self._owner is not None and self._owner is not channel:
            return None
        decision = channel.decision(channel.detector.push(score))
        if decision is not None and decision.kind == "raised":
            self._owner = channel
        elif decision is not None and decision.kind == "cleared":
            self._end(channel, score.end_sample)
        return decision

    def gap(self) -> None:
        """Sound was lost; long spans continue after it."""
        for channel in self._short():
            channel.gap()

    def machine_stopped(self, at_sample: int) -> Decision | None:
        """The machine is off: an open alert is cleared, and long spans continue at the start."""
        for channel in self._channels.values():
            if channel.warner is not None:
                channel.warner.machine_stopped(at_sample)
        self.gap()
        owner = self._owner
        if owner is None:
            return None
        decision = owner.decision(owner.detector.machine_stopped(at_sample))
        self._end(owner, at_sample)
        return decision

    def machine_started(self, at_sample: int, start_fault_samples: int) -> None:
        """The machine runs, see ``Detector``."""
        for channel in self._channels.values():
            channel.detector.machine_started(at_sample, start_fault_samples)

    def resume(self, peak_score: float, span_s: float, at_sample: int) -> None:
        """Continue an alert from before on the channel whose span is nearest to ``span_s``.

        On channel 0 if several are as near, or with an unknown span of 0.
        """
        channels = self._channels if span_s > 0 else {0: self._channels[0]}
        self._owner = min(channels.values(), key=lambda one: round(abs(one.span_s - span_s), 3))
        self._owner.resume(peak_score, at_sample)

    def _end(self, owner: Channel, at_sample: int) -> None:
        self._owner = None
        for channel in self._channels.values():
            if channel is not owner:
                channel.forget(at_sample)

    def _short(self) -> list[Channel]:
        return [channel for channel in self._channels.values() if not channel.is_long]
