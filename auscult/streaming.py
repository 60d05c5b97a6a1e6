"""Live sound, block by block, in a loop of the caller."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auscult.scoring import AlertChange, ScoredSpan, change_of, span_of
from auscult.sound import Samples, block_samples, checked_rate_hz
from monitor.detection.alert_draft import alert_draft
from monitor.domain import AudioBlock
from monitor.errors import UsageError
from monitor.model.bundle import Bundle
from monitor.pipeline import Pipeline, PipelineOutput

_NAME = "block"


@dataclass(frozen=True, slots=True)
class StreamOutput:
    """What a block of sound has completed.

    ``spans``: the new scores, in their order. ``alerts``: each change of the alert.
    """

    spans: tuple[ScoredSpan, ...] = ()
    alerts: tuple[AlertChange, ...] = ()


class Stream:
    """One machine, from blocks of its sound to scores and alerts.

    Blocks of any length give the same scores, bit for bit, as the whole recording at once, as
    ``auscult replay``, and as the daemon with the default ``[detector]``. A stream opens no files
    and no connections, and uses no clock and no threads. Use it in one thread at a time.
    ``sample_rate_hz``: of all blocks, 1000 to 768000. Raises ``UsageError`` for a rate that
    cannot be, and ``BundleError`` for a bundle without a threshold.

    >>> bundle = auscult.load_bundle("pump.bundle")
    >>> stream = auscult.Stream(bundle, sample_rate_hz=16_000)
    >>> alerts = []
    >>> for block in np.split(faulty_sound(), 20):  # float32, shape (n_samples,)
    ...     alerts += stream.push(block).alerts
    >>> alerts[0].kind
    'raised'
    >>> stream.state
    'anomaly'
    """

    def __init__(self, bundle: Bundle, sample_rate_hz: int) -> None:
        self._rate_hz = checked_rate_hz(sample_rate_hz)
        self._bundle = bundle
        self._pipeline = Pipeline(bundle)
        self._next_sample = 0

    @property
    def state(self) -> str:
        """``warming``, ``ok``, ``warning``, ``anomaly``, ``no_signal``, ``degraded`` or ``off``."""
        return str(self._pipeline.state.status)

    @property
    def state_detail(self) -> str:
        """Why the sound is not scored, in a line; empty without a fault of the sound."""
        return self._pipeline.state.detail

    def push(self, samples: Samples, *, lost: int = 0) -> StreamOutput:
        """Take the next block.

        ``samples``: float, shape ``(n_samples,)``, full scale +-1. ``lost``: how many samples were
        lost before this block; no score then contains sound from before and after. If you do not
        know how many, give 1. Sound that cannot be judged (silence, clipping, NaN) gives no score
        but a ``state``. Raises ``BadInputError`` for another shape or type, and ``UsageError`` for
        a ``lost`` that is no number of samples.
        """
        if not isinstance(lost, int | np.integer) or lost < 0:
            raise UsageError(f"lost: expected the number of lost samples, not {lost}")
        sound = block_samples(samples, _NAME)
        first = self._next_sample + int(lost)
        self._next_sample = first + len(sound)
        return self._output(
            self._pipeline.push(AudioBlock(sound, self._rate_hz, first, discontinuous=lost > 0))
        )

    def finish(self) -> StreamOutput:
        """End the sound: the last scores. A recording that is shorter than a span gives one."""
        return self._output(self._pipeline.finish())

    def _output(self, output: PipelineOutput) -> StreamOutput:
        bundle, threshold = self._bundle, self._pipeline.thresholds.alarm
        rate_hz = bundle.spec.sample_rate_hz
        return StreamOutput(
            tuple(span_of(bundle, one, threshold) for one in output.scores),
            tuple(
                change_of(
                    alert_draft(one, bundle, _NAME, lambda s: s, replayed=True),
                    one.at_sample / rate_hz,
                )
                for one in output.decisions
            ),
        )
