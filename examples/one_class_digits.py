"""Train on twos and threes only, and detect every other digit.

    python examples/one_class_digits.py [DATA [OUT [EPOCHS]]]

DATA is a folder with MNIST's IDX files. Without it, or with "-", they are downloaded.
"""

import sys
from pathlib import Path

import numpy as np

from training.images.anomaly_training import train_anomaly_scorer
from training.images.datasets import load_dataset
from training.images.defaults import default_settings
from training.metrics import roc_auc

arguments = dict(enumerate(sys.argv[1:]))
folder = None if arguments.get(0, "-") == "-" else Path(arguments[0])
out = Path(arguments.get(1, "runs/twos-and-threes"))
epochs = int(arguments[2]) if 2 in arguments else None

digits = load_dataset("mnist", folder)
normal = digits.train.take(np.isin(digits.train.labels, [2, 3]))
settings = default_settings("oneclass", normal.shape, len(normal), epochs=epochs)
out.mkdir(parents=True, exist_ok=True)
scorer, history = train_anomaly_scorer(normal, settings, folder=out)

test = digits.test
scores = scorer.score(test.scaled())
unlike = ~np.isin(test.labels, [2, 3])
print(f"ROC AUC by squared error  {roc_auc(unlike, scores.error):.3f}")
print(f"ROC AUC by the full score {roc_auc(unlike, scores.combined):.3f}")
for digit in np.unique(test.labels):
    mean = scores.error[test.labels == digit].mean()
    print(f"{digit}: squared error {mean:6.1f}, summed over the image's pixels")
