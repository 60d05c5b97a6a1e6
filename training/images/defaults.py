"""The default settings of each image command.

They were chosen on validation splits of the training images, for two processor cores and 28 x 28
images, and are adapted to other sizes and to small sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from training.images.autoencoder import Architecture
from training.images.train import ImageSettings
from training.layers import halvings

Case = Literal["reconstruction", "supervised", "projection", "oneclass"]

_MIN_STEPS = 400
_MAX_DENSE_INPUT = 2048


@dataclass(frozen=True, slots=True)
class _Default:
    architecture: Architecture
    latent_dim: int
    epochs: int
    batch_size: int = 128
    learning_rate: float = 4e-3
    width: float = 1.0
    mirrored: bool = False


_DEFAULTS: dict[Case, _Default] = {
    "reconstruction": _Default("convolutional", 32, epochs=8),
    "supervised": _Default("spatial", 588, epochs=10, width=4 / 3, mirrored=True),
    "projection": _Default("convolutional", 64, epochs=8),
    "oneclass": _Default("dense", 16, epochs=25, batch_size=256, learning_rate=2e-3, width=0.5),
}


def default_settings(
    case: Case, shape: tuple[int, int, int], n_images: int, **chosen: Any
) -> ImageSettings:
    """Return the settings of ``case`` for ``n_images`` training images of (c, h, w) ``shape``.

    ``chosen`` are fields of ``ImageSettings``; a field that is None gets its default. A small set
    has more epochs, so that training takes at least 400 steps.
    """
    default = _DEFAULTS[case]
    given = {key: value for key, value in chosen.items() if value is not None}
    architecture = given.get("architecture", _architecture(default, shape, given.get("latent_dim")))
    steps_an_epoch = max(1, n_images // default.batch_size)
    values = {
        "architecture": architecture,
        "latent_dim": _latent_dim(default, architecture, shape),
        "epochs": max(default.epochs, math.ceil(_MIN_STEPS / steps_an_epoch)),
        "batch_size": default.batch_size,
        "learning_rate": default.learning_rate,
        "mirrored": default.mirrored,
        "width": default.width if architecture == default.architecture else 1.0,
    }
    return ImageSettings(**{**values, **given})


def _architecture(
    default: _Default, shape: tuple[int, int, int], latent_dim: int | None
) -> Architecture:
    """Return the default architecture, or ``convolutional`` where the default is not possible.

    A dense network is too large for large images, and a spatial code needs a ``latent_dim`` that is
    a multiple of the cells of its grid.
    """
    is_large = default.architecture == "dense" and math.prod(shape) > _MAX_DENSE_INPUT
    is_uneven = (
        default.architecture == "spatial"
        and latent_dim is not None
        and latent_dim % math.prod(halvings(*shape[1:])[-1]) != 0
    )
    return "convolutional" if is_large or is_uneven else default.architecture


def _latent_dim(default: _Default, architecture: Architecture, shape: tuple[int, int, int]) -> int:
    """Return the bottleneck: at most a quarter of the image, three quarters with a spatial code."""
    input_dim = math.prod(shape)
    if architecture == "spatial":
        n_cells = math.prod(halvings(*shape[1:])[-1])
        return n_cells * max(1, (3 * input_dim) // (4 * n_cells))
    flat = default.latent_dim if default.architecture != "spatial" else 64
    return max(1, min(flat, input_dim // 4))
