"""Reconstruction of images, compared with PCA of the same bottleneck."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monitor.domain import FloatArray
from training.device import seed_everything
from training.images.autoencoder import Autoencoder
from training.images.datasets import ImageData
from training.images.density import CodeDensity, fit_density
from training.images.figures import save_grid, save_latent_space, save_rows
from training.images.image_set import split_validation
from training.images.model import ImageModel
from training.images.networks import VariationalAutoencoder
from training.images.outputs import (
    begin_results,
    compared_with_pca,
    finish_run,
    open_output,
    table,
    training_record,
    write_run,
)
from training.images.pca import fit_pca
from training.images.train import ImageSettings, evidence_lower_bound, train_image_model

VALIDATION_FRACTION = 0.1
_N_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """A trained model and its metrics (the keys of ``metrics.json``)."""

    model: ImageModel
    metrics: Mapping[str, Any]

    def table(self) -> str:
        """Return the table that the command prints."""
        m = self.metrics
        comparison = compared_with_pca(m["test_mse"], m["pca_mse"], higher_is_better=False)
        rows = [
            ("test MSE per pixel", f"{m['test_mse']:.5f}"),
            (f"PCA-{m['latent_dim']}", f"{m['pca_mse']:.5f}"),
            ("MSE / MSE of PCA", f"{m['mse_over_pca']:.3f}  ({comparison})"),
            ("test BCE per pixel", f"{m['test_bce']:.5f}"),
        ]
        if "test_elbo" in m:
            rows.append(("evidence lower bound", f"{m['test_elbo']:.2f} per image"))
        if "density_test_log_likelihood" in m:
            likelihood = f"log-likelihood {m['density_test_log_likelihood']:.2f} per held-out code"
            rows.append((f"density, {m['density_components']} Gaussians", likelihood))
        rows.append(("parameters", f"{m['parameters']}"))
        rows.append(("seconds", f"{m['seconds']:.0f}"))
        return table(rows)


def reconstruct(
    data: ImageData,
    settings: ImageSettings,
    out: Path,
    *,
    with_density: bool = False,
    tensorboard: bool = False,
) -> Reconstruction:
    """Train on ``data.train``, measure on ``data.test`` and write everything to ``out``.

    The epoch is chosen on a tenth of the training images, and nothing on the test images.
    """
    started = time.monotonic()
    folder = open_output(out)
    train, validation = split_validation(data.train, VALIDATION_FRACTION, settings.seed)
    model, result = train_image_model(
        train.scaled(),
        validation.scaled(),
        settings,
        folder=folder,
        keep_checkpoint=True,
        tensorboard=tensorboard,
        description=f"{data.name}, {settings.architecture} {settings.latent_dim}",
    )
    begin_results(folder)
    x_train, x_test = data.train.scaled(), data.test.scaled()
    rebuilt, linear = model.reconstruct(x_test), _pca(x_train, x_test, settings.latent_dim)
    test_mse, pca_mse = _mse(rebuilt, x_test), _mse(linear, x_test)
    metrics: dict[str, Any] = {
        "test_mse": test_mse,
        "test_bce": _bce(rebuilt, x_test),
        "pca_mse": pca_mse,
        "mse_over_pca": test_mse / max(pca_mse, 1e-12),
        "parameters": model.n_parameters,
        "latent_dim": settings.latent_dim,
        "architecture": settings.architecture,
        "dataset": data.name,
        **training_record(settings, result),
    }
    codes = model.encode(x_test)
    metrics |= _lower_bound(model, x_test)
    if with_density:
        density = fit_density(
            model.encode(train.scaled()), model.encode(validation.scaled()), seed=settings.seed
        )
        metrics |= density_metrics(density, codes)
        samples = model.decode(density.sample(100))
        save_grid(folder / "samples.png", samples, n_columns=10)
    write_run(folder, model, result)
    shown = _one_of_each(data)
    save_rows(
        folder / "reconstructions.png",
        [
            ("original", x_test[shown]),
            (settings.architecture, rebuilt[shown]),
            (f"PCA-{settings.latent_dim}", np.clip(linear[shown], 0, 1)),
        ],
    )
    labels, names = data.test.labels, data.test.class_names
    save_latent_space(folder / "latent.png", codes, labels, names, model.decode)
    metrics["seconds"] = time.monotonic() - started + result.earlier_seconds
    finish_run(folder, metrics)
    return Reconstruction(model, metrics)


def density_metrics(density: CodeDensity, held_out: FloatArray) -> dict[str, Any]:
    """Return a density's keys of ``metrics.json``; log-likelihoods are in nats per code."""
    return {
        "density": "gmm",
        "density_components": density.n_components,
        "density_validation_log_likelihood": density.validation_log_likelihood,
        "density_test_log_likelihood": float(density.log_density(held_out).mean()),
    }


def _pca(train: FloatArray, test: FloatArray, n_components: int) -> FloatArray:
    flat = train.reshape(len(train), -1)
    pca = fit_pca(flat, min(n_components, *flat.shape))
    return pca.reconstruct(test.reshape(len(test), -1)).reshape(test.shape)


def _mse(a: FloatArray, b: FloatArray) -> float:
    return float(np.square(a - b).mean(dtype=np.float64))


def _bce(estimate: FloatArray, target: FloatArray) -> float:
    """Return the binary cross-entropy per element in nats, of estimates clipped to avoid log 0."""
    p = np.clip(estimate.astype(np.float64), 1e-6, 1 - 1e-6)
    return float(-(target * np.log(p) + (1 - target) * np.log1p(-p)).mean())


def _lower_bound(model: ImageModel, images: FloatArray) -> dict[str, float]:
    network: Autoencoder = model.network
    if not isinstance(network, VariationalAutoencoder):
        return {}
    seed_everything(0)
    with torch.no_grad():
        x = torch.from_numpy(images).to(model.device)
        bounds = [
            evidence_lower_bound(network, model.objective, part) for part in torch.split(x, 1000)
        ]
    return {"test_elbo": float(torch.cat(bounds).mean())}


def _one_of_each(data: ImageData) -> NDArray[np.int64]:
    """Return positions of up to ten test images, of as many classes as possible."""
    classes = np.unique(data.test.labels)
    chosen = [int(np.flatnonzero(data.test.labels == c)[0]) for c in classes[:_N_SHOWN]]
    rest = [i for i in range(min(len(data.test), 4 * _N_SHOWN)) if i not in chosen]
    return np.array((chosen + rest)[:_N_SHOWN], dtype=np.int64)
