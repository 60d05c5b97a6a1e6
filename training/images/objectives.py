"""An output function and its loss, chosen as one.

Data in 0..1 goes with a sigmoid and binary cross-entropy, real-valued data standardised to mean 0
and deviation 1 with a linear output and the squared error. The other pairings are not offered: a
squared error flattens where a sigmoid saturates, and a rectifier is skewed where the data is not.
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
    """How images in 0..1 become a network's input, and what its raw output is trained on.

    ``mean`` and ``deviation`` are those of the training pixels, used by ``mse`` only.
    """

    loss_name: LossName
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def output(self) -> Output:
        """The output function that belongs to the loss."""
        return "sigmoid" if self.loss_name == "bce" else "linear"

    def prepare(self, images: Tensor) -> Tensor:
        """Map images in 0..1 to what the network takes."""
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
