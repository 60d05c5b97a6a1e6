"""``auscult train``: the commands of the trainer."""

from __future__ import annotations

import typer

from training.images import cli as image_cli
from training.sound import cli as audio_cli

app = typer.Typer(
    help="Train bundles on recordings, or networks on images.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
audio_cli.register(app)
image_cli.register(app)
