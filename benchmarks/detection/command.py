"""The command line that the measurements share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from benchmarks.detection.cases import DATA


def lacking(needed: Sequence[str]) -> list[str]:
    """The evaluation sets among ``needed`` that are not installed."""
    return [name for name in needed if not (DATA / name).is_dir()]


def exit_without(parser: argparse.ArgumentParser, needed: Sequence[str]) -> None:
    """Exit with status 66 if a set is not installed."""
    if lacking(needed):
        parser.exit(66, f"{DATA}: no evaluation recordings; set AUSCULT_DATA to their folder\n")


def run(description: str, needed: Sequence[str], measure: Callable[[int], None]) -> None:
    """A command that runs a measurement for a number of seeds."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    exit_without(parser, needed)
    measure(options.seeds)
