"""Denoise Fashion-MNIST, with training on noisy and clean pairs, or on clean images only.

    python examples/denoise_fashion.py [DATA [OUT [EPOCHS]]]

DATA is a folder with Fashion-MNIST's IDX files. Without it, or with "-", they are downloaded.
"""

import sys
from pathlib import Path
from typing import get_args

from training.images.datasets import load_dataset
from training.images.defaults import default_settings
from training.images.denoising import Method, denoise

SIGMA = 0.2

arguments = dict(enumerate(sys.argv[1:]))
folder = None if arguments.get(0, "-") == "-" else Path(arguments[0])
out = Path(arguments.get(1, "runs/denoise"))
epochs = int(arguments[2]) if 2 in arguments else None

clothes = load_dataset("fashion-mnist", folder)
for method in get_args(Method):
    settings = default_settings(method, clothes.train.shape, len(clothes.train), epochs=epochs)
    result = denoise(clothes, SIGMA, method, settings, out / method)
    print(f"{method}\n{result.table()}\n")
