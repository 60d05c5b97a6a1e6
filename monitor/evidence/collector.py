"""Collects the sound of one machine around the moments of its alerts."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import ClassVar, Protocol

import numpy as np

from monitor.domain import AudioBlock, LogMelBlock
from monitor.evidence.clip import Clip, GrowingClip, Request, rows_of
from monitor.evidence.settings import EvidenceSettings
from monitor.evidence.sound_memory import FrameMemory, SoundMemory

_Gap = tuple[float, float]
_Score = tuple[float, float, float]


class Keeper(Protocol):
    """Who writes the clips. No method waits for the disk; each may be called from any thread."""

    def reserve(self, n_bytes: int) -> bool:
        """Take memory for a clip; False if all clips together would take too much."""

    def begun(self, request: Request, clip: Clip) -> None:
        """A clip has begun: the sound so far, for the case that the daemon is killed."""

    def complete(self, request: Request, clip: Clip, reserved_bytes: int) -> None:
        """A clip has its end."""

    def lost(self, request: Request, reason: str) -> None:
        """A clip cannot be collected. ``reason``: a sentence for people."""


class Collector:
    """The newest sound, and the clips that are not complete. Safe to use from any thread.

    A clip ends early where the sound is interrupted, and if no sound arrives.
    """

    DECISION_DELAY_S: ClassVar[float] = 2.0
    """How long after its sound a decision may come."""
    USUAL_BLOCK_S: ClassVar[float] = 0.5
    MOST_BYTES: ClassVar[int] = 8_000_000
    """The most memory for the newest sound. Above it, less than ``before_s`` is held."""
    LONGEST_GAP_S: ClassVar[float] = 5.0
    """After a longer gap, a new clip begins. A shorter one is filled with 0."""
    PATIENCE_S: ClassVar[float] = 10.0
    """How long a clip waits for sound that does not come."""

    def __init__(self, settings: EvidenceSettings, keeper: Keeper) -> None:
        self.settings = settings
        self._keeper = keeper
        self._lock = threading.Lock()
        self._memory: SoundMemory | FrameMemory | None = None
        self._growing: list[GrowingClip] = []
        self._scores: deque[_Score] = deque()
        self._gaps: deque[_Gap] = deque()

    @property
    def n_bytes(self) -> int:
        """The memory that the sound takes."""
        with self._lock:
            held = self._memory.n_bytes if self._memory is not None else 0
            return held + sum(clip.n_bytes for clip in self._growing)

    @property
    def position_s(self) -> float:
        """Where the newest sound ends in the stream."""
        with self._lock:
            return self._position_s()

    def push(self, block: AudioBlock | LogMelBlock, frame_rate_hz: float) -> None:
        """Take the next block. ``frame_rate_hz``: of the frames of a ``LogMelBlock``."""
        with self._lock:
            if isinstance(block, AudioBlock):
                self._push_sound(block)
            else:
                self._push_frames(block, frame_rate_hz)
            self._finish([clip for clip in self._growing if clip.is_complete])
            self._forget_old()

    def skip(self, block: AudioBlock | LogMelBlock, frame_rate_hz: float, reason: str) -> None:
        """Take a block that must not be kept, and forget all sound before it.

        ``reason``: why the clips that grow end here, as a sentence for people.
        """
        with self._lock:
            self._interrupt(reason)
        self.push(block, frame_rate_hz)
        with self._lock:
            self._interrupt("")

    def scored(self, at_s: float, score: float, threshold: float) -> None:
        """A score was made from the sound that ends at a position of the stream."""
        with self._lock:
            self._scores.append((at_s, score, threshold))

    def keep(self, request: Request) -> None:
        """Keep the sound around a moment."""
        with self._lock:
            memory = self._memory
            if memory is None:
                self._keeper.lost(request, "no sound has arrived yet")
                return
            settings, rate_hz = self.settings, memory.rate_hz
            first, end = rows_of(request.at_s, settings.before_s, settings.after_s, rate_hz)
            first = min(max(first, memory.first), memory.end)
            end = max(end, first)
            n_bytes = (end - first) * memory.row_bytes
            if not self._keeper.reserve(n_bytes):
                self._keeper.lost(request, "too many alerts at the same time for the memory")
                return
            clip = GrowingClip(
                request,
                rate_hz,
                first,
                end,
                n_bytes,
                time.monotonic() + settings.after_s + self.PATIENCE_S,
                [memory.read(first, end)],
                memory.end,
            )
            self._growing.append(clip)
            if clip.is_complete:
                self._finish([clip])
            else:
                self._keeper.begun(request, clip.clip(list(self._scores), list(self._gaps)))

    def newest(self, seconds: float) -> Clip | None:
        """The newest sound, if there are so many seconds of it without a gap."""
        with self._lock:
            memory = self._memory
            if memory is None:
                return None
            first = memory.end - round(seconds * memory.rate_hz)
            first_s = first / memory.rate_hz
            if first < memory.first or any(at_s + n_s > first_s for at_s, n_s in self._gaps):
                return None
            scores = [
                (at_s - first_s, score, threshold)
                for at_s, score, threshold in self._scores
                if at_s >= first_s
            ]
            return Clip(memory.read(first, memory.end), memory.rate_hz, first_s, scores)

    def interrupt(self, reason: str, position: int | None = None) -> None:
        """The sound ends here: complete the clips with what there is, and forget the rest.

        ``reason``: a sentence for people.
        """
        with self._lock:
            self._interrupt(reason, position)

    def expire(self) -> None:
        """Complete the clips for which no sound has arrived for too long."""
        with self._lock:
            now_s = time.monotonic()
            late = [clip for clip in self._growing if now_s >= clip.waits_s]
            self._finish(late, "no more sound arrived")

    # Under the lock.

    def _position_s(self) -> float:
        return self._memory.end / self._memory.rate_hz if self._memory is not None else 0.0

    def _push_sound(self, block: AudioBlock) -> None:
        samples, rate_hz = block.samples, block.sample_rate_hz
        if not np.isfinite(samples).all():
            self._interrupt("the source gave values that are no sound")
            return
        memory = self._memory
        if not isinstance(memory, SoundMemory) or memory.rate_hz != rate_hz:
            self._interrupt("the sample rate changed")
            self._memory = memory = SoundMemory(1, rate_hz)
            memory.clear(block.first_sample)
        missing = block.first_sample - memory.end
        if block.discontinuous or missing:
            self._gap(missing, memory)
        self._hold(memory, len(samples), most_rows=self.MOST_BYTES // 3)
        rows = memory.push(samples)
        for clip in self._growing:
            clip.push(rows)

    def _hold(self, memory: SoundMemory | FrameMemory, n_rows: int, *, most_rows: int) -> None:
        """Hold what a clip needs, if a decision comes after a block of ``n_rows``."""
        held_s = self.settings.before_s + self.DECISION_DELAY_S
        usual_s = self.USUAL_BLOCK_S  # in steps, because to grow is to copy all
        block_s = usual_s * max(1, math.ceil(n_rows / memory.rate_hz / usual_s))
        memory.grow(min(round((held_s + block_s) * memory.rate_hz), most_rows))

    def _gap(self, missing: int, memory: SoundMemory) -> None:
        """Sound was lost. If no sample is missing, another recording begins."""
        if not 0 < missing <= self.LONGEST_GAP_S * memory.rate_hz:
            self._interrupt("the sound was interrupted", memory.end + missing)
            return
        self._gaps.append((memory.end / memory.rate_hz, missing / memory.rate_hz))
        silence = memory.push(np.zeros(missing, dtype=np.float32))
        for clip in self._growing:
            clip.push(silence)

    def _push_frames(self, block: LogMelBlock, frame_rate_hz: float) -> None:
        frames_db = block.frames_db
        memory = self._memory
        n_mels = frames_db.shape[1] if frames_db.ndim == 2 else 0
        if not n_mels or not np.isfinite(frames_db).all():
            self._interrupt("the source gave values that are no log-mel")
            return
        known = isinstance(memory, FrameMemory) and memory.n_mels == n_mels
        if not known or memory is None or memory.rate_hz != frame_rate_hz:
            self._interrupt("the format of the frames changed")
            self._memory = memory = FrameMemory(1, frame_rate_hz, n_mels)
            memory.clear(block.first_frame)
        if block.discontinuous or block.first_frame != memory.end:
            self._interrupt("the sound was interrupted", block.first_frame)
        self._hold(memory, len(frames_db), most_rows=self.MOST_BYTES // (4 * n_mels))
        rows = memory.push(frames_db)
        for clip in self._growing:
            clip.push(rows)

    def _interrupt(self, reason: str, position: int | None = None) -> None:
        self._finish(list(self._growing), reason)
        if self._memory is not None:
            self._memory.clear(self._memory.end if position is None else max(0, position))
        self._scores.clear()
        self._gaps.clear()

    def _finish(self, clips: list[GrowingClip], incomplete: str = "") -> None:
        for clip in clips:
            self._growing.remove(clip)
            is_short = bool(incomplete) and not clip.is_complete
            scores, gaps = list(self._scores), list(self._gaps)
            whole = clip.clip(scores, gaps, incomplete if is_short else "")
            self._keeper.complete(clip.request, whole, clip.reserved_bytes)

    def _forget_old(self) -> None:
        """Forget scores and gaps that no clip can contain any more."""
        settings = self.settings
        held_s = settings.before_s + settings.after_s + self.DECISION_DELAY_S + 60.0
        oldest_s = self._position_s() - held_s
        for known in (self._scores, self._gaps):
            while known and known[0][0] < oldest_s:
                known.popleft()
