"""A trained autoencoder of images in 0..1."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from monitor.domain import FloatArray
from monitor.errors import BadInputError, MissingInputError
from training.checkpoint import module_tensors
from training.images.autoencoder import Autoencoder, NetworkSpec
from training.images.networks import build_network
from training.images.objectives import Objective

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class ImageModel:
    """A network with its objective. Images are float32 ``(n, c, h, w)``, codes ``(n, latent_dim)``.

    The methods work in batches, without gradients, in eval mode, on the network's device.
    """

    network: Autoencoder
    objective: Objective

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.network.parameters()).device

    @property
    def n_parameters(self) -> int:
        """The number of trained parameters."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def encode(self, images: FloatArray) -> FloatArray:
        """Return the codes of ``images``."""
        return self._map(lambda x: self.network.encode(self.objective.prepare(x)), images)

    def decode(self, codes: FloatArray) -> FloatArray:
        """Return the images of ``codes``."""
        return self._map(lambda z: self.objective.restore(self.network.decode_raw(z)), codes)

    def reconstruct(self, images: FloatArray) -> FloatArray:
        """Encode and decode ``images``."""
        return self._map(self.reconstruct_tensor, images)

    def reconstruct_tensor(self, x: Tensor) -> Tensor:
        """Encode and decode a tensor of images."""
        return self.objective.restore(self.network.reconstruct_raw(self.objective.prepare(x)))

    def save(self, path: Path) -> None:
        """Write weights, network and objective to one safetensors file."""
        spec = asdict(self.network.spec)
        metadata = {"spec": json.dumps(spec), "objective": json.dumps(asdict(self.objective))}
        weights = {name: t.contiguous() for name, t in module_tensors(self.network).items()}
        path.write_bytes(save(weights, metadata))  # save_file lets nobody else read the file

    def _map(self, function: Callable[[Tensor], Tensor], values: FloatArray) -> FloatArray:
        self.network.eval()
        with torch.no_grad():
            parts = [
                function(torch.from_numpy(values[i : i + _BATCH]).to(self.device)).float().cpu()
                for i in range(0, len(values), _BATCH)
            ]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def load_image_model(path: Path) -> ImageModel:
    """Read a file of ``ImageModel.save``.

    Raises MissingInputError if there is no such file, BadInputError if it is another kind of file.
    """
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file of weights")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is no mapping
        network = build_network(NetworkSpec(**json.loads(metadata["spec"])))
        network.load_state_dict(weights)
        objective = Objective(**json.loads(metadata["objective"]))
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadInputError(f"{path}: not the weights of an image network ({error})") from error
    return ImageModel(network.eval(), objective)
