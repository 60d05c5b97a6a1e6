"""The one rule that makes an autoencoder worth training, for images and for sound."""

from __future__ import annotations

from monitor.errors import UsageError


def require_bottleneck(latent_dim: int, input_dim: int) -> None:
    """Raise UsageError unless 1 <= ``latent_dim`` < ``input_dim``.

    A network whose code is as large as its input can learn to copy, and a copy fits everything.
    """
    if not 1 <= latent_dim < input_dim:
        raise UsageError(
            f"latent dimension {latent_dim} is no bottleneck for an input of {input_dim} elements; "
            f"choose 1 to {input_dim - 1}"
        )
