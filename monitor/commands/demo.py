"""``auscult demo``: the whole path with a simulated machine and an embedded broker."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from monitor.commands.output import emit, message
from monitor.demo import run as demo_parts

EXIT_FAILED = 70


def demo(out: Path, seed: int, *, as_json: bool) -> int:
    """Run the demo; 0 if the fault was raised and cleared, without other alerts."""
    result = demo_parts.demo(out, seed, message if as_json else typer.echo)
    document = asdict(result) | {"seed": seed, "good": result.good}
    summary = (
        "passed: the fault was raised and cleared, and there was no other alert"
        if result.good
        else "FAILED: the fault must be raised while it is present and cleared after it, and "
        "there must be no other alert"
    )
    emit(document, [summary, f"picture: {out / 'demo.png'}"], as_json=as_json)
    return 0 if result.good else EXIT_FAILED
