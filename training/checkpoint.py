"""An interrupted training run in one file, replaced atomically and read without pickle.

The file is safetensors; its metadata header carries the run's state as JSON, so tensors and
state can never be from different epochs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from monitor.errors import BadInputError, UsageError

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything a run needs to go on after its last finished epoch.

    ``identity`` says which run it is (settings, data, network); ``state`` is plain JSON.
    """

    identity: Mapping[str, Any]
    state: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    best_weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` to ``path``; a crash leaves the previous file or the new one whole."""
    tensors = {
        f"{group}/{name}": tensor.detach().cpu().contiguous().clone()
        for group in ("weights", "best_weights", "optimizer")
        for name, tensor in getattr(checkpoint, group).items()
    }
    document = {
        "version": _VERSION,
        "identity": dict(checkpoint.identity),
        "state": dict(checkpoint.state),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    save_file(tensors, unfinished, metadata={"run": json.dumps(document)})
    unfinished.replace(path)


def load_checkpoint(path: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """Read the checkpoint at ``path``, or return None where there is none.

    Raises UsageError if it belongs to a run with another ``identity``, BadInputError if it is not
    a checkpoint.
    """
    if not path.exists():
        return None
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "best_weights": {}, "optimizer": {}}
    try:
        with safe_open(path, framework="pt") as file:
            document = json.loads((file.metadata() or {})["run"])
            for key in file.keys():  # noqa: SIM118 - safe_open is no mapping and cannot be iterated
                group, name = key.split("/", 1)
                groups[group][name] = file.get_tensor(key)
        version, found, state = document["version"], document["identity"], document["state"]
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise BadInputError(f"{path}: not a checkpoint of a training run ({error})") from error
    if version != _VERSION:
        raise BadInputError(f"{path}: checkpoint version {version}, this program reads {_VERSION}")
    wanted = json.loads(json.dumps(dict(identity)))
    if found != wanted:
        differing = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
        raise UsageError(
            f"{path}: an interrupted run with other settings ({', '.join(differing)}); "
            "repeat its settings to continue it, or delete the file to start afresh"
        )
    return Checkpoint(found, state, **groups)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten the optimiser's per-parameter state to ``{"<parameter index>/<name>": tensor}``."""
    return {
        f"{index}/{name}": torch.as_tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what ``optimizer_tensors`` flattened."""
    document = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": document["param_groups"]})


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return a detached copy, on the CPU, of a module's weights and buffers."""
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
