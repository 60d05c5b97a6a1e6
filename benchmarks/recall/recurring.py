"""Measure which short sounds that come again and again raise an alert.

    python -m benchmarks.recall.recurring [--only fan] [--seeds 3]

Healthy recordings that were not trained on are joined to 16 minutes. A fault is added for a short
time, again and again. Its level is that of the sound while it is there, relative to the recordings.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks._machine import one_thread
from benchmarks._page import write_section
from benchmarks.detection.command import exit_without
from benchmarks.detection.injection import SoundPiece
from benchmarks.recall.machines import Machine, machines
from benchmarks.recall.replayed import blocks_of, learned
from monitor.domain import FloatArray
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.pipeline import Pipeline
from training.sound.injected_faults import FAULTS, fault

NAMES = ("fan", "drone", "compressor")
LEVELS_DB = (0.0, -6.0, -12.0)
_MINUTES = 16.0
_FAULT_S = 60.0
_RAMP_S = 0.01
_FAULT_SEED = 2_000


class Pattern(NamedTuple):
    """A sound of ``on_s`` seconds every ``every_s`` seconds."""

    on_s: float
    every_s: float


PATTERNS = (Pattern(0.1, 2.0), Pattern(0.4, 4.0), Pattern(1.0, 10.0), Pattern(2.0, 40.0))


class Alerts(NamedTuple):
    """Whether a sound raised an alert, and whether it did without the recurring channels."""

    any: bool
    without: bool


def joined(machine: Machine, bundle: Bundle) -> FloatArray:
    """Sixteen minutes of healthy sound: the joined pieces, again and again. ``(n_samples,)``."""
    pieces = [one for one in machine.joined(bundle.spec) if isinstance(one, SoundPiece)]
    sound = np.concatenate([piece.samples for piece in pieces])
    return np.resize(sound, round(_MINUTES * 60 * bundle.spec.sample_rate_hz))


def with_fault(
    sound: FloatArray, added: FloatArray, rate_hz: int, pattern: Pattern, level_db: float
) -> FloatArray:
    """The sound with a fault that comes again and again. Shape: ``(n_samples,)``, twice."""
    since_s = np.arange(len(sound)) / rate_hz % pattern.every_s
    gain = np.clip(np.minimum(since_s, pattern.on_s - since_s) / _RAMP_S, 0.0, 1.0)
    rms = float(np.sqrt(np.square(sound).mean()))
    return np.asarray(sound + gain * added * rms * 10.0 ** (level_db / 20.0), dtype=np.float32)


def alerts_of(sound: FloatArray, bundle: Bundle, network: Network) -> Alerts:
    """Replay a sound with all channels, and without the recurring ones where this may differ."""
    first = _first_alert(sound, bundle, network)
    if not first.startswith("recurring"):
        return Alerts(bool(first), bool(first))
    return Alerts(True, bool(_first_alert(sound, _without_recurring(bundle), network)))


def _first_alert(sound: FloatArray, bundle: Bundle, network: Network) -> str:
    """The evidence of the first alert; empty without any."""
    pipeline = Pipeline(bundle, network=network, decides_only=True)
    for block in blocks_of(sound, bundle.spec.sample_rate_hz):
        for decision in pipeline.push(block).decisions:
            if decision.kind == "raised":
                return decision.channel
    return ""


def _without_recurring(bundle: Bundle) -> Bundle:
    own = bundle.calibration
    channels = tuple(one for one in own.channels if not one.is_recurring)
    calibration = own.model_copy(update={"channels": channels})
    return replace(bundle, manifest=bundle.manifest.model_copy(update={"calibration": calibration}))


def rows(names: list[str], seeds: int, scratch: Path) -> Iterator[str]:
    """A row of the table for each machine and pattern, and one for healthy sound."""
    levels = " | ".join(f"{level_db:g} dB" for level_db in LEVELS_DB)
    yield f"| machine | sound | faults | {levels} |"
    yield "|---|---|---|" + "---|" * len(LEVELS_DB)
    for name in names:
        known = [next(machines(scratch, seed, [name])) for seed in range(seeds)]
        bundles = [learned(machine).bundle for machine in known]
        sounds = [joined(one, bundle) for one, bundle in zip(known, bundles, strict=True)]
        networks = [Network(bundle) for bundle in bundles]
        pairs = list(zip(sounds, bundles, networks, strict=True))
        false = sum(alerts_of(*pair).any for pair in pairs)
        yield f"| {name} | healthy | 0 | {false} of {seeds} alert" + " |" * len(LEVELS_DB)
        for pattern in PATTERNS:
            cells = []
            for level_db in LEVELS_DB:
                found = []
                for seed, (sound, bundle, network) in enumerate(pairs):
                    rate_hz = bundle.spec.sample_rate_hz
                    for kind in FAULTS:
                        added = fault(kind, round(_FAULT_S * rate_hz), rate_hz, (seed, _FAULT_SEED))
                        added = np.resize(added, len(sound))
                        faulty = with_fault(sound, added, rate_hz, pattern, level_db)
                        found.append(alerts_of(faulty, bundle, network))
                with_all = sum(one.any for one in found)
                cells.append(f"{with_all} (without: {sum(one.without for one in found)})")
            n = seeds * len(FAULTS)
            what = f"{pattern.on_s:g} s every {pattern.every_s:g} s"
            yield f"| {name} | {what} | {n} | {' | '.join(cells)} |"


def main() -> None:
    """Measure and print; write to the documentation if everything was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    exit_without(parser, ["."])
    with tempfile.TemporaryDirectory() as scratch:
        text = "\n".join(rows(options.only, options.seeds, Path(scratch)))
    print(text)
    if len(options.only) == len(NAMES):
        write_section("recurring", text)


if __name__ == "__main__":
    one_thread()
    main()
