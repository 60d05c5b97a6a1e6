"""Whether wrong input from outside causes a crash, a hang or too much memory.

    python -m benchmarks.fuzzing [--seconds 8] [--seed N] [--target NAME] [--input FILE]

Every part that reads input from outside receives changed valid inputs for some seconds,
made by hypothesis from the seed. It may refuse an input with one of Auscult's own
errors. Any other exception, a crash, an input that takes more than ten seconds, or more
than 1 GiB of memory is a failure: the exit status is 1, and the input is written to
``runs/fuzz``. ``--input`` tries such a file again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

from benchmarks.fuzz import bundles, configs, messages, pcm, recordings
from benchmarks.fuzz.guard import Found, Target, fuzz, try_one

FOUND = Path(__file__).resolve().parent.parent / "runs" / "fuzz"


@dataclass(frozen=True)
class Part:
    """A part that reads input. ``inputs`` is a function, because making the inputs takes time."""

    name: str
    target: Target
    inputs: Callable[[], st.SearchStrategy[bytes]]


PARTS = (
    Part("recording", recordings.target, recordings.inputs),
    Part("bundle.json", bundles.try_manifest, bundles.manifests),
    Part("head.npz", bundles.try_head, lambda: bundles.files("head.npz")),
    Part("selftest.npz", bundles.try_selftest, lambda: bundles.files("selftest.npz")),
    Part("model-changed", bundles.try_changed_model, lambda: bundles.files("model.onnx")),
    Part("model-rehashed", bundles.try_model, lambda: bundles.files("model.onnx")),
    Part("config.toml", configs.try_file, configs.files),
    Part("environment", configs.try_environment, configs.environments),
    Part("mqtt", messages.target, messages.streams),
    Part("pcm", pcm.target, pcm.streams),
)


def keep(part: Part, found: Found) -> Path:
    """Write the input to a file, so that it can be tried again."""
    FOUND.mkdir(parents=True, exist_ok=True)
    path = FOUND / f"{part.name}-{hashlib.sha256(found.content).hexdigest()[:8]}"
    path.write_bytes(found.content)
    return path


def main() -> int:
    """Run with the given arguments; return the exit status."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="for each part")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--target", choices=names, help="this part only")
    parser.add_argument("--input", type=Path, help="try this file only; needs --target")
    arguments = parser.parse_args()
    os.nice(10)
    print(f"seed {arguments.seed}\n{'':16} {'inputs':>8} {'refused':>8} {'per s':>9}  failure")
    bad = 0
    for part in PARTS:
        if arguments.target not in {None, part.name}:
            continue
        if arguments.input:
            outcome = try_one(part.target, arguments.input.read_bytes())
        else:
            outcome = fuzz(
                part.target, part.inputs(), seed=arguments.seed, seconds=arguments.seconds
            )
        rate = outcome.tried / outcome.seconds
        found = "-" if outcome.found is None else str(keep(part, outcome.found))
        print(
            f"{part.name:16} {outcome.tried:8} {outcome.refused:8} {rate:9.0f}  {found}", flush=True
        )
        if outcome.found is not None:
            bad += 1
            print(outcome.found.failure)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
