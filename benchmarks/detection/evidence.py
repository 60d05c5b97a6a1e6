"""The evidence of a recording from the network of a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monitor.model.bundle import Bundle
from monitor.model.network import Network
from training.sound.recording_evidence import RecordingEvidence
from training.sound.recordings import read_recording


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
