"""The node sends nothing except what it publishes by MQTT."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.model.bundle import Bundle

ROOT = Path(__file__).resolve().parent.parent

LOAD_AND_LOOK = """
import os, sys, time
import {package}
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
deadline = time.monotonic() + 2.0
while time.monotonic() < deadline:
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + descriptor)
        except OSError:
            continue
        if target.startswith("socket:"):
            print("socket", target)
    time.sleep(0.02)
"""


@pytest.mark.parametrize("package", ["auscult", "monitor", "training"])
def test_the_inference_library_opens_no_connection(
    package: str, bundle: Bundle, tmp_path: Path
) -> None:
    """Every node would send usage data to the maker of ONNX Runtime, with an identifier."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs Linux's /proc")
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            LOAD_AND_LOOK.format(package=package),
            str(bundle.path / "model.onnx"),
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment,
    )
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []
