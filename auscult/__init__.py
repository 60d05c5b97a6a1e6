"""Auscult as a library: score the sound of a machine, and train on healthy sound.

Everything is loaded from this package: ``import auscult``. Sound is given as a file, or as an array
of samples: float, shape ``(n_samples,)``, one channel, full scale +-1, with its ``sample_rate_hz``.
Positions are seconds since the sound began. A mistake of the caller raises an ``AuscultError`` that
names the file or the value, and what would be right.
"""

import monitor  # noqa: F401 - turns telemetry off before ONNX Runtime is imported
from auscult.evaluating import evaluate
from auscult.scoring import AlertChange, ScoredRecording, ScoredSpan, load_bundle, replay, score
from auscult.sound import File, Samples, Sound
from auscult.streaming import Stream, StreamOutput
from auscult.training import train
from monitor.errors import (
    AuscultError,
    BadInputError,
    BundleError,
    ConfigError,
    MissingInputError,
    ServiceUnavailableError,
    UsageError,
)
from monitor.model.bundle import Bundle
from monitor.offline.evaluate import CurvePoint, Evaluation, Figure

__all__ = [  # noqa: RUF022 - the order of docs/api.md
    "File",
    "Samples",
    "Sound",
    "load_bundle",
    "score",
    "replay",
    "Stream",
    "train",
    "evaluate",
    "Bundle",
    "ScoredRecording",
    "ScoredSpan",
    "AlertChange",
    "StreamOutput",
    "Evaluation",
    "Figure",
    "CurvePoint",
    "AuscultError",
    "UsageError",
    "BadInputError",
    "MissingInputError",
    "ServiceUnavailableError",
    "ConfigError",
    "BundleError",
]
