"""What a module from outside must be: a map from windows to windows through a bottleneck.

A module without a bottleneck can copy its input, and then it reconstructs faults as well as healthy
sound. The layers of a module do not show this: a skip connection makes any bottleneck useless. So
the map itself is examined. If all information passes through k numbers, the Jacobian matrix of the
reconstruction with respect to the window has at most rank k at every window. The rank is found
from products of random vectors with the Jacobian, because a product of a matrix of rank k with m
random vectors has rank min(k, m) almost surely (Halko, Martinsson and Tropp 2011, SIAM Review 53).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monitor.errors import UsageError
from training.sound.network_import import in_one_line

LARGEST_SHARE = 0.25
"""Of the numbers of a window: a linear map of this rank leaves three quarters of the power of
noise, which has no redundancy."""
LEAST_NOISE_ERROR = 0.5
"""Of the power of noise, that a trained network must leave."""
_BATCH = 64
_SAME = 1e-3
_NOT_COUNTED = 1e-3
"""A direction with so little of the largest gain does not count."""
_NOISE_WINDOWS = 8
_MOST_WINDOWS = 1
"""Where the rank is measured, of each kind."""
_SEED = 20_20


def require_windows(module: nn.Module, size: tuple[int, int], name: str) -> None:
    """Call the module. Raises ``UsageError`` for what cannot be trained and exported.

    It must have parameters, return windows of its input's shape, give the same twice, and
    reconstruct a window alike whatever other windows are in the batch. ``name``: of the network.
    """
    where = f"--network {name}"
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise UsageError(f"{where}: has no parameters to train")
    windows = _noise(3, size)
    module.eval()
    with torch.no_grad():
        together = _called(module, windows, where)
        again, alone = _called(module, windows, where), _called(module, windows[:1], where)
    if not torch.equal(together, again):
        raise UsageError(
            f"{where}: gives other values when it is called again; in evaluation, it must not use "
            "random numbers"
        )
    if not torch.allclose(alone[0], together[0], rtol=_SAME, atol=_SAME):
        raise UsageError(
            f"{where}: the reconstruction of a window depends on the other windows of the batch; "
            "in evaluation, each window must be reconstructed by itself"
        )


def require_bottleneck(module: nn.Module, windows: Tensor, name: str, *, is_trained: bool) -> int:
    """The largest rank of the Jacobian found, at noise and at ``windows``.

    Shape: ``(n, 1, n_bands, n_frames)``, standardised. Raises ``UsageError`` for a rank of more
    than ``LARGEST_SHARE`` of the numbers of a window. If ``is_trained``, also for a network that
    reconstructs noise with an error below ``LEAST_NOISE_ERROR``: a rank of 0 could also mean that
    the module hides the input from the gradient.
    """
    size = (windows.shape[2], windows.shape[3])  # (n_bands, n_frames)
    noise = _noise(_NOISE_WINDOWS, size).to(windows.device)
    most = max(1, int(LARGEST_SHARE * size[0] * size[1]))
    module.eval()
    points = [*noise[:_MOST_WINDOWS], *windows[:_MOST_WINDOWS]]
    rank = max(_rank(module, point[None], most + 1, f"--network {name}") for point in points)
    if rank > most:
        raise UsageError(
            f"--network {name}: has no bottleneck: more than {most} of the {size[0] * size[1]} "
            "numbers of a window pass through it independently of each other. It could copy its "
            "input, faults included: leave out connections around the bottleneck, or make it "
            "narrower"
        )
    if is_trained:
        with torch.no_grad():
            error = float((module(noise) - noise).square().mean() / noise.square().mean())
        if error < LEAST_NOISE_ERROR:
            raise UsageError(
                f"--network {name}: has no bottleneck: after the training it reconstructs noise "
                f"with an error of {error:.2f} of its power, at least {LEAST_NOISE_ERROR:g} is "
                "expected. It copies its input, faults included"
            )
    return rank


def _rank(module: nn.Module, window: Tensor, most: int, where: str) -> int:
    """The rank of the Jacobian at one window ``(1, 1, n_bands, n_frames)``, at most ``most``.

    As soon as the products span less than their number, more of them would not span more. Raises
    ``UsageError`` for a module without a gradient that can be computed.
    """
    random = torch.Generator().manual_seed(_SEED)
    rows = torch.empty(0, window.numel(), dtype=torch.float64)
    while True:
        inputs = window.repeat(min(_BATCH, most - len(rows)), 1, 1, 1).requires_grad_()
        outputs = _called(module, inputs, where)
        if not outputs.requires_grad:
            return 0
        vectors = torch.randn(outputs.shape, generator=random).to(window.device)
        try:
            (products,) = torch.autograd.grad(
                outputs, inputs, vectors, allow_unused=True, materialize_grads=True
            )
        except RuntimeError as error:
            raise UsageError(
                f"{where}: its gradient cannot be computed: {in_one_line(error)}"
            ) from error
        if not torch.isfinite(products).all():
            raise UsageError(f"{where}: its gradient has NaN or infinite numbers")
        rows = torch.cat((rows, products.flatten(1).double().cpu()))
        squared = torch.linalg.eigvalsh(rows @ rows.T)
        rank = int((squared > _NOT_COUNTED**2 * squared.max()).sum()) if squared.max() > 0 else 0
        if rank < len(rows) or rank == most:
            return rank


def _called(module: nn.Module, windows: Tensor, where: str) -> Tensor:
    shape = tuple(windows.shape)
    try:
        output = module(windows)
    except Exception as error:
        raise UsageError(
            f"{where}: called with windows of shape {shape}, it raised {in_one_line(error)}"
        ) from error
    if not isinstance(output, Tensor):
        raise UsageError(
            f"{where}: returns {type(output).__name__}, expected one tensor of {shape}"
        )
    if tuple(output.shape) != shape:
        raise UsageError(
            f"{where}: returns the shape {tuple(output.shape)} for windows of {shape}; it must be "
            "the same"
        )
    if not torch.isfinite(output).all():
        raise UsageError(f"{where}: returns NaN or infinite numbers")
    return output


def _noise(n: int, size: tuple[int, int]) -> Tensor:
    """Standardised windows of white noise. Shape: ``(n, 1, n_bands, n_frames)``."""
    return torch.randn((n, 1, *size), generator=torch.Generator().manual_seed(_SEED))
