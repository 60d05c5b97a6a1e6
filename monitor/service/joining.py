"""Small blocks to blocks that are worth processing.

Each block costs as much as a tenth of a second of sound, whatever its length. A score needs the
sound of half a second: what comes earlier waits for it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from monitor.domain import AudioBlock, LogMelBlock

Block = AudioBlock | LogMelBlock


class BlockJoiner:
    """Collects blocks that follow each other. State: these blocks, and their seconds."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self.seconds = 0.0

    def fits(self, block: Block) -> bool:
        """Whether ``block`` continues what was collected."""
        if not self._blocks:
            return True
        last = self._blocks[-1]
        if block.discontinuous or type(block) is not type(last):
            return False
        if isinstance(block, LogMelBlock) or isinstance(last, LogMelBlock):
            return (
                isinstance(block, LogMelBlock)
                and isinstance(last, LogMelBlock)
                and block.frames_db.shape[1:] == last.frames_db.shape[1:]
                and block.first_frame == last.first_frame + len(last.frames_db)
            )
        return (
            block.sample_rate_hz == last.sample_rate_hz
            and block.chain == last.chain
            and block.recorded_unix_s is None
            and last.recorded_unix_s is None
            and block.first_sample == last.first_sample + len(last.samples)
            and _n_channels(block) == _n_channels(last)
        )

    def push(self, block: Block, seconds: float) -> None:
        """Collect a block that fits and is so long."""
        self._blocks.append(block)
        self.seconds += seconds

    def take(self) -> Block | None:
        """All that was collected as one block; None if there is nothing."""
        blocks, self._blocks = self._blocks, []
        self.seconds = 0.0
        if len(blocks) < 2:
            return blocks[0] if blocks else None
        first = blocks[0]
        if isinstance(first, AudioBlock):
            sound = [one for one in blocks if isinstance(one, AudioBlock)]
            samples = np.concatenate([one.samples for one in sound])
            channels = [one.unmixed for one in sound if one.unmixed is not None]
            unmixed = np.concatenate(channels) if channels else None
            return replace(first, samples=samples, unmixed=unmixed)
        frames = [one.frames_db for one in blocks if isinstance(one, LogMelBlock)]
        return replace(first, frames_db=np.concatenate(frames))


def _n_channels(block: AudioBlock) -> int:
    return 1 if block.unmixed is None else block.unmixed.shape[1]
