"""What a network learns of images that it is only asked how they have been turned.

Shown normal images turned and mirrored at random, it learns to tell which way (Golan & El-Yaniv
2018). To do that it has to know what a normal image is made of, and of an image that is made of
something else it can say less: a second look at an image, beside an autoencoder's, that does not
care how well the image can be drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from training.checkpoint import module_tensors
from training.images.batches import TensorBatches
from training.images.train import ImageSettings, fingerprint, reduced_precision
from training.layers import downsampling, halvings
from training.loop import FitResult, LoopSettings, fit, resolve_device, seed_everything
from training.progress import training_listeners

FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
TURNS_CHECKPOINT_NAME = "turns-checkpoint.safetensors"
N_FEATURES = 64
_BATCH = 1000
_MAX_VALIDATED = 500
_BATCH_SIZE = 128
_LEARNING_RATE = 4e-3
_NOISE = 0.05
_SMALLEST_SIDE = 4
_FEWEST_NATS = 0.01


@dataclass(frozen=True, slots=True)
class Turn:
    """Quarter turns to the left, after mirroring or not."""

    quarters: int
    mirrored: bool

    def apply(self, images: Tensor) -> Tensor:
        """Turn images ``(n, c, h, w)``."""
        seen = images.flip(3) if self.mirrored else images
        return torch.rot90(seen, self.quarters, (2, 3))


def turns_of(height: int, width: int) -> tuple[Turn, ...]:
    """Return the turns that keep an image's shape: eight of a square, four of another rectangle."""
    quarters = (0, 1, 2, 3) if height == width else (0, 2)
    return tuple(Turn(q, mirrored) for mirrored in (False, True) for q in quarters)


class TurnNetwork(nn.Module):
    """Strided convolutions to a few cells, a layer of features, and a logit for each turn."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        self.turns = turns_of(height, width)
        sizes = halvings(height, width, _SMALLEST_SIDE)
        widths = [channels, *(min(32 * 2**i, 64) for i in range(len(sizes) - 1))]
        layers = downsampling(widths)
        n_cells = sizes[-1][0] * sizes[-1][1]
        layers += [nn.Flatten(), nn.Linear(widths[-1] * n_cells, N_FEATURES)]
        self.body = nn.Sequential(*layers, nn.BatchNorm1d(N_FEATURES), nn.ReLU())
        self.head = nn.Linear(N_FEATURES, len(self.turns))

    def forward(self, x: Tensor) -> Tensor:
        """Return a logit for each turn ``(n, n_turns)`` of images ``(n, c, h, w)``."""
        return self.head(self.body(x))  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def surprise(self, x: Tensor) -> Tensor:
        """Return the cross-entropy ``(n,)`` in nats, summed over all turns of each image."""
        total = x.new_zeros(len(x))
        for i, turn in enumerate(self.turns):
            total -= functional.log_softmax(self(turn.apply(x)).float(), dim=1)[:, i]
        return total


@dataclass(frozen=True, slots=True)
class TurnModel:
    """A trained network; images are float32 ``(n, c, h, w)`` in 0..1."""

    network: TurnNetwork

    def features(self, images: FloatArray) -> FloatArray:
        """Return the features ``(n, N_FEATURES)`` of images as they are."""
        return self._map(self.network.body, images)

    def log_surprise(self, images: FloatArray) -> DoubleArray:
        """Return the logarithm ``(n,)`` of how badly the turns of an image were told apart."""
        nats = self._map(self.network.surprise, images).astype(np.float64)
        return np.asarray(np.log(nats + _FEWEST_NATS))

    def save(self, path: Path) -> None:
        """Write the weights to a safetensors file."""
        save_file({k: t.contiguous() for k, t in module_tensors(self.network).items()}, path)

    def _map(self, function: Callable[[Tensor], Tensor], x: FloatArray) -> FloatArray:
        device = next(self.network.parameters()).device
        self.network.eval()
        with torch.no_grad():
            parts = [
                function(torch.from_numpy(x[i : i + _BATCH]).to(device)).float().cpu()
                for i in range(0, len(x), _BATCH)
            ]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def fit_turns(
    train: FloatArray,
    held_out: FloatArray,
    settings: ImageSettings,
    *,
    folder: Path | None = None,
    keep_checkpoint: bool = False,
    description: str = "turns",
) -> tuple[TurnModel, FitResult]:
    """Train on images ``(n, c, h, w)`` in 0..1; ``held_out`` chooses the epoch.

    Of ``settings`` the seed, the device and a third of the epochs are taken. ``folder`` and
    ``keep_checkpoint`` are those of ``train_image_model``.
    """
    seed_everything(settings.seed, 8)
    device = resolve_device(settings.device)
    x = torch.from_numpy(train).to(device)
    v = torch.from_numpy(held_out[:_MAX_VALIDATED]).to(device)
    shape = (int(x.shape[1]), int(x.shape[2]), int(x.shape[3]))
    network = TurnNetwork(shape).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub leaves this form out

    def loss(_: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        return _loss(network, batch[0])

    def validate(_: nn.Module) -> float:
        return float(network.surprise(v).mean())

    epochs = math.ceil(settings.epochs / 3)
    identity = {"images": fingerprint(train, held_out), "turns": [asdict(t) for t in network.turns]}
    with training_listeners(description) as listeners:
        result = fit(
            network,
            TensorBatches(x, batch_size=_BATCH_SIZE, seed=settings.seed),
            loss,
            LoopSettings(epochs, _LEARNING_RATE, seed=settings.seed),
            validate=validate,
            checkpoint=None if folder is None else folder / TURNS_CHECKPOINT_NAME,
            keep_checkpoint=keep_checkpoint,
            identity=identity,
            listeners=listeners,
        )
    return TurnModel(network), result


def _loss(network: TurnNetwork, images: Tensor) -> Tensor:
    """Return the cross-entropy of images that are turned at random and a little noisy."""
    chosen = torch.randint(len(network.turns), (len(images),), device=images.device)
    turned = images.clone()
    for i, turn in enumerate(network.turns):
        turned[chosen == i] = turn.apply(images[chosen == i])
    noisy = turned + _NOISE * torch.randn_like(turned)
    with reduced_precision(images.device):
        logits = network(noisy)
    return functional.cross_entropy(logits.float(), chosen)
