"""A network that is not part of Auscult: a torch module from windows to windows."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn

from training.sound.network import Coded, SoundAutoencoder, SoundNetworkSpec
from training.sound.network_import import ImportedNetwork
from training.sound.reconstruction_rank import require_bottleneck, require_windows

MODULE: Final = "module"


class ModuleAutoencoder(SoundAutoencoder):
    """The level and the standardisation of every network for sound, around a module.

    The module maps ``(B, 1, n_scored, n_frames)`` to the same shape. ``spec.bottleneck`` is what
    was measured of it, see :func:`require_bottleneck`.
    """

    def __init__(self, spec: SoundNetworkSpec, imported: ImportedNetwork) -> None:
        """Make and check the module. Raises ``UsageError`` for one that cannot be used."""
        super().__init__(spec)
        self.origin = imported.origin
        self.module: nn.Module = imported.make(spec.n_scored, spec.n_frames)
        require_windows(self.module, (spec.n_scored, spec.n_frames), self.origin.name)
        self.measure(torch.empty(0, 1, spec.n_scored, spec.n_frames), is_trained=False)

    @property
    def kind(self) -> str:
        """See ``SoundAutoencoder``."""
        return MODULE

    def reconstruct(self, standardised: Tensor) -> Coded:
        """See ``SoundAutoencoder``. The latent of a module is not known."""
        reconstructed: Tensor = self.module(standardised[:, None])[:, 0]
        return Coded(reconstructed, standardised.new_empty((len(standardised), 0)))

    def measure(self, windows: Tensor, *, is_trained: bool) -> None:
        """Check the bottleneck at noise and at ``windows`` ``(n, 1, n_scored, n_frames)``.

        ``is_trained``: whether the reconstruction of noise can be judged. Raises ``UsageError``.
        """
        numbers = require_bottleneck(self.module, windows, self.origin.name, is_trained=is_trained)
        self.spec = replace(self.spec, bottleneck=max(1, numbers))
