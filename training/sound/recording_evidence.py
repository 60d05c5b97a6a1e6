"""Recording evidence: the outputs of the graph for a recording, from which statistics are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from monitor.calibration.threshold import HealthyRecording
from monitor.domain import FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.head import Head, distances_of, larger_distance
from monitor.model.recording_score import BLOCK_S, RecordingScore, block_edges
from training.sound.encoder_file import Encoding
from training.sound.evidence_graph import EvidenceGraph
from training.sound.recordings import Recording

_BATCH = 128
_ROWS_A_BLOCK = 4


@dataclass(frozen=True, slots=True)
class RecordingEvidence:
    """The outputs of the graph for the ``n`` windows of one recording.

    ``evidence``: ``(n, d)``; ``loss`` and ``level_db``: ``(n,)``. ``rows``: ``(n_rows, d)``, the
    evidence averaged over blocks of about ten seconds, from which covariances are estimated.
    The blocks of a recording longer than one block overlap, which lowers the variance of the
    estimate (Welch 1967).
    """

    name: str
    seconds: float
    evidence: FloatArray = field(repr=False)
    loss: FloatArray = field(repr=False)
    level_db: FloatArray = field(repr=False)
    rows: npt.NDArray[np.float64] = field(repr=False)

    @classmethod
    def of(
        cls,
        recording: Recording,
        spec: LogMelSpec,
        *,
        evidence: FloatArray,
        loss: FloatArray,
        level_db: FloatArray,
    ) -> RecordingEvidence:
        """The outputs for a recording, with their blocks. Shape: ``(n, d)``, ``(n,)``, ``(n,)``."""
        rows = _rows(evidence, spec)
        return cls(recording.name, recording.seconds(spec), evidence, loss, level_db, rows)

    def spans(self, span_windows: int, step: int = 1) -> npt.NDArray[np.float64]:
        """Evidence averaged over a sliding span, or over all windows if these are fewer.

        Shape: ``(n_spans, d)``, a span every ``step`` windows.
        """
        return _sliding_mean(self.evidence, span_windows)[::step]


def evidence_of(
    graph: EvidenceGraph, recording: Recording, spec: LogMelSpec, device: torch.device
) -> RecordingEvidence:
    """Run one recording through the graph, as the run time does."""
    windows_db = recording.windows(spec)
    evidence, loss, level_db = [], [], []
    with torch.no_grad():
        for start in range(0, len(windows_db), _BATCH):
            batch = torch.from_numpy(windows_db[start : start + _BATCH, None]).to(device)
            output = graph(batch)
            evidence.append(output.evidence.cpu().numpy())
            loss.append(output.loss.cpu().numpy())
            level_db.append(output.level_db.cpu().numpy())
    found = RecordingEvidence.of(
        recording,
        spec,
        evidence=np.concatenate(evidence),
        loss=np.concatenate(loss),
        level_db=np.concatenate(level_db),
    )
    return found if graph.encoding is None else encoded(found, recording, spec, graph.encoding)


def encoded(
    own: RecordingEvidence, recording: Recording, spec: LogMelSpec, encoding: Encoding
) -> RecordingEvidence:
    """The evidence of the graph for a recording, with the vectors of the encoder."""
    evidence = encoding.evidence(
        own.evidence, recording.windows(spec), own.level_db, recording.window_samples(spec)
    )
    return RecordingEvidence.of(
        recording, spec, evidence=evidence, loss=own.loss, level_db=own.level_db
    )


def _rows(evidence: FloatArray, spec: LogMelSpec) -> npt.NDArray[np.float64]:
    per_block = spec.windows_in(BLOCK_S)
    if len(evidence) > per_block:
        return _sliding_mean(evidence, per_block)[:: max(1, per_block // _ROWS_A_BLOCK)]
    edges = block_edges(len(evidence), spec)
    return np.stack([evidence[a:b].mean(axis=0, dtype=np.float64) for a, b in pairwise(edges)])


def score_evidence(
    recording: RecordingEvidence, spec: LogMelSpec, span_windows: int, head: Head
) -> HealthyRecording:
    """The scores that the run time gives for this evidence."""
    whole = RecordingScore(spec, head)
    whole.extend(recording.evidence, recording.loss)
    if head.is_distance:
        distance, local = distances_of(recording.spans(span_windows), head)
        scores = larger_distance(distance, local, head)
    else:
        scores = _sliding_mean(recording.loss[:, None], span_windows)[:, 0]
    levels_db = _sliding_mean(recording.level_db[:, None], span_windows)[:, 0]
    return HealthyRecording(scores, levels_db, recording.seconds, whole.value, whole.stretches)


def all_rows(recordings: Sequence[RecordingEvidence]) -> npt.NDArray[np.float64]:
    """The block rows of several recordings. Shape: ``(n, d)``."""
    return np.concatenate([recording.rows for recording in recordings])


def _sliding_mean(values: FloatArray, length: int) -> npt.NDArray[np.float64]:
    """Means over ``length`` rows, or over all rows if these are fewer. Shape: ``(n, d)``."""
    length = min(length, len(values))
    sums = np.concatenate((np.zeros((1, values.shape[1])), np.cumsum(values, 0, dtype=np.float64)))
    means: npt.NDArray[np.float64] = (sums[length:] - sums[:-length]) / length
    return means
