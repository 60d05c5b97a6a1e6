"""Auscult's runtime: it hears machines, scores what it hears and reports faults."""

import os

# ONNX Runtime reports its use to its maker unless this is set before it is imported
# (docs/decisions/0009-nothing-leaves-the-node.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
