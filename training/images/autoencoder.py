"""The base class of image autoencoders: specification, encoder, decoder, checks of shapes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from monitor.errors import UsageError
from training.layers import require_bottleneck

Architecture = Literal["dense", "convolutional", "spatial", "recurrent", "variational"]
Output = Literal["sigmoid", "linear"]
Cell = Literal["gru", "lstm"]


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """The network to build. It is stored as JSON with the weights.

    ``input_shape`` is (channels, height, width); ``width`` scales every hidden layer; ``cell`` is
    the recurrent unit. ``output`` depends on the loss: ``sigmoid`` for binary cross-entropy of
    values in 0..1, ``linear`` for the squared error of standardised values. Raises UsageError for
    a value that is not allowed, such as a code that is not smaller than the image.
    """

    architecture: Architecture
    input_shape: tuple[int, int, int]
    latent_dim: int
    output: Output = "sigmoid"
    width: float = 1.0
    cell: Cell = "gru"

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        if self.architecture not in get_args(Architecture):
            raise UsageError(
                f"architecture {self.architecture!r}; one of {', '.join(get_args(Architecture))}"
            )
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise UsageError(f"image shape {self.input_shape}; (channels, height, width) is needed")
        if self.output not in get_args(Output):
            raise UsageError(
                f"output {self.output!r}; one of sigmoid (for data in 0..1 and binary "
                "cross-entropy), linear (for standardised data and squared error)"
            )
        if self.cell not in get_args(Cell):
            raise UsageError(f"cell {self.cell!r}; one of {', '.join(get_args(Cell))}")
        require_bottleneck(self.latent_dim, self.input_dim)

    @property
    def input_dim(self) -> int:
        """The number of elements of an image."""
        channels, height, width = self.input_shape
        return channels * height * width

    def hidden(self, n_units: int) -> int:
        """Scale a hidden layer's size by ``width``."""
        return max(1, round(n_units * self.width))


class Autoencoder(nn.Module, ABC):
    """Maps an image to a code and back.

    ``decode`` applies the output function ``spec.output``. ``decode_raw`` does not: a numerically
    stable cross-entropy needs the values before the sigmoid.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Map images ``(n, c, h, w)`` to codes ``(n, latent_dim)``."""

    @abstractmethod
    def decode_raw(self, z: Tensor) -> Tensor:
        """Map codes ``(n, latent_dim)`` to images before the output function."""

    def decode(self, z: Tensor) -> Tensor:
        """Map codes ``(n, latent_dim)`` to images ``(n, c, h, w)``."""
        raw = self.decode_raw(z)
        return torch.sigmoid(raw) if self.spec.output == "sigmoid" else raw

    def reconstruct_raw(self, x: Tensor) -> Tensor:
        """Encode and decode without the output function, checking both shapes."""
        if tuple(x.shape[1:]) != self.spec.input_shape:
            raise UsageError(
                f"image of shape {tuple(x.shape[1:])}; this network needs {self.spec.input_shape}"
            )
        raw = self.decode_raw(self.encode(x))
        if raw.shape != x.shape:
            raise RuntimeError(f"output {tuple(raw.shape)} is not input {tuple(x.shape)}")
        return raw

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct ``(n, c, h, w)``."""
        raw = self.reconstruct_raw(x)
        return torch.sigmoid(raw) if self.spec.output == "sigmoid" else raw
