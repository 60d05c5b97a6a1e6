"""Training of an ``ImageModel``, for all image commands."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from monitor.domain import FloatArray
from monitor.errors import UsageError
from training.device import resolve_device, seed_everything
from training.history import FitResult, Validation
from training.images.autoencoder import Architecture, Autoencoder, Cell, NetworkSpec
from training.images.batches import TensorBatches
from training.images.model import ImageModel
from training.images.networks import VariationalAutoencoder, build_network
from training.images.objectives import LossName, Objective, fit_objective
from training.loop import CHECKPOINT_NAME, LoopSettings, fit
from training.progress import training_progress

_VALIDATION_BATCH = 1000


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Settings for one autoencoder of images; the defaults are for 28 x 28 grey images.

    ``width`` scales the network's hidden layers; ``cell`` is the cell of a recurrent network;
    with ``mirrored``, a random half of the images of each batch is mirrored left to right.
    """

    architecture: Architecture = "convolutional"
    latent_dim: int = 32
    loss: LossName = "bce"
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 4e-3
    width: float = 1.0
    cell: Cell = "gru"
    mirrored: bool = False
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise UsageError(f"batch size is {self.batch_size}; at least 2 is needed")


def train_image_model(
    train: FloatArray,
    validation: FloatArray,
    settings: ImageSettings,
    *,
    corrupt: GaussianNoise | None = None,
    folder: Path | None = None,
    keep_checkpoint: bool = False,
    tensorboard: bool = False,
    description: str = "training",
) -> tuple[ImageModel, FitResult]:
    """Train an autoencoder of images float32 ``(n, c, h, w)`` in 0..1.

    With ``corrupt``, the network is trained to map corrupted images to the clean ones. The weights
    are those of the epoch with the smallest error on ``validation``. The checkpoint is in
    ``folder``: an interrupted run continues from it. At the end it is removed, unless
    ``keep_checkpoint`` is set.
    """
    seed_everything(settings.seed)
    device = resolve_device(settings.device)
    x, v = torch.from_numpy(train).to(device), torch.from_numpy(validation).to(device)
    objective = fit_objective(settings.loss, x)
    shape = (int(x.shape[1]), int(x.shape[2]), int(x.shape[3]))
    spec = NetworkSpec(
        settings.architecture,
        shape,
        settings.latent_dim,
        objective.output,
        settings.width,
        settings.cell,
    )
    network = build_network(spec).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub leaves this form out
    corrupted = v if corrupt is None else _fixed(corrupt, v, settings.seed)
    model = ImageModel(network, objective)

    def loss(_: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        clean = mirror_half(batch[0]) if settings.mirrored else batch[0]
        return _loss(network, objective, clean if corrupt is None else corrupt(clean), clean)

    def validate(_: nn.Module) -> Validation:
        return _validated(model, corrupted, v)

    identity = {
        **asdict(settings),
        "spec": asdict(spec),
        "images": fingerprint(train, validation),
        "noise": None if corrupt is None else asdict(corrupt),
    }
    with training_progress(
        description,
        tensorboard_dir=folder / "tensorboard" if tensorboard and folder else None,
    ) as progress:
        result = fit(
            network,
            TensorBatches(x, batch_size=settings.batch_size, seed=settings.seed),
            loss,
            LoopSettings(settings.epochs, settings.learning_rate, seed=settings.seed),
            validate=validate,
            checkpoint=None if folder is None else folder / CHECKPOINT_NAME,
            keep_checkpoint=keep_checkpoint,
            identity={f"image_{key}": value for key, value in identity.items()},
            progress=progress,
        )
    return model, result


def mirror_half(images: Tensor) -> Tensor:
    """Mirror a random half of images ``(n, c, h, w)`` left to right."""
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(chosen, images.flip(3), images)


@dataclass(frozen=True, slots=True)
class GaussianNoise:
    """Adds Gaussian noise of standard deviation ``sigma`` to images in 0..1."""

    sigma: float
    clip: bool = True

    def __call__(self, images: Tensor) -> Tensor:
        """Return noisy ``images``, with random numbers from torch's global generator."""
        noisy = images + self.sigma * torch.randn_like(images)
        return noisy.clamp(0.0, 1.0) if self.clip else noisy


def evidence_lower_bound(
    network: VariationalAutoencoder,
    objective: Objective,
    images: Tensor,
    seen: Tensor | None = None,
) -> Tensor:
    """Return the evidence lower bound of each image in nats ``(n,)``, from one sample of its code.

    With ``seen`` (for example noisy images), the encoder receives these instead of the images.

    The likelihood is the objective's: Bernoulli of the pixels (grey values taken as
    probabilities), or normal of the standardised pixels with variance 1/2 up to a constant.
    """
    mean, log_variance = network.posterior(objective.prepare(images if seen is None else seen))
    z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
    raw = network.decode_raw(z).float()
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).sum(dim=1)
    return -objective.losses(raw, images) - divergence.float()


def reduced_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return a context in which a graphics processor multiplies in bfloat16.

    A CPU uses float32: with AVX-512's bfloat16 a training step of these small convolutions takes
    1.3 to 1.5 times as long.
    """
    if device.type == "cuda":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def _loss(network: Autoencoder, objective: Objective, seen: Tensor, clean: Tensor) -> Tensor:
    with reduced_precision(clean.device):
        if isinstance(network, VariationalAutoencoder):
            return -evidence_lower_bound(network, objective, clean, seen).mean()
        raw = network.reconstruct_raw(objective.prepare(seen))
    return objective.losses(raw.float(), clean).mean()


def _validated(model: ImageModel, seen: Tensor, clean: Tensor) -> Validation:
    """Return the loss per image. The squared error per element chooses the epoch.

    Of a variational network, both are the negative lower bound.
    """
    network, objective = model.network, model.objective
    loss, error = 0.0, 0.0
    for a, b in zip(
        torch.split(seen, _VALIDATION_BATCH), torch.split(clean, _VALIDATION_BATCH), strict=True
    ):
        if isinstance(network, VariationalAutoencoder):
            loss -= float(evidence_lower_bound(network, objective, b, a).sum())
            continue
        raw = network.reconstruct_raw(objective.prepare(a))
        loss += float(objective.losses(raw.float(), b).sum())
        error += float((objective.restore(raw) - b).square().sum())
    loss /= len(clean)
    is_variational = isinstance(network, VariationalAutoencoder)
    return Validation(loss, loss if is_variational else error / clean.numel())


def _fixed(corrupt: GaussianNoise, images: Tensor, seed: int) -> Tensor:
    """Corrupt ``images`` with random numbers that are the same in every run of ``seed``."""
    seed_everything(seed, 1)
    corrupted = torch.cat([corrupt(part) for part in torch.split(images, _VALIDATION_BATCH)])
    seed_everything(seed)
    return corrupted


def fingerprint(*arrays: FloatArray) -> str:
    """Return a hash that identifies these images."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
