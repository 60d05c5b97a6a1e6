"""The anomaly score of images: densities, residuals, rotations; and denoising by projection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal, norm

from monitor.errors import UsageError
from tests.tiny_images import bar_data, bars
from training.images.anomaly_training import train_anomaly_scorer
from training.images.autoencoder import NetworkSpec
from training.images.defaults import default_settings
from training.images.density import fit_density
from training.images.frames import robust_threshold
from training.images.image_set import add_noise, split_validation
from training.images.networks import build_network
from training.images.oneclass import one_class
from training.images.projection import censored_negative_log_likelihood, project
from training.images.train import ImageSettings, mirror_half, train_image_model
from training.images.transformations import RotationNetwork, rotations_of, train_rotations
from training.layers import halvings
from training.metrics import psnr_db, roc_auc

SETTINGS = ImageSettings("dense", latent_dim=3, epochs=30, width=0.1, learning_rate=5e-3)


def test_a_density_of_one_gaussian_is_the_normal_density() -> None:
    """Log-likelihoods would be off by the codes' scale."""
    rng = np.random.default_rng(0)
    codes = (rng.normal(size=(4000, 2)) * [0.01, 30.0] + [5.0, -7.0]).astype(np.float32)
    density = fit_density(codes, codes[:500], components=[1])
    expected = multivariate_normal(codes.mean(0), np.cov(codes.T)).logpdf(codes[:50])
    np.testing.assert_allclose(density.log_density(codes[:50]), expected, atol=0.1)
    samples = density.sample(4000)
    np.testing.assert_allclose(samples.std(axis=0), codes.std(axis=0), rtol=0.1)


def test_validation_codes_choose_the_number_of_gaussians() -> None:
    """Two clusters would be described as one."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(2000, 2)).astype(np.float32)
    codes[::2] += 20
    density = fit_density(codes[:1500], codes[1500:], components=[1, 2])
    assert density.n_components == 2
    middle = np.array([[10.0, 10.0]], dtype=np.float32)
    assert density.log_density(middle)[0] < density.log_density(codes).min()


def test_a_clipped_pixel_has_a_censored_likelihood() -> None:
    """Dark backgrounds would become brighter by the mean of the clipped noise."""
    noisy = torch.tensor([0.0, 0.4, 1.0]).reshape(3, 1, 1, 1)
    image = torch.tensor([0.1, 0.1, 0.7]).reshape(3, 1, 1, 1)
    found = censored_negative_log_likelihood(noisy, image, 0.2)
    expected = [
        -norm.logcdf(0.0, 0.1, 0.2),
        -norm.logpdf(0.4, 0.1, 0.2) + norm.logpdf(0.0, 0.0, 0.2),
        -norm.logsf(1.0, 0.7, 0.2),
    ]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_projection_is_better_than_encoding_the_noisy_image() -> None:
    """The search for the code would have no effect."""
    data = bar_data()
    train, validation = (s.scaled() for s in split_validation(data.train, 0.1, 0))
    model, _ = train_image_model(train, validation, SETTINGS)
    density = fit_density(model.encode(train), model.encode(validation))
    clean = data.test.scaled()
    noisy = add_noise(clean, 0.3, np.random.default_rng(0))
    projected = psnr_db(clean, project(model, density, noisy, 0.3))
    assert projected > psnr_db(clean, model.reconstruct(noisy)) + 1
    assert projected > psnr_db(clean, noisy) + 5


def test_an_anomalous_class_has_higher_scores() -> None:
    """Images of another class would not be detected."""
    normal = bars(400, 0)
    scorer, _ = train_anomaly_scorer(normal.take(normal.labels == 0), SETTINGS)
    test = bars(100, 1)
    scores = scorer.score(test.scaled())
    for name in ("error", "residual", "density", "rotation", "features", "combined"):
        assert roc_auc(test.labels == 1, getattr(scores, name)) > 0.9, name


@pytest.mark.parametrize(("shape", "n_rotations"), [((2, 9, 9), 8), ((1, 6, 9), 4)])
def test_rotations_are_different_and_keep_the_shape(
    shape: tuple[int, int, int], n_rotations: int
) -> None:
    """Two rotations would be the same, or images would change their shape."""
    image = torch.arange(float(np.prod(shape))).reshape(1, *shape)
    rotated = [rotation.apply(image) for rotation in rotations_of(*shape[1:])]
    assert all(t.shape == image.shape for t in rotated)
    assert len({tuple(t.flatten().tolist()) for t in rotated}) == n_rotations
    assert torch.equal(rotated[0], image)
    assert RotationNetwork(shape).eval()(image).shape == (1, n_rotations)


def test_rotations_of_normal_images_are_recognised_and_others_are_not() -> None:
    """The network would learn nothing, or its score would not separate other images."""
    normal = bars(400, 0)
    arrows = _arrows(normal.take(normal.labels == 0).scaled())
    model, result = train_rotations(arrows[:150], arrows[150:], replace(SETTINGS, epochs=240))
    chance = 8 * np.log(8)
    assert result.best_loss < 0.3 * chance
    noise = np.random.default_rng(0).random((50, 1, 12, 12), dtype=np.float32)
    assert (
        np.exp(model.log_cross_entropy(noise)).mean()
        > 2 * np.exp(model.log_cross_entropy(arrows)).mean()
    )


def _arrows(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Darken upright bars to the right and below, so that all rotations are different."""
    ramp = np.linspace(1.0, 0.2, images.shape[-1], dtype=np.float32)
    background = 0.3 * ramp[None, :] ** 2
    return np.asarray(np.maximum(images * ramp[:, None], background), dtype=np.float32)


def test_an_unknown_class_is_refused(tmp_path: Path) -> None:
    """A misspelt class would be ignored."""
    with pytest.raises(UsageError, match="--normal sideways"):
        one_class(bar_data(), ["sideways"], SETTINGS, out=tmp_path)


def test_a_few_anomalous_frames_do_not_change_the_threshold() -> None:
    """Anomalous frames would raise the threshold above their own scores."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=2000)
    clean = robust_threshold(scores, 0.01)
    assert clean == pytest.approx(norm.isf(0.01), abs=0.15)
    scores[:40] += 100
    assert robust_threshold(scores, 0.01) == pytest.approx(clean, abs=0.15)


def test_about_half_of_the_images_are_mirrored() -> None:
    """All images would be mirrored, or in the wrong direction."""
    images = torch.arange(8.0).reshape(1, 1, 2, 4).expand(400, 1, 2, 4)
    mirrored = mirror_half(images)
    same = (mirrored == images).flatten(1).all(dim=1)
    assert 100 < int(same.sum()) < 300
    assert torch.equal(mirrored[~same][0], images[0].flip(2))


def test_any_latent_size_has_a_network() -> None:
    """``denoise --latent-dim 32`` would be refused because of a default architecture."""
    chosen = {
        dim: default_settings("supervised", (1, 28, 28), 50, latent_dim=dim) for dim in (32, 98)
    }
    assert (chosen[32].architecture, chosen[32].latent_dim) == ("convolutional", 32)
    assert (chosen[98].architecture, chosen[98].latent_dim) == ("spatial", 98)


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 17, 30), (3, 128, 96), (1, 6, 6)])
@pytest.mark.parametrize("case", ["reconstruction", "supervised", "projection", "oneclass"])
def test_defaults_fit_images_of_any_size(case: str, shape: tuple[int, int, int]) -> None:
    """A folder of frames would be refused because of a default bottleneck."""
    settings = default_settings(case, shape, 50, latent_dim=None)  # type: ignore[arg-type]  # all are cases
    spec = NetworkSpec(settings.architecture, shape, settings.latent_dim, width=0.2)
    build_network(spec)
    assert halvings(*shape[1:])
