"""Autoencoders for images: dense, convolutional, spatial, recurrent, variational.

Each maps ``(n, channels, height, width)`` to a code ``(n, latent_dim)``, which is smaller than the
image, and back.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monitor.errors import UsageError
from training.images.autoencoder import Architecture, Autoencoder, NetworkSpec
from training.layers import (
    ResidualBlock,
    convolution,
    doubling,
    doubling_end,
    downsampling,
    halving_stem,
    halvings,
    perceptron,
    require_bottleneck,
    upsampling,
)

__all__ = ["Architecture", "Autoencoder", "NetworkSpec", "build_network", "require_bottleneck"]


class DenseAutoencoder(Autoencoder):
    """Two hidden layers on either side of the code."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__(spec)
        sizes = [spec.input_dim, spec.hidden(1024), spec.hidden(512), spec.latent_dim]
        self.encoder = perceptron(sizes)
        self.decoder = perceptron(sizes[::-1])

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(1))  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def decode_raw(self, z: Tensor) -> Tensor:
        return self.decoder(z).reshape(-1, *self.spec.input_shape)  # type: ignore[no-any-return]  # as above


class ConvolutionalAutoencoder(Autoencoder):
    """Strided convolutions to a small grid, and one linear layer to the code."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__(spec)
        channels, height, width = spec.input_shape
        sizes = halvings(height, width)
        widths = [channels, *(spec.hidden(min(32 * 2**i, 128)) for i in range(len(sizes) - 1))]
        grid = (widths[-1], *sizes[-1])
        self.n_features = n_features = widths[-1] * sizes[-1][0] * sizes[-1][1]
        self.encoder = nn.Sequential(
            *downsampling(widths), nn.Flatten(), nn.Linear(n_features, spec.latent_dim)
        )
        self.decoder = nn.Sequential(
            nn.Linear(spec.latent_dim, n_features),
            nn.BatchNorm1d(n_features),
            nn.ReLU(),
            nn.Unflatten(1, grid),
            *upsampling(widths[::-1], sizes[::-1]),
        )

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x)  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def decode_raw(self, z: Tensor) -> Tensor:
        return self.decoder(z)  # type: ignore[no-any-return]  # as above


class SpatialAutoencoder(Autoencoder):
    """A convolutional network whose code is a small grid with many channels.

    Each part of the code belongs to a place in the image, so a large code (still smaller than the
    image) is quick to train. This is the network for denoising. ``latent_dim`` is a multiple of the
    number of cells of the grid.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__(spec)
        channels, height, width = spec.input_shape
        sizes = halvings(height, width)
        self.grid = sizes[-1]
        n_cells = self.grid[0] * self.grid[1]
        if spec.latent_dim % n_cells:
            raise UsageError(
                f"latent dimension {spec.latent_dim} does not fit a grid of {self.grid[0]} x "
                f"{self.grid[1]} cells; choose a multiple of {n_cells} below {spec.input_dim}"
            )
        n_latent = spec.latent_dim // n_cells
        widths = [spec.hidden(min(24 * 2**i, 96)) for i in range(len(sizes) - 1)]
        encoder, decoder = (
            halving_stem(channels, widths[0], sizes[0]),
            convolution(n_latent, widths[-1]),
        )
        for i, width_here in enumerate(widths):
            n_blocks = 2 if i == len(widths) - 1 else 1
            if i > 0:
                encoder += convolution(widths[i - 1], width_here, stride=2)
            encoder += [ResidualBlock(width_here) for _ in range(n_blocks)]
        for i in range(len(widths) - 1, -1, -1):
            n_blocks = 2 if i == len(widths) - 1 else 1
            decoder += [ResidualBlock(widths[i]) for _ in range(n_blocks)]
            if i > 0:
                decoder += doubling(widths[i], widths[i - 1], sizes[i])
        decoder += doubling_end(widths[0], channels, sizes[0])
        self.encoder = nn.Sequential(*encoder, nn.Conv2d(widths[-1], n_latent, 1))
        self.decoder = nn.Sequential(*decoder)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x).flatten(1)  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def decode_raw(self, z: Tensor) -> Tensor:
        return self.decoder(z.reshape(len(z), -1, *self.grid))  # type: ignore[no-any-return]  # as above


class RecurrentAutoencoder(Autoencoder):
    """A GRU or LSTM that reads the rows of an image as a sequence, in both directions.

    The decoder receives the code at every row.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__(spec)
        channels, self.n_rows, width = spec.input_shape
        unit = nn.GRU if spec.cell == "gru" else nn.LSTM
        n_hidden, n_features = spec.hidden(160), channels * width
        self.reader = unit(n_features, n_hidden, batch_first=True, bidirectional=True)
        self.to_code = nn.Linear(4 * n_hidden, spec.latent_dim)
        self.from_code = nn.Sequential(nn.Linear(spec.latent_dim, 2 * n_hidden), nn.ReLU())
        self.writer = unit(2 * n_hidden, n_hidden, batch_first=True, bidirectional=True)
        self.to_row = nn.Linear(2 * n_hidden, n_features)

    def encode(self, x: Tensor) -> Tensor:
        states, _ = self.reader(x.transpose(1, 2).flatten(2))
        ends = torch.cat([states[:, -1], states[:, 0]], dim=1)
        return self.to_code(ends)  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def decode_raw(self, z: Tensor) -> Tensor:
        channels, _, width = self.spec.input_shape
        every_row = self.from_code(z)[:, None].expand(-1, self.n_rows, -1)
        states, _ = self.writer(every_row)
        return self.to_row(states).reshape(len(z), self.n_rows, channels, width).transpose(1, 2)  # type: ignore[no-any-return]  # as above


class VariationalAutoencoder(ConvolutionalAutoencoder):
    """An encoder that gives a normal distribution of codes (Kingma & Welling 2014).

    ``encode`` returns its mean. The prior of the codes is standard normal.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__(spec)
        self.log_variance = nn.Linear(self.n_features, spec.latent_dim)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance ``(n, latent_dim)`` of the codes of ``x``."""
        features = self.encoder[:-1](x)
        return self.encoder[-1](features), self.log_variance(features).clamp(-12.0, 6.0)


_CLASSES: dict[Architecture, type[Autoencoder]] = {
    "dense": DenseAutoencoder,
    "convolutional": ConvolutionalAutoencoder,
    "spatial": SpatialAutoencoder,
    "recurrent": RecurrentAutoencoder,
    "variational": VariationalAutoencoder,
}


def build_network(spec: NetworkSpec) -> Autoencoder:
    """Return a new network with random weights from torch's global generator."""
    return _CLASSES[spec.architecture](spec)
