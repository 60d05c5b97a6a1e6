"""Where a training runs, and its random numbers."""

from __future__ import annotations

import random

import numpy as np
import torch

from monitor.errors import UsageError

_TYPES = frozenset({"cpu", "cuda", "mps"})


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device ``name``; ``auto`` is an accelerator if there is one, otherwise the CPU.

    Raises UsageError for an unknown name or a device that is not available.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type in _TYPES:  # others, such as meta, compute nothing
            torch.empty(1, device=device)
            return device
    except (RuntimeError, AssertionError, NotImplementedError):
        pass
    raise UsageError(f"device {name!r} is not available; use auto, cpu, cuda or mps")


def seed_everything(*numbers: int) -> None:
    """Seed Python's, numpy's and torch's generators from any sequence of non-negative integers."""
    words = np.random.SeedSequence(numbers).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]))
