"""What the commands beside this file have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from benchmarks.detection.cases import DATA


def lacking(needed: Sequence[str]) -> list[str]:
    """The evaluation sets among ``needed`` that are not there."""
    return [name for name in needed if not (DATA / name).is_dir()]


def exit_without(parser: argparse.ArgumentParser, needed: Sequence[str]) -> None:
    """End the program with the status of something missing where a set is not there."""
    if lacking(needed):
        parser.exit(66, f"{DATA}: the evaluation recordings are not there; set AUSCULT_DATA\n")


def run(description: str, needed: Sequence[str], measure: Callable[[int], None]) -> None:
    """A command that measures so many seeds of the sets it needs."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    exit_without(parser, needed)
    measure(options.seeds)
