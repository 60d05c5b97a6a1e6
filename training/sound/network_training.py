"""Training the autoencoder on healthy windows of one machine and its references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from monitor.domain import FloatArray
from monitor.features.log_mel_spec import LogMelSpec
from training.device import seed_everything
from training.history import FitResult, TrainingProgress
from training.loop import LoopSettings, PartialLoss, fit
from training.sound.module_network import ModuleAutoencoder
from training.sound.network import LatentAutoencoder, SoundAutoencoder, SoundNetworkSpec
from training.sound.network_kinds import new_network
from training.sound.recordings import Recording, WindowBatch, WindowBatches
from training.sound.settings import NetworkSettings

VALIDATION_SHARE = 6
LEAST_TO_VALIDATE = 6
_MOST_WINDOWS = 2048
_MOST_VALIDATION_WINDOWS = 512


@dataclass(frozen=True, slots=True)
class Split:
    """The machine's own recordings to train on, and those that choose the best epoch."""

    train: tuple[Recording, ...]
    validation: tuple[Recording, ...]


def split_recordings(recordings: Sequence[Recording], seed: int) -> Split:
    """A sixth of the recordings to validate on, none if there are fewer than six."""
    if len(recordings) < LEAST_TO_VALIDATE:
        return Split(tuple(recordings), ())
    order = np.random.default_rng(seed).permutation(len(recordings))
    held = set(order[: len(recordings) // VALIDATION_SHARE].tolist())
    return Split(
        tuple(r for i, r in enumerate(recordings) if i not in held),
        tuple(r for i, r in enumerate(recordings) if i in held),
    )


def train_network(
    split: Split,
    references: Sequence[Sequence[Recording]],
    features: LogMelSpec,
    settings: NetworkSettings,
    *,
    seed: int,
    device: torch.device,
    start: SoundAutoencoder | None = None,
    scored_bands: int | None = None,
    progress: Sequence[TrainingProgress] = (),
) -> tuple[SoundAutoencoder, FitResult]:
    """Train a new network, or continue ``start`` with its standardisation and shape.

    ``scored_bands``: of a new network, see ``SoundNetworkSpec``.

    With references, the loss includes the classification of the machine from the latent:
    features that separate healthy machines of one type can also separate a faulty one. The latent
    of a network from outside is not known. Raises ``UsageError`` for one without a bottleneck.
    """
    machines = [split.train, *references]
    seed_everything(seed)
    network = start or _new_network(machines, features, settings, scored_bands)
    is_classified = len(machines) > 1 and isinstance(network, LatentAutoencoder)
    network.machine_head = (
        nn.Linear(network.spec.bottleneck, len(machines)) if is_classified else None
    )
    network.to(device)
    batches = WindowBatches(
        machines,
        n_frames=features.window_frames,
        windows_per_epoch=_windows_per_epoch(machines, features, settings),
        batch_size=settings.batch_size,
        seed=seed,
        device=device,
    )
    loop = LoopSettings(
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=seed,
    )
    result = fit(
        network,
        batches,
        _loss(settings.machine_weight),
        loop,
        validate=_validation(split.validation, features, device),
        progress=progress,
    )
    if isinstance(network, ModuleAutoencoder):
        windows_db = torch.from_numpy(_windows(split.train, features, 2)[:, None]).to(device)
        standardised = network.standardise(windows_db, network.level_db(windows_db))
        network.measure(standardised[:, None], is_trained=True)
    return network, result


def _windows_per_epoch(
    machines: Sequence[Sequence[Recording]], features: LogMelSpec, settings: NetworkSettings
) -> int:
    """From each machine as many as cover the sound of the one with the least.

    With more, the network memorises that sound, and reconstructs faults as well.
    """
    least = min(sum(len(r.frames_db) for r in machine) for machine in machines)
    covering = len(machines) * least // features.window_frames
    return min(settings.most_windows_per_epoch, max(settings.batch_size, covering))


def _new_network(
    machines: Sequence[Sequence[Recording]],
    features: LogMelSpec,
    settings: NetworkSettings,
    scored_bands: int | None,
) -> SoundAutoencoder:
    spec = SoundNetworkSpec(
        n_mels=features.n_mels,
        n_frames=features.window_frames,
        channels=settings.channels,
        bottleneck=settings.bottleneck,
        scored_bands=scored_bands,
    )
    network = new_network(spec, settings.network)
    n_scored = network.spec.n_scored
    level_free = []
    for machine in machines:
        windows_db = _windows(machine, features, _MOST_WINDOWS)
        level_free.append(windows_db - windows_db[:, :n_scored].mean(axis=(1, 2), keepdims=True))
    band_mean_db = np.mean([windows.mean(axis=(0, 2)) for windows in level_free], axis=0)
    deviations = [(w - band_mean_db[:, None])[:, :n_scored] for w in level_free]
    variance = np.mean([np.square(deviation).mean() for deviation in deviations])
    network.band_mean_db.copy_(torch.from_numpy(band_mean_db))
    network.deviation_db.fill_(max(float(np.sqrt(variance)), 1e-3))
    return network


def _windows(recordings: Sequence[Recording], features: LogMelSpec, most: int) -> FloatArray:
    """Windows without overlap, at most ``most``, evenly spread over the recordings."""
    windows_db = np.concatenate([r.windows(features, features.window_frames) for r in recordings])
    if len(windows_db) > most:
        windows_db = windows_db[np.linspace(0, len(windows_db) - 1, most).astype(int)]
    return windows_db


def _loss(machine_weight: float) -> Callable[[nn.Module, WindowBatch], PartialLoss]:
    """The reconstruction error, which is reported, and the classification of the machine."""

    def loss(network: nn.Module, batch: WindowBatch) -> PartialLoss:
        assert isinstance(network, SoundAutoencoder)  # noqa: S101 - the loop passes on its module
        output = network(batch.windows_db)
        error: Tensor = nn.functional.mse_loss(output.reconstructed, output.windows)
        if network.machine_head is None or not machine_weight:
            return PartialLoss(error, error)
        logits = network.machine_head(output.latent)
        classified = nn.functional.cross_entropy(logits, batch.machine)
        return PartialLoss(error + machine_weight * classified, error)

    return loss


def _validation(
    recordings: Sequence[Recording], features: LogMelSpec, device: torch.device
) -> Callable[[nn.Module], float] | None:
    if not recordings:
        return None
    windows = torch.from_numpy(
        _windows(recordings, features, _MOST_VALIDATION_WINDOWS)[:, None]
    ).to(device)

    def validate(network: nn.Module) -> float:
        output = network(windows)
        return float(nn.functional.mse_loss(output.reconstructed, output.windows))

    return validate
