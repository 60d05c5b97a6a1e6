"""Options that the commands of the trainer share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from monitor.text.arguments import number, whole_number

Device = Annotated[
    str, typer.Option(help="Device to train on: auto, cpu, cuda or mps.", metavar="DEVICE")
]

LearningRate = Annotated[
    float | None,
    typer.Option(
        help="Highest learning rate of the training. The default depends on the command.",
        metavar="NUMBER",
        parser=number(1e-6, 1.0),
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        help="Examples in each step of the training. The default depends on the command.",
        metavar="NUMBER",
        parser=whole_number(2, 4096),
    ),
]


def whole_number_option(help_text: str, least: int | None = None) -> Any:
    """An option that takes a whole number of at least ``least``."""
    return typer.Option(help=help_text, metavar="NUMBER", parser=whole_number(least))


def seed_option(help_text: str) -> Any:
    """The option ``--seed``: generators of random numbers take up to 32 bits."""
    return typer.Option(help=help_text, metavar="NUMBER", parser=whole_number(0, 2**32 - 1))


def tensorboard_option(help_text: str) -> Any:
    """The option ``--tensorboard``."""
    return typer.Option("--tensorboard", help=help_text)
