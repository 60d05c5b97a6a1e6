"""Train a bundle on arrays, and measure how well it separates normal from anomalous sound.

    python train_and_evaluate.py HEALTHY NORMAL ANOMALOUS OUT

HEALTHY, NORMAL and ANOMALOUS are folders with WAV files of one sample rate. The normal recordings
must not be among the healthy ones that the bundle is trained on.
"""

import sys
from pathlib import Path

import numpy as np
import soundfile

import auscult

healthy, normal, anomalous, out = map(Path, sys.argv[1:5])
arrays: list[np.ndarray] = []
for path in sorted(healthy.glob("*.wav")):
    channels, sample_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    arrays.append(channels.mean(axis=1))  # shape (n_samples,), full scale +-1

bundle = auscult.train(arrays, out, sample_rate_hz, false_alarms_per_week=1.0)
result = auscult.evaluate(bundle, [normal], [anomalous])

for name, figure in (("AUC", result.auc), ("pAUC", result.pauc), ("recall", result.recall)):
    low, high = figure.interval or (float("nan"), float("nan"))
    print(f"{name:<6} {figure.value:.3f}  (95 %: {low:.3f} to {high:.3f})")
for one in result.recordings:
    print(f"{one.label:<9} {one.summary.score:8.2f}  {one.summary.file}")
