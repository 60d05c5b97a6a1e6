"""Draw the pictures of docs/diagnosis.md: faults of the simulated machine.

Usage: .venv/bin/python tools/diagnosis_pictures.py [--out docs/images]
"""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from monitor.diagnosis.diagnose import diagnosed  # noqa: E402 - this checkout, not what is installed
from monitor.diagnosis.settings import ShaftSettings  # noqa: E402 - as above
from monitor.domain import AudioBlock, FloatArray  # noqa: E402 - as above
from monitor.sources.registry import open_source  # noqa: E402 - as above
from monitor.sources.settings import SimulatedSettings  # noqa: E402 - as above
from training.sound.diagnosis_figure import diagnosis_figure  # noqa: E402 - as above

RATE_HZ = 16_000
SECONDS = 30.0
FAULTS = ("bearing", "looseness")
DPI = 80


def sound(seed: int, fault: str = "") -> FloatArray:
    """The machine with or without a fault of severity 0.6."""
    faults = [{"kind": fault, "severity": 0.6}] if fault else []
    values = {"seed": seed, "realtime": False, "duration_s": SECONDS, "faults": faults}
    blocks = open_source(SimulatedSettings.model_validate(values)).blocks(threading.Event())
    return np.concatenate([block.samples for block in blocks if isinstance(block, AudioBlock)])


def main() -> None:
    """Draw a picture for each fault."""
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/diagnosis.md.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    options = parser.parse_args()
    healthy = [sound(100 + number) for number in range(6)]
    shaft = ShaftSettings.model_validate({"speed_hz": 24.5, "bearings": ["6205"], "blades": 7})
    for fault in FAULTS:
        result = diagnosed(sound(1, fault), RATE_HZ, healthy, shaft)
        print(f"{fault}: {result.findings[0].text}")
        if result.sound is not None:
            figure = diagnosis_figure(result, result.sound)
            figure.savefig(options.out / f"diagnosis-{fault}.png", dpi=DPI)


if __name__ == "__main__":
    main()
