"""``auscult demo``: the main job on embedded parts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from monitor.commands.output import emit, message
from monitor.demo import run as demo_parts

EXIT_NOT_AS_PROMISED = 70


def demo(out: Path, seed: int, *, as_json: bool) -> int:
    """Run the demo; 0 only if the fault was raised, cleared, and nothing else was."""
    result = demo_parts.demo(out, seed, message if as_json else typer.echo)
    document = asdict(result) | {"seed": seed, "good": result.good}
    verdict = (
        "the fault was raised and cleared, and nothing else was"
        if result.good
        else "NOT as it should be: the fault must be raised while it is there, cleared after it, "
        "and nothing else may be raised"
    )
    emit(document, [verdict, f"picture: {out / 'demo.png'}"], as_json=as_json)
    return 0 if result.good else EXIT_NOT_AS_PROMISED
