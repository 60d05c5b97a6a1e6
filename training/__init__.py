"""Auscult's trainer: it makes the models that the runtime listens with."""

import monitor  # noqa: F401 - before any file here can import ONNX Runtime: see its first lines
