"""The autoencoders: bottleneck, shapes, encode and decode, losses."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from monitor.errors import BadInputError, MissingInputError, UsageError
from training.images.autoencoder import Architecture, NetworkSpec
from training.images.model import ImageModel, load_image_model
from training.images.networks import VariationalAutoencoder, build_network, require_bottleneck
from training.images.objectives import Objective, fit_objective
from training.images.train import evidence_lower_bound
from training.layers import halvings

ARCHITECTURES = get_args(Architecture)
SHAPES = [(1, 28, 28), (3, 17, 30), (1, 5, 6)]


def latent_dim_of(architecture: Architecture, shape: tuple[int, int, int]) -> int:
    """Return a small code, or one value for each cell of a spatial code."""
    height, width = halvings(*shape[1:])[-1]
    return height * width if architecture == "spatial" else 5


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_output_has_the_shape_of_the_input(
    architecture: Architecture, shape: tuple[int, int, int]
) -> None:
    """The reconstruction of an image with odd sizes or colour would have another shape."""
    spec = NetworkSpec(architecture, shape, latent_dim_of(architecture, shape), width=0.25)
    network = build_network(spec).eval()
    x = torch.rand(3, *shape)
    z = network.encode(x)
    assert z.shape == (3, spec.latent_dim)
    assert network.decode(z).shape == x.shape
    torch.testing.assert_close(network(x), network.decode(z))
    assert 0 <= network(x).min() <= network(x).max() <= 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("latent_dim", [0, 64, 128])
def test_a_code_as_large_as_the_image_is_refused(
    architecture: Architecture, latent_dim: int
) -> None:
    """A network would learn to copy, and no image would be anomalous."""
    with pytest.raises(UsageError, match="no bottleneck"):
        build_network(NetworkSpec(architecture, (1, 8, 8), latent_dim))


def test_the_largest_bottleneck_is_one_less_than_the_input() -> None:
    """The limit would be off by one."""
    require_bottleneck(63, 64)
    with pytest.raises(UsageError):
        require_bottleneck(64, 64)


def test_a_spatial_code_must_fit_its_grid() -> None:
    """A spatial code would have another size than the user chose."""
    with pytest.raises(UsageError, match="multiple of 49"):
        build_network(NetworkSpec("spatial", (1, 28, 28), 500))


@pytest.mark.parametrize("output", ["leaky_relu", "relu", "tanh"])
def test_an_output_without_a_loss_is_refused(output: str) -> None:
    """An output would be trained with a loss that it cannot minimise."""
    with pytest.raises(UsageError, match="one of sigmoid"):
        NetworkSpec("dense", (1, 8, 8), 4, output=output)  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_every_row_reaches_the_code_of_a_recurrent_network(cell: str) -> None:
    """A row of the image would have no effect on the code."""
    spec = NetworkSpec("recurrent", (1, 8, 8), 4, width=0.1, cell=cell)  # type: ignore[arg-type]  # both are cells
    network = build_network(spec).eval()
    x = torch.rand(1, 1, 8, 8, requires_grad=True)
    network.encode(x).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    assert x.grad is not None
    assert (x.grad[0, 0].abs().sum(dim=1) > 0).all()


def test_the_lower_bound_can_encode_noisy_images() -> None:
    """A variational denoiser would be trained without noise."""
    spec = NetworkSpec("variational", (1, 8, 8), 4, width=0.1)
    network = build_network(spec).eval()
    assert isinstance(network, VariationalAutoencoder)
    images, other = torch.rand(3, 1, 8, 8), torch.rand(3, 1, 8, 8)

    def bound(seen: torch.Tensor | None) -> torch.Tensor:
        torch.manual_seed(0)
        return evidence_lower_bound(network, Objective("bce"), images, seen)

    assert torch.equal(bound(None), bound(images))
    assert (bound(None) != bound(other)).all()


def test_an_image_of_another_shape_is_refused() -> None:
    """A network would be applied to images of another size."""
    network = build_network(NetworkSpec("dense", (1, 8, 8), 4, width=0.1))
    with pytest.raises(UsageError, match="shape"):
        network(torch.rand(2, 1, 4, 16))


def test_a_model_read_back_gives_the_same_images(tmp_path: Path) -> None:
    """Saved weights would differ from the measured ones."""
    network = build_network(NetworkSpec("convolutional", (1, 12, 12), 5, "linear")).eval()
    model = ImageModel(network.to(memory_format=torch.channels_last), Objective("mse", 0.3, 0.2))  # type: ignore[call-overload]  # torch's stub leaves this form out
    images = np.random.default_rng(0).random((4, 1, 12, 12), dtype=np.float32)
    path = tmp_path / "weights.safetensors"
    model.save(path)
    read = load_image_model(path)
    np.testing.assert_allclose(read.reconstruct(images), model.reconstruct(images), atol=1e-6)
    path.write_bytes(b"{}")
    with pytest.raises(BadInputError, match="not the weights"):
        load_image_model(path)
    with pytest.raises(MissingInputError):
        load_image_model(tmp_path / "nothing")


@pytest.mark.parametrize("loss_name", ["bce", "mse"])
def test_a_loss_is_smallest_at_the_image_itself(loss_name: str) -> None:
    """Output and loss would not match: the best output would not be the image."""
    images = torch.rand(6, 1, 4, 4).clamp(0.05, 0.95)
    objective = fit_objective(loss_name, images)  # type: ignore[arg-type]  # both are losses
    best = images.logit() if loss_name == "bce" else objective.prepare(images)
    torch.testing.assert_close(objective.restore(best), images)
    at_best = objective.losses(best, images)
    assert (objective.losses(best + 0.1, images) > at_best).all()
    assert (objective.losses(best - 0.1, images) > at_best).all()
