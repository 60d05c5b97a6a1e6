"""Cuts sound where the signal check refuses it, so that the rest can be scored."""

from __future__ import annotations

from collections.abc import Iterator

from monitor.audio.signal_check import SignalCheck
from monitor.domain import AudioBlock, SourceState, SourceStatus


def scorable_parts(check: SignalCheck, block: AudioBlock) -> Iterator[AudioBlock | SourceState]:
    """The parts of a block that can be scored, and between them why the rest cannot.

    The block is cut only where a cell of the check ends, so the parts do not depend on how the
    stream was cut into blocks. (Samples that are not finite are refused together with the
    samples before them in the same cell; no source yields any.)
    """
    cell_samples, left = check.cell_samples(block.sample_rate_hz), check.begin(block)
    run_start, start, n_samples = 0, 0, len(block.samples)
    while start < n_samples:
        if left == cell_samples:
            start += check.take_usual(block.samples[start:])
            if start == n_samples:
                break
        end = min(n_samples, start + left)
        before, after = check.state, check.take(block.samples[start:end])
        flows = before.status is SourceStatus.OK and after.reason != "not_finite"
        if not flows or after.status is not SourceStatus.OK:
            run_end = end if flows else start
            if run_start < run_end:
                yield _part(block, run_start, run_end)
            run_start = end
        if after.status is not SourceStatus.OK:
            yield after
        start, left = end, cell_samples
    if run_start < n_samples:
        yield _part(block, run_start, n_samples)


def _part(block: AudioBlock, start: int, end: int) -> AudioBlock:
    """Samples ``[start, end)`` of a block; only the block's own start is a discontinuity."""
    if start == 0 and end == len(block.samples):
        return block
    return AudioBlock(
        block.samples[start:end],
        block.sample_rate_hz,
        block.first_sample + start,
        block.discontinuous and start == 0,
        chain=block.chain,
    )
