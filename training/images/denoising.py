"""Denoising by two methods, compared with PCA and classical denoisers.

``supervised``: the network is trained to map noisy images to the clean ones (Vincent et al. 2008).
``projection``: the network is trained on clean images only, and a noisy image is moved to the
nearest image that the decoder can make.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from monitor.domain import FloatArray
from monitor.errors import BadInputError
from training.images.classical_denoisers import classical_denoisers, denoise_each
from training.images.datasets import ImageData
from training.images.density import fit_density
from training.images.figures import save_grid, save_rows
from training.images.image_set import ImageSet, add_noise, split_validation
from training.images.model import ImageModel
from training.images.outputs import (
    begin_results,
    compared_with_pca,
    finish_run,
    open_output,
    table,
    training_record,
    write_run,
)
from training.images.pca import Pca, fit_pca
from training.images.projection import project
from training.images.reconstruction import VALIDATION_FRACTION, density_metrics
from training.images.train import GaussianNoise, ImageSettings, train_image_model
from training.metrics import SMALLEST_SSIM_SIDE, mean_psnr_db, psnr_db, ssim

Method = Literal["supervised", "projection"]
_N_SHOWN = 10
_N_CLASSICAL = 500
_N_VALIDATED = 2000


@dataclass(frozen=True, slots=True)
class Denoising:
    """A trained denoiser and its metrics (the keys of ``metrics.json``)."""

    model: ImageModel
    metrics: Mapping[str, Any]

    def table(self) -> str:
        """Return the table that the command prints: PSNR and SSIM on the test images."""
        m = self.metrics
        better = compared_with_pca(
            m["psnr_db"], m["pca_best_psnr_db"], higher_is_better=True, baseline="PCA"
        )
        best = f"PCA-{m['pca_best_components']} (best of PCA)"
        rows = [
            ("noisy", f"{m['psnr_noisy_db']:.2f} dB  SSIM {m['ssim_noisy']:.3f}"),
            (f"PCA-{m['pca_components']}", f"{m['pca_psnr_db']:.2f} dB"),
            (best, f"{m['pca_best_psnr_db']:.2f} dB  SSIM {m['pca_best_ssim']:.3f}"),
        ]
        for name, merit in m["classical"].items():
            note = f"  (first {merit['n_images']} images)"
            rows.append((name, f"{merit['psnr_db']:.2f} dB  SSIM {merit['ssim']:.3f}{note}"))
        rows.append((m["method"], f"{m['psnr_db']:.2f} dB  SSIM {m['ssim']:.3f}  ({better})"))
        rows.append(("seconds", f"{m['seconds']:.0f}"))
        return table(rows)


def denoise(
    data: ImageData,
    sigma: float,
    method: Method,
    settings: ImageSettings,
    out: Path,
    *,
    with_density: bool = False,
    tensorboard: bool = False,
) -> Denoising:
    """Train on ``data.train``, denoise ``data.test`` and write everything to ``out``.

    ``sigma`` is the standard deviation of the Gaussian noise on images in 0..1; noisy images are
    clipped to 0..1. The epoch and PCA's best size are chosen on a tenth of the training images, and
    nothing is chosen on the test images.
    """
    started = time.monotonic()
    if min(data.test.shape[1:]) < SMALLEST_SSIM_SIDE:
        _, height, width = data.test.shape
        raise BadInputError(
            f"images of {width} x {height} pixels are too small: SSIM, a measure of denoising, "
            f"needs at least {SMALLEST_SSIM_SIDE} x {SMALLEST_SSIM_SIDE}"
        )
    folder = open_output(out)
    clean = data.test.scaled()
    noisy = add_noise(clean, sigma, np.random.default_rng([settings.seed, 2]))
    train, validation = split_validation(data.train, VALIDATION_FRACTION, settings.seed)
    model, result = train_image_model(
        train.scaled(),
        validation.scaled(),
        settings,
        corrupt=GaussianNoise(sigma) if method == "supervised" else None,
        folder=folder,
        keep_checkpoint=True,
        tensorboard=tensorboard,
        description=f"{data.name}, {method} denoising",
    )
    begin_results(folder)
    metrics: dict[str, Any] = {"method": method, "sigma": sigma, "dataset": data.name}
    if method == "supervised":
        denoised = _reconstruct(model, noisy, mirrored=settings.mirrored)
    if method == "projection" or with_density:
        density = fit_density(
            model.encode(train.scaled()), model.encode(validation.scaled()), seed=settings.seed
        )
        metrics |= density_metrics(density, model.encode(clean))
        save_grid(folder / "samples.png", model.decode(density.sample(100)), 10)
        if method == "projection":
            denoised = project(model, density, noisy, sigma)
    write_run(folder, model, result)
    linear, linear_metrics = _linear(train, validation, noisy, clean, sigma, settings=settings)
    classical, classical_metrics = _classical(noisy, clean, sigma)
    metrics |= {
        "psnr_noisy_db": psnr_db(clean, noisy),
        "psnr_db": psnr_db(clean, denoised),
        "psnr_per_image_db": mean_psnr_db(clean, denoised),
        "ssim": ssim(clean, denoised),
        "ssim_noisy": ssim(clean, noisy),
        **linear_metrics,
        "classical": classical_metrics,
        "parameters": model.n_parameters,
        "latent_dim": settings.latent_dim,
        "architecture": settings.architecture,
        **training_record(settings, result),
    }
    rows = [("clean", clean), ("noisy", noisy), ("PCA", linear), *classical.items()]
    rows.append((method, denoised))
    save_rows(folder / "denoised.png", [(name, images[:_N_SHOWN]) for name, images in rows])
    metrics["seconds"] = time.monotonic() - started + result.earlier_seconds
    finish_run(folder, metrics)
    return Denoising(model, metrics)


def _reconstruct(model: ImageModel, noisy: FloatArray, *, mirrored: bool) -> FloatArray:
    """Denoise; with ``mirrored``, average the results for each image and its mirror image."""
    direct = model.reconstruct(noisy)
    if not mirrored:
        return direct
    mirrored_back = model.reconstruct(np.ascontiguousarray(noisy[..., ::-1]))[..., ::-1]
    return np.asarray(0.5 * (direct + mirrored_back), dtype=np.float32)


def _linear(
    train: ImageSet,
    validation: ImageSet,
    noisy: FloatArray,
    clean: FloatArray,
    sigma: float,
    *,
    settings: ImageSettings,
) -> tuple[FloatArray, dict[str, Any]]:
    """Denoise by PCA of clean images: of the same bottleneck, and of the best size.

    The best size is chosen on validation images: a larger one removes less noise.
    """
    flat = train.scaled().reshape(len(train), -1)
    limit = min(flat.shape)
    n_same = min(settings.latent_dim, limit)
    sizes = sorted({n for n in (8, 16, 32, 64, 96, 128, 192, 256) if n <= limit} | {n_same})
    pca = fit_pca(flat, sizes[-1])
    held_out = validation.scaled()[:_N_VALIDATED]
    held_out_noisy = add_noise(held_out, sigma, np.random.default_rng([settings.seed, 3]))
    merit = {n: psnr_db(held_out, _project_linear(pca, held_out_noisy, n)) for n in sizes}
    n_best = max(merit, key=lambda n: merit[n])
    best = _project_linear(pca, noisy, n_best)
    return best, {
        "pca_components": n_same,
        "pca_psnr_db": psnr_db(clean, _project_linear(pca, noisy, n_same)),
        "pca_best_components": n_best,
        "pca_best_psnr_db": psnr_db(clean, best),
        "pca_best_ssim": ssim(clean, best),
    }


def _project_linear(pca: Pca, images: FloatArray, n_components: int) -> FloatArray:
    first = Pca(pca.mean, pca.components[:n_components], pca.variances[:n_components])
    rebuilt = first.reconstruct(images.reshape(len(images), -1)).reshape(images.shape)
    return np.clip(rebuilt, 0.0, 1.0)


def _classical(
    noisy: FloatArray, clean: FloatArray, sigma: float
) -> tuple[dict[str, FloatArray], dict[str, dict[str, float]]]:
    """Denoise the first images by classical methods, which are slow."""
    images: dict[str, FloatArray] = {}
    merits: dict[str, dict[str, float]] = {}
    for name, denoiser in classical_denoisers(sigma).items():
        n = min(_N_CLASSICAL if name != "BM3D" else _N_CLASSICAL // 10, len(noisy))
        images[name] = denoise_each(denoiser, noisy[:n])
        merits[name] = {
            "psnr_db": psnr_db(clean[:n], images[name]),
            "ssim": ssim(clean[:n], images[name]),
            "n_images": n,
        }
    return images, merits
