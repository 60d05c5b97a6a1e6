"""The evidence of a recording from the network of a bundle."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from monitor.features.spectra import WindowStream
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from training.sound.recording_evidence import RecordingEvidence
from training.sound.recordings import read_recording
from training.sound.section_sound import section_blocks


def evidence_of_file(
    path: Path, bundle: Bundle, network: Network, gain_db: float = 0.0
) -> RecordingEvidence:
    """The evidence of a recording after a change of its level by ``gain_db``."""
    recording = read_recording(path, bundle.spec)
    output = network.run(recording.windows(bundle.spec) + np.float32(gain_db))
    return RecordingEvidence.of(
        recording,
        bundle.spec,
        evidence=output.evidence,
        loss=output.loss,
        level_db=output.level_db,
    )


def peaks_of_file(path: Path, bundle: Bundle) -> tuple[float, ...]:
    """The scores of the peaks of a whole recording; empty where the bundle or file has none."""
    whole = bundle.recording_score()
    if bundle.peaks is None:
        return ()
    stream = WindowStream(bundle.spec, bundle.peaks.spec)
    no_evidence = np.zeros(bundle.head.centres.shape[1], np.float32)
    for _, block in section_blocks(path, bundle.spec, [(0, sys.maxsize)]):
        for window in stream.push(block):
            whole.push(no_evidence, 0.0, bundle.peaks.scores.above(window.spectra))
    return whole.peaks
