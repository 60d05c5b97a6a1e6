"""Noise for tests, its levels, and what a pipeline makes of sound that arrives in pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from monitor.domain import AudioBlock, CaptureChain, FloatArray
from monitor.features.log_mel import log_mel_windows
from monitor.pipeline import Pipeline, PipelineOutput
from tests.bundles import SPEC


def noise(n_samples: int, seed: int = 0) -> FloatArray:
    """Normal values with a standard deviation of 0.1."""
    return np.random.default_rng(seed).normal(0, 0.1, n_samples).astype(np.float32)


def levels(samples: FloatArray) -> FloatArray:
    """The mean level of each band of each window. Shape: ``(n_windows, n_mels)``."""
    return np.asarray(log_mel_windows(samples, SPEC).mean(axis=2))


def output_of(
    pipeline: Pipeline,
    samples: FloatArray,
    cuts: list[int],
    rate_hz: int = SPEC.sample_rate_hz,
    chain: CaptureChain | None = None,
) -> PipelineOutput:
    """The whole output for samples that arrive in pieces, including the end."""
    total = PipelineOutput()
    outputs = [
        pipeline.push(AudioBlock(samples[first:end], rate_hz, first, chain=chain))
        for first, end in pairwise([0, *sorted(cuts), len(samples)])
    ]
    for output in [*outputs, pipeline.finish()]:
        total.scores += output.scores
        total.decisions += output.decisions
        total.states += output.states
        total.operation += output.operation
    return total
