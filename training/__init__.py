"""The trainer of Auscult: it makes the models that the run time scores with."""

import monitor  # noqa: F401 - before any file here can import ONNX Runtime: see its first lines
