"""Reconstruct MNIST's digits through 32 numbers, and compare with PCA of the same size.

    python examples/reconstruct_digits.py [DATA [OUT [EPOCHS]]]

DATA is a folder with MNIST's IDX files. Without it, or with "-", they are downloaded.
"""

import sys
from pathlib import Path

from training.images.datasets import load_dataset
from training.images.defaults import default_settings
from training.images.reconstruction import reconstruct

arguments = dict(enumerate(sys.argv[1:]))
folder = None if arguments.get(0, "-") == "-" else Path(arguments[0])
out = Path(arguments.get(1, "runs/digits"))
epochs = int(arguments[2]) if 2 in arguments else None

digits = load_dataset("mnist", folder)
settings = default_settings("reconstruction", digits.train.shape, len(digits.train), epochs=epochs)
result = reconstruct(digits, settings, out, with_density=True)

print(result.table())
codes = result.model.encode(digits.test.scaled()[:5])  # (5, 32)
images = result.model.decode(codes)  # (5, 1, 28, 28), in 0..1
print(f"five digits as codes {codes.shape} and back {images.shape}; figures are in {out}")
