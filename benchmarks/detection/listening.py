"""A recording after the network of a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monitor.model.bundle import Bundle
from monitor.model.network import Network
from training.sound.recording_evidence import RecordingEvidence
from training.sound.recordings import read_recording


def listen(path: Path, bundle: Bundle, network: Network, gain_db: float = 0.0) -> RecordingEvidence:
    """What the bundle hears of a recording that is ``gain_db`` louder than it is."""
    recording = read_recording(path, bundle.spec)
    output = network.run(recording.windows(bundle.spec) + np.float32(gain_db))
    return RecordingEvidence.of(
        recording,
        bundle.spec,
        evidence=output.evidence,
        loss=output.loss,
        level_db=output.level_db,
    )
