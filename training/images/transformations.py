"""A network that recognises how an image is rotated and mirrored (Golan & El-Yaniv 2018).

It is trained on normal images that are rotated and mirrored at random. To recognise the rotation,
it must learn what normal images contain. For other images it recognises the rotation less well, and
its features are unusual. Both are scores that do not depend on a reconstruction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from monitor.domain import DoubleArray, FloatArray
from training.checkpoint import module_tensors
from training.device import resolve_device, seed_everything
from training.history import FitResult
from training.images.batches import TensorBatches
from training.images.train import ImageSettings, fingerprint, reduced_precision
from training.layers import downsampling, halvings
from training.loop import LoopSettings, fit
from training.progress import training_progress

ROTATIONS_CHECKPOINT_NAME = "rotations-checkpoint.safetensors"
N_FEATURES = 64
_BATCH = 1000
_MAX_VALIDATED = 500
_BATCH_SIZE = 128
_LEARNING_RATE = 4e-3
_NOISE = 0.05
_SMALLEST_SIDE = 4
_FEWEST_NATS = 0.01


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation to the left by ``quarters`` of 90 degrees, of the image or its mirror image."""

    quarters: int
    mirrored: bool

    def apply(self, images: Tensor) -> Tensor:
        """Rotate images ``(n, c, h, w)``."""
        source = images.flip(3) if self.mirrored else images
        return torch.rot90(source, self.quarters, (2, 3))


def rotations_of(height: int, width: int) -> tuple[Rotation, ...]:
    """Return the rotations that keep the shape: eight of a square, four of other rectangles."""
    quarters = (0, 1, 2, 3) if height == width else (0, 2)
    return tuple(Rotation(q, mirrored) for mirrored in (False, True) for q in quarters)


class RotationNetwork(nn.Module):
    """Strided convolutions to a few cells, a layer of features, and a logit for each rotation."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = shape
        self.rotations = rotations_of(height, width)
        sizes = halvings(height, width, _SMALLEST_SIDE)
        widths = [channels, *(min(32 * 2**i, 64) for i in range(len(sizes) - 1))]
        layers = downsampling(widths)
        n_cells = sizes[-1][0] * sizes[-1][1]
        layers += [nn.Flatten(), nn.Linear(widths[-1] * n_cells, N_FEATURES)]
        self.body = nn.Sequential(*layers, nn.BatchNorm1d(N_FEATURES), nn.ReLU())
        self.head = nn.Linear(N_FEATURES, len(self.rotations))

    def forward(self, x: Tensor) -> Tensor:
        """Return a logit for each rotation, ``(n, n_rotations)``, of images ``(n, c, h, w)``."""
        return self.head(self.body(x))  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def cross_entropy_nats(self, x: Tensor) -> Tensor:
        """Return the cross-entropy ``(n,)`` in nats, summed over all rotations of each image."""
        total = x.new_zeros(len(x))
        for i, rotation in enumerate(self.rotations):
            total -= functional.log_softmax(self(rotation.apply(x)).float(), dim=1)[:, i]
        return total


@dataclass(frozen=True, slots=True)
class RotationModel:
    """A trained network; images are float32 ``(n, c, h, w)`` in 0..1."""

    network: RotationNetwork

    def features(self, images: FloatArray) -> FloatArray:
        """Return the features ``(n, N_FEATURES)`` of images without rotation."""
        return self._map(self.network.body, images)

    def log_cross_entropy(self, images: FloatArray) -> DoubleArray:
        """Return the logarithm ``(n,)`` of the cross-entropy of all rotations of an image."""
        nats = self._map(self.network.cross_entropy_nats, images).astype(np.float64)
        return np.asarray(np.log(nats + _FEWEST_NATS))

    def save(self, path: Path) -> None:
        """Write the weights to a safetensors file."""
        weights = {k: t.contiguous() for k, t in module_tensors(self.network).items()}
        path.write_bytes(save(weights))  # save_file lets nobody else read the file

    def _map(self, function: Callable[[Tensor], Tensor], x: FloatArray) -> FloatArray:
        device = next(self.network.parameters()).device
        self.network.eval()
        with torch.no_grad():
            parts = [
                function(torch.from_numpy(x[i : i + _BATCH]).to(device)).float().cpu()
                for i in range(0, len(x), _BATCH)
            ]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def train_rotations(
    train: FloatArray,
    held_out: FloatArray,
    settings: ImageSettings,
    *,
    folder: Path | None = None,
    keep_checkpoint: bool = False,
    description: str = "rotations",
) -> tuple[RotationModel, FitResult]:
    """Train on images ``(n, c, h, w)`` in 0..1; ``held_out`` chooses the epoch.

    ``settings`` gives the seed, the device and the epochs, of which a third is used. ``folder`` and
    ``keep_checkpoint`` are as in ``train_image_model``.
    """
    seed_everything(settings.seed, 8)
    device = resolve_device(settings.device)
    x = torch.from_numpy(train).to(device)
    v = torch.from_numpy(held_out[:_MAX_VALIDATED]).to(device)
    shape = (int(x.shape[1]), int(x.shape[2]), int(x.shape[3]))
    network = RotationNetwork(shape).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub leaves this form out

    def loss(_: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        return _loss(network, batch[0])

    def validate(_: nn.Module) -> float:
        return float(network.cross_entropy_nats(v).mean()) / len(network.rotations)

    epochs = math.ceil(settings.epochs / 3)
    identity = {
        "images": fingerprint(train, held_out),
        "rotations": [asdict(one) for one in network.rotations],
    }
    with training_progress(description) as progress:
        result = fit(
            network,
            TensorBatches(x, batch_size=_BATCH_SIZE, seed=settings.seed),
            loss,
            LoopSettings(epochs, _LEARNING_RATE, seed=settings.seed),
            validate=validate,
            checkpoint=None if folder is None else folder / ROTATIONS_CHECKPOINT_NAME,
            keep_checkpoint=keep_checkpoint,
            identity=identity,
            progress=progress,
        )
    return RotationModel(network), result


def _loss(network: RotationNetwork, images: Tensor) -> Tensor:
    """Return the cross-entropy for images with a random rotation and a little noise."""
    chosen = torch.randint(len(network.rotations), (len(images),), device=images.device)
    rotated = images.clone()
    for i, rotation in enumerate(network.rotations):
        rotated[chosen == i] = rotation.apply(images[chosen == i])
    noisy = rotated + _NOISE * torch.randn_like(rotated)
    with reduced_precision(images.device):
        logits = network(noisy)
    return functional.cross_entropy(logits.float(), chosen)
