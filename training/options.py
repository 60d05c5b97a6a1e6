"""Options that the commands of the trainer share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from monitor.text.arguments import whole_number

Device = Annotated[
    str, typer.Option(help="Device to train on: auto, cpu, cuda or mps.", metavar="DEVICE")
]


def whole_number_option(help_text: str, least: int | None = None) -> Any:
    """An option that takes a whole number of at least ``least``."""
    return typer.Option(help=help_text, metavar="NUMBER", parser=whole_number(least))


def tensorboard_option(help_text: str) -> Any:
    """The option ``--tensorboard``."""
    return typer.Option("--tensorboard", help=help_text)
