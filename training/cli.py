"""``auscult train ...``: the trainer's commands."""

from __future__ import annotations

import typer

from training.images import cli as image_cli
from training.sound import cli as audio_cli

app = typer.Typer(
    help="Train: bundles from recordings, and the companion cases on images.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
audio_cli.register(app)
image_cli.register(app)
