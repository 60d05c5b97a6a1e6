"""Checkpoints of a training run: one file, replaced atomically and read without pickle.

The file is in safetensors format. Its metadata contains the state of the run as JSON, so tensors
and state are always from the same epoch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from monitor.durable import replace_content
from monitor.errors import BadInputError, UsageError

_VERSION = 1
DAMAGED = "not a checkpoint of a training run"
START_AGAIN = "delete it to start again"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything that a run needs to continue after its last complete epoch.

    ``identity`` identifies the run (settings, data, network). ``state`` is JSON.
    """

    identity: Mapping[str, Any]
    state: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    best_weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint`` to ``path`` atomically."""
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
    # save_file lets nobody else read the file
    replace_content(path, save(tensors, metadata={"run": json.dumps(document)}))


def load_checkpoint(path: Path, identity: Mapping[str, Any]) -> Checkpoint | None:
    """Read the checkpoint at ``path``; None if there is no such file.

    Raises UsageError for the checkpoint of a run with another ``identity``, BadInputError for
    another kind of file.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise BadInputError(f"{path}: not a file; {START_AGAIN}")
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "best_weights": {}, "optimizer": {}}
    try:
        with safe_open(path, framework="pt") as file:
            document = json.loads((file.metadata() or {})["run"])
            for key in file.keys():  # noqa: SIM118 - safe_open is not iterable
                group, name = key.split("/", 1)
                groups[group][name] = file.get_tensor(key)
        version, found, state = (document[key] for key in ("version", "identity", "state"))
        if not isinstance(found, dict) or not isinstance(state, dict):
            raise TypeError("its record is no object")
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise BadInputError(f"{path}: {DAMAGED} ({error}); {START_AGAIN}") from error
    if version != _VERSION:
        raise BadInputError(
            f"{path}: checkpoint version {version}; this program reads version "
            f"{_VERSION}; {START_AGAIN}"
        )
    wanted = json.loads(json.dumps(dict(identity)))
    if found != wanted:
        differing = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
        raise UsageError(
            f"{path}: checkpoint of a run with other settings ({', '.join(differing)}); "
            "use the same settings to continue it, or delete the file to start again"
        )
    return Checkpoint(found, state, **groups)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as ``{"<index of the parameter>/<name>": tensor}``."""
    return {
        f"{index}/{name}": torch.as_tensor(value)
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore a state from ``optimizer_tensors``."""
    document = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": document["param_groups"]})


def module_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return a detached copy, on the CPU, of a module's weights and buffers."""
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
