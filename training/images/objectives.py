"""Pairs of an output function and a loss.

Data in 0..1 has a sigmoid and binary cross-entropy. Data standardised to mean 0 and standard
deviation 1 has a linear output and the squared error. Other pairs are not offered: with a squared
error a saturated sigmoid has almost no gradient, and the output of a rectifier is skewed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from training.images.autoencoder import Output

LossName = Literal["bce", "mse"]


@dataclass(frozen=True, slots=True)
class Objective:
    """The network's input for images in 0..1, and the loss of its raw output.

    ``mean`` and standard ``deviation`` are those of the training pixels, for ``mse`` only.
    """

    loss_name: LossName
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def output(self) -> Output:
        """The output function that belongs to the loss."""
        return "sigmoid" if self.loss_name == "bce" else "linear"

    def prepare(self, images: Tensor) -> Tensor:
        """Map images in 0..1 to the network's input."""
        return images if self.loss_name == "bce" else (images - self.mean) / self.deviation

    def restore(self, raw: Tensor) -> Tensor:
        """Map a raw output to an image in 0..1."""
        if self.loss_name == "bce":
            return torch.sigmoid(raw)
        return (raw * self.deviation + self.mean).clamp(0.0, 1.0)

    def losses(self, raw: Tensor, images: Tensor) -> Tensor:
        """Return the loss of each raw output ``(n, ...)`` for its image in 0..1, shape ``(n,)``.

        Summed over the image's elements.
        """
        if self.loss_name == "bce":
            each = functional.binary_cross_entropy_with_logits(raw, images, reduction="none")
        else:
            each = functional.mse_loss(raw, self.prepare(images), reduction="none")
        return each.flatten(1).sum(dim=1)


def fit_objective(loss_name: LossName, images: Tensor) -> Objective:
    """Return the objective ``loss_name`` with the statistics of training ``images`` in 0..1."""
    if loss_name == "bce":
        return Objective("bce")
    return Objective("mse", float(images.mean()), max(float(images.std()), 1e-6))
