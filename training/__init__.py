"""The trainer of Auscult: it makes the bundles with which the service scores sound."""

import monitor  # noqa: F401 - turns telemetry off before ONNX Runtime is imported
