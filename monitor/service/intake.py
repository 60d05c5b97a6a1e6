"""The blocks of one machine on their way from the source to what processes them.

Small blocks are joined to blocks that are worth processing. While the machine rests, they are lost.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import ClassVar

from monitor.service.joining import Block, BlockJoiner
from monitor.service.machine_plan import MachinePlan
from monitor.service.machine_report import MachineReport
from monitor.service.machine_sound import MachineSound
from monitor.service.turns import Turn
from monitor.sources.waiting import Wait


class Intake:
    """Joins blocks or loses them. Used by one thread at a time; ``turn`` may be set by any.

    State: what was joined, how fast sound comes, and whether it is being lost.
    """

    LONGEST_JOINED_S: ClassVar[float] = 4.0
    REST_S: ClassVar[float] = 2.5
    """While sound is lost on purpose, the source is read so often, a full pipe more often."""
    MOST_LATE_S: ClassVar[float] = 10.0
    """No more sound than this is lost after a rest, if it never stops to come."""

    def __init__(
        self, sound: MachineSound, report: MachineReport, *, may_join: bool, paces_itself: bool
    ) -> None:
        """``may_join``: the source gives a block before the last one has been processed.

        ``paces_itself``: the source says when it has given all that is due.
        """
        self.turn = Turn.UNLIMITED
        self._sound = sound
        self._report = report
        self._may_join = may_join
        self._paces_itself = paces_itself
        self._joiner = BlockJoiner()
        self._processed_s = time.monotonic()
        self._speed = 1.0
        """Seconds of sound that come in a second, at least 1."""
        self.is_losing = False
        """Whether the present sound is lost. After a rest, until all that has waited is lost."""
        self._has_lost = False
        self._late_s = 0.0
        self.taken_s = 0.0
        """Seconds of sound that were processed so far."""

    def begin(self, plan: MachinePlan) -> None:
        """A new stream begins. What was joined is dropped."""
        self._joiner.take()
        self._sound.begin(plan)

    def push(self, block: Block, plan: MachinePlan) -> None:
        """Join a block, and process by ``plan`` what was joined when something comes of it."""
        if self.turn is Turn.REST or self.is_losing:
            self._lose(block)
            return
        if not self._joiner.fits(block):
            self.flush(plan)
        self._joiner.push(block, self._sound.seconds_of(block))
        enough_s = self.LONGEST_JOINED_S if self._paces_itself else self._sound.wanted_s
        if not self._may_join or self._joiner.seconds >= enough_s:
            self.flush(plan)

    def flush(self, plan: MachinePlan) -> None:
        """Process by ``plan`` what was joined."""
        now_s, seconds = time.monotonic(), self._joiner.seconds
        block = self._joiner.take()
        if block is None:
            return
        if not self._paces_itself:
            self._speed = max(1.0, seconds / max(1e-3, now_s - self._processed_s))
        self._processed_s = now_s
        is_broken = self._sound.adopt(plan) or block.discontinuous or self._has_lost
        if self._has_lost:
            self._has_lost = False
            self._sound.rested()
        if self.turn is Turn.UNLIMITED:
            self._report.overloaded(is_on=False)
        self.taken_s += seconds
        self._sound.process(replace(block, discontinuous=is_broken))

    def pause(self, wait: Wait, plan: MachinePlan, last_s: float) -> Wait:
        """The source has nothing more: when to look again.

        The same as ``wait``, where more sound is not wanted before some time has passed since the
        last block (monotonic ``last_s``).
        """
        # All that came during a rest has been lost.
        self.is_losing = self.turn is Turn.REST
        if self._joiner.seconds >= self._sound.wanted_s:
            self.flush(plan)
        if not self._may_join:
            return wait
        if self.is_losing:
            wait = replace(wait, longest_s=2.0 * wait.longest_s)
            missing_s = self.REST_S
        else:
            missing_s = self._sound.wanted_s - self._joiner.seconds
        wanted_s = last_s + min(missing_s / self._speed, wait.longest_s)
        if wait.descriptors:
            return replace(wait, not_before_s=wanted_s)
        return replace(wait, until_s=max(wait.until_s, wanted_s))

    def _lose(self, block: Block) -> None:
        """The present block is lost, and what was joined, so that others lose nothing."""
        self._joiner.take()
        if self.turn is Turn.REST:
            self.is_losing, self._late_s = True, self.MOST_LATE_S
        else:  # it has waited since the rest
            self._late_s -= self._sound.seconds_of(block)
            self.is_losing = self._late_s > 0.0
        if not self._has_lost:
            self._has_lost = True
            self._report.absent()
            self._report.overloaded(is_on=True)
