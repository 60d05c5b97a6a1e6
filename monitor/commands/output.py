"""Results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import typer


def emit(document: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print a result: one JSON document, or ``lines`` for people."""
    if as_json:
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
        return
    for line in lines:
        typer.echo(line)


def message(text: str) -> None:
    """Say something beside the result."""
    typer.echo(text, err=True)


def progress(text: str) -> None:
    """Replace the line of progress; says nothing where no terminal shows it."""
    if sys.stderr.isatty():
        typer.echo(f"\r\x1b[K{text}", nl=False, err=True)


def columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """``rows`` as lines with their cells under each other."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
