"""All channels of a machine: one alert at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from monitor.detection.channel import Channel
from monitor.domain import Decision, Score


class Channels:
    """At most one alert of all channels. It belongs to the channel that raises it.

    Only this channel updates and clears the alert. Channels with shorter spans may join it: the
    alert of a faint fault does not end while a strong one lasts. Channels with longer spans wait,
    because their scores stay high long after a fault. When the alert has ended, the others begin
    anew. An alert from before a restart belongs to all channels whose span
    is nearest, because its evidence is not known: it ends when all of them are healthy.
    """

    def __init__(self, channels: dict[int, Channel]) -> None:
        """``channels``: by number, with channel 0."""
        self._channels = channels
        self._short = [channel for channel in channels.values() if not channel.is_long]
        self._warners = [one.warner for one in channels.values() if one.warner is not None]
        self._warns = False
        self._owners: list[Channel] = []
        self._unheard: set[Channel] = set()  # owners without a score since a restart
        self._started_sample, self._peak_score = 0, 0.0  # of the open alert

    @property
    def raised(self) -> bool:
        """Whether an alert is open."""
        return bool(self._owners)

    @property
    def warns(self) -> bool:
        """Whether a score stays above the threshold of a warning."""
        return self._warns

    @property
    def undecided_since(self) -> int | None:
        """Where the first score ends that may still be part of the next decision to raise.

        As in ``Detector``, without the long spans.
        """
        known = [one.detector.undecided_since for one in self._short]
        return min((end_sample for end_sample in known if end_sample is not None), default=None)

    def push(self, score: Score) -> Decision | None:
        """Take the next score. A channel without a threshold decides nothing."""
        channel = self._channels.get(score.channel)
        if channel is None:
            return None
        warner = channel.warner
        if warner is not None:
            before = warner.raised
            warner.push(score)
            if warner.raised is not before:
                self._count_warnings()
        if self._owners and channel not in self._owners:
            return self._joined(channel, score)
        is_first = channel in self._unheard
        self._unheard.discard(channel)
        decision = channel.decision(channel.detector.push(score))
        if channel.detector.is_cautious:
            self._look_whether_healthy(channel)
        if decision is None:
            return None
        if decision.kind == "raised":
            self._owners = [channel]
            self._started_sample, self._peak_score = decision.started_sample, decision.peak_score
            return decision
        decision = self._of_alert(decision)
        if decision.kind == "cleared":
            return self._cleared(channel, decision, score.end_sample, is_first=is_first)
        return decision if channel is self._owners[0] else None

    @property
    def least_levels(self) -> dict[int, float]:
        """By number of a channel, the level below which its scores decide nothing.

        While no alert is open.
        """
        return {number: channel.least_level for number, channel in self._channels.items()}

    def gap(self) -> None:
        """Sound was lost; long spans continue after it."""
        for channel in self._short:
            channel.gap()

    def machine_stopped(self, at_sample: int) -> Decision | None:
        """The machine is off: an open alert is cleared, and long spans continue at the start."""
        for warner in self._warners:
            warner.machine_stopped(at_sample)
        self._count_warnings()
        self.gap()
        if not self._owners:
            return None
        owner = self._owners[0]
        decision = owner.decision(owner.detector.machine_stopped(at_sample))
        self._end(owner, at_sample)
        return None if decision is None else self._of_alert(decision)

    def machine_started(self, at_sample: int, start_fault_samples: int) -> None:
        """The machine runs, see ``Detector``. It sounds healthy when all evidence shows it."""
        for channel in self._channels.values():
            channel.detector.machine_started(at_sample, start_fault_samples)

    def resume(self, peak_score: float, span_s: float, at_sample: int) -> None:
        """Continue an alert from before on the channels whose span is nearest to ``span_s``.

        On channel 0 with an unknown span of 0.
        """
        channels = [*self._channels.values()] if span_s > 0 else [self._channels[0]]
        away_s = [round(abs(one.span_s - span_s), 3) for one in channels]
        self._owners = [
            one for one, away in zip(channels, away_s, strict=True) if away == min(away_s)
        ]
        self._unheard = set(self._owners)
        self._started_sample, self._peak_score = at_sample, peak_score
        for owner in self._owners:
            owner.resume(peak_score, at_sample)

    def leave_out(self, numbers: Collection[int]) -> None:
        """These channels never have scores. Channel 0 continues an alert that only they had."""
        left_out = [self._channels.pop(one) for one in numbers if one in self._channels]
        self._short = [one for one in self._short if one not in left_out]
        self._warners = [one.warner for one in self._channels.values() if one.warner is not None]
        self._unheard.difference_update(left_out)
        owners = [one for one in self._owners if one not in left_out]
        if self._owners and not owners:
            owners = [self._channels[0]]
            owners[0].resume(self._peak_score, self._started_sample)
        self._owners = owners

    def _look_whether_healthy(self, channel: Channel) -> None:
        """End the caution after a start where the sound is healthy by this channel and all short.

        Noise beside a machine that is off is unlike the machine in some evidence, not in all.
        """
        short = [one.detector for one in self._short if one.detector.is_cautious]
        if all(one.is_healthy for one in short):
            for one in short:
                one.trust()
            if channel.detector.is_healthy:
                channel.detector.trust()

    def _joined(self, channel: Channel, score: Score) -> Decision | None:
        """A channel that would raise an alert joins the open one: an update if it is stronger."""
        if channel.span_s > max(owner.span_s for owner in self._owners):
            return None
        decision = channel.decision(channel.detector.push(score))
        if decision is None or decision.kind != "raised":
            return None
        self._owners.append(channel)
        is_stronger = decision.score > self._peak_score
        return self._of_alert(replace(decision, kind="updated")) if is_stronger else None

    def _of_alert(self, decision: Decision) -> Decision:
        """The decision with the beginning and the peak of the alert, whichever channel it is of."""
        self._peak_score = max(self._peak_score, decision.peak_score)
        return replace(decision, started_sample=self._started_sample, peak_score=self._peak_score)

    def _cleared(
        self, channel: Channel, decision: Decision, at_sample: int, *, is_first: bool
    ) -> Decision | None:
        """The decision, if no other channel has the alert too."""
        others = [one for one in self._owners if one is not channel]
        if is_first and not self._unheard.isdisjoint(others):
            # The scores of other evidence over the same sound follow. There are none for log-mel.
            channel.resume(decision.peak_score, decision.started_sample)
            return None
        self._owners = [one for one in others if one not in self._unheard]
        if self._owners:
            return None
        self._end(channel, at_sample)
        return decision

    def _end(self, owner: Channel, at_sample: int) -> None:
        self._owners = []
        self._unheard.clear()
        for channel in self._channels.values():
            if channel is not owner:
                channel.forget(at_sample)
        self._count_warnings()

    def _count_warnings(self) -> None:
        self._warns = any(warner.raised for warner in self._warners)
