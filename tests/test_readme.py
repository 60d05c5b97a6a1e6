"""The README's example in Python runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from tests.bundles import SPEC, machine_sound, make_bundle

ROOT = Path(__file__).resolve().parent.parent


def test_the_library_example_scores_a_recording(tmp_path: Path) -> None:
    """A user who copies the example gets an error, or no alert for a faulty machine."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    make_bundle(tmp_path / "pump.bundle")
    sound = np.concatenate((machine_sound(6.0), machine_sound(20.0, fault=0.1)))
    soundfile.write(tmp_path / "monday.wav", sound, SPEC.sample_rate_hz)
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"\d+\.\d s: \d+\.\d\d", lines[0])
    assert re.fullmatch(r"raised at \d+\.\d s", lines[-1])
