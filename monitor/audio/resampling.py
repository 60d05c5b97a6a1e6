"""Streaming conversion of sound at any rate to one rate."""

from __future__ import annotations

import numpy as np
import soxr

from monitor.domain import AudioBlock, FloatArray
from monitor.errors import SourceFault
from monitor.features.finite import all_finite


class StreamResampler:
    """Blocks at any rate to blocks at ``to_rate_hz``, by band-limited interpolation (soxr, HQ).

    The output depends on the samples and the discontinuities, not on how the stream is
    cut into blocks. Index ``i`` of the input is index ``i * to / from`` of the output; a
    stretch of sound that begins between two output samples begins at the later one. A
    discontinuity begins a new stretch: the last milliseconds of the old one, which are
    still in the filter, are dropped. Blocks that have the right rate pass unchanged.

    State: the filter (``_filter``), the input index that must come next
    (``_next_input``), the output index that comes next (``_next_output``), and
    whether the next output follows a gap (``_discontinuous``).
    """

    def __init__(self, to_rate_hz: int) -> None:
        self._to_rate_hz = to_rate_hz
        self._from_rate_hz = 0
        self._filter: soxr.ResampleStream | None = None
        self._next_input: int | None = None
        self._next_output = 0
        self._discontinuous = False

    def push(self, block: AudioBlock) -> AudioBlock | None:
        """The samples that ``block`` completes, ``None`` when there are none yet.

        Shape: ``(n_samples,)`` to ``(m_samples,)``, both float32. Raises
        ``SourceFault`` for samples that are not finite or for another rate without
        a discontinuity, and ``ValueError`` for a block that does not follow the last one
        and is not discontinuous; the stream is then as it was before.
        """
        self._check(block)
        if self._next_input is None or block.discontinuous:
            self._begin(block)
        self._next_input = block.first_sample + len(block.samples)
        if self._filter is None:
            return block
        return self._output(self._filter.resample_chunk(block.samples, last=False))

    def flush(self) -> AudioBlock | None:
        """End the stream: the samples still in the filter. The next block begins a new stream."""
        rest = None
        if self._filter is not None and self._next_input is not None:
            rest = self._output(self._filter.resample_chunk(np.empty(0, np.float32), last=True))
        self._filter, self._next_input = None, None
        return rest

    def _check(self, block: AudioBlock) -> None:
        if not all_finite(block.samples):
            raise SourceFault("audio contains NaN or infinite samples")
        if self._next_input is None or block.discontinuous:
            return
        if block.sample_rate_hz != self._from_rate_hz:
            raise SourceFault(
                f"the sample rate changed from {self._from_rate_hz} to {block.sample_rate_hz} Hz "
                "in the middle of the sound"
            )
        if block.first_sample != self._next_input:
            raise ValueError(
                f"sample {block.first_sample} follows sample {self._next_input - 1} "
                "without being marked as a discontinuity"
            )

    def _begin(self, block: AudioBlock) -> None:
        self._from_rate_hz = block.sample_rate_hz
        self._discontinuous = block.discontinuous
        self._next_output = -(-block.first_sample * self._to_rate_hz // block.sample_rate_hz)
        self._filter = None
        if block.sample_rate_hz != self._to_rate_hz:
            self._filter = soxr.ResampleStream(
                block.sample_rate_hz, self._to_rate_hz, 1, dtype="float32", quality="HQ"
            )

    def _output(self, samples: FloatArray) -> AudioBlock | None:
        if not len(samples):
            return None
        block = AudioBlock(samples, self._to_rate_hz, self._next_output, self._discontinuous)
        self._next_output += len(samples)
        self._discontinuous = False
        return block
