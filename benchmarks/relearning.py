"""How the sound of a false alarm is given to a training: as one recording, or in parts.

    python -m benchmarks.relearning [--data ../shared/data/desk_fan]

A desk fan is learned from recordings of one evening. Eleven months later its healthy sound raises
alerts. One of them is labelled as a false alarm: its clip of 30 s is half healthy sound as before
and half the new one. The table has the highest score divided by the threshold, above 1 for an
alert: of other recordings with the new healthy sound, and of recordings with a broken blade.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from benchmarks._machine import one_thread
from monitor.detection.settings import DetectorSettings, OperationSettings
from monitor.domain import FloatArray
from monitor.learning.relearning.alarm_ratio import alarm_ratio
from monitor.model.bundle import load_bundle
from monitor.model.network import Network
from training.sound.request import AudioRequest
from training.sound.train import train_audio

RATE_HZ = 16_000
PIECE_S, CLIP_S = 10.0, 30.0
PARTS_S = (30.0, 10.0, 7.5, 5.0, 3.0)
_LEARNED_FILES, _CLIP_FILES = 7, 2


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/desk_fan"))
    data: Path = parser.parse_args().data
    one_thread()
    healthy = sorted((data / "on").glob("*.flac"))
    learned, later = healthy[:_LEARNED_FILES], healthy[_LEARNED_FILES:]
    faulty = sorted((data / "blade_fault").glob("*.flac"))
    half = round(CLIP_S / 2.0 * RATE_HZ)
    before = _read(learned[-1:])[:half]
    clip = np.concatenate([before, _read(later[:_CLIP_FILES])[:half]])
    print("| the clip is trained | new healthy sound | broken blade |")
    print("| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        pieces = Path(folder, "pieces")
        for path in learned:
            _write(pieces, path.stem, _read([path]), PIECE_S)
        for part_s in (None, *PARTS_S):
            confirmed = Path(folder, f"parts-{part_s}")
            if part_s is not None:
                _write(confirmed, "clip", clip, part_s)
            out = Path(folder, f"bundle-{part_s}")
            used = () if part_s is None else (confirmed,)
            train_audio(AudioRequest((pieces,), out, confirmed=used, device="cpu"))
            name = "not" if part_s is None else f"in parts of {part_s:g} s"
            name = "as one recording" if part_s == CLIP_S else name
            new, fault = _ratios(out, later[_CLIP_FILES:]), _ratios(out, faulty)
            print(f"| {name} | {new} | {fault} |", flush=True)


def _read(paths: Sequence[Path]) -> FloatArray:
    return np.concatenate([soundfile.read(path, dtype="float32")[0] for path in paths])


def _write(folder: Path, name: str, samples: FloatArray, part_s: float) -> None:
    """Whole parts only, but at least one."""
    folder.mkdir(exist_ok=True)
    size = round(part_s * RATE_HZ)
    for number in range(max(1, len(samples) // size)):
        part = samples[number * size : (number + 1) * size]
        soundfile.write(folder / f"{name}_{number}.flac", part, RATE_HZ, "PCM_24")


def _ratios(bundle_path: Path, recordings: Sequence[Path]) -> str:
    bundle = load_bundle(bundle_path)
    network = Network(bundle)
    found = [
        alarm_ratio(path, bundle, network, DetectorSettings(), OperationSettings()).ratio
        for path in recordings
    ]
    scored = [ratio for ratio in found if ratio is not None]
    return f"{min(scored):.2g} to {max(scored):.2g}" if scored else "not scored"


if __name__ == "__main__":
    main()
