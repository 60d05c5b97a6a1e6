"""Auscult's run time: it scores the sound of machines and reports faults.

The package ``auscult`` is the interface for other programs. ``load_bundle``, ``Pipeline``,
``AudioBlock`` and ``LogMelSpec`` can also be imported from here, as in earlier versions. They are
loaded when they are first used.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# ONNX Runtime sends usage data to its maker unless this is set before it is imported
# (docs/decisions/0009-nothing-leaves-the-node.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# Without this, pydantic looks for plugins in every installed package.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

if TYPE_CHECKING:
    from monitor.domain import AudioBlock
    from monitor.features.log_mel_spec import LogMelSpec
    from monitor.model.bundle import load_bundle
    from monitor.pipeline import Pipeline

__all__ = ["AudioBlock", "LogMelSpec", "Pipeline", "__version__", "load_bundle"]
__version__ = "0.1.0"

_HOME = {
    "AudioBlock": "monitor.domain",
    "LogMelSpec": "monitor.features.log_mel_spec",
    "Pipeline": "monitor.pipeline",
    "load_bundle": "monitor.model.bundle",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that ``auscult --help`` stays quick."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
