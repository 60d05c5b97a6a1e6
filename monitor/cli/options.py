"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

# The code that reads a file checks it, with the exit status of that case.
Config = Annotated[
    Path, typer.Option("--config", help="Configuration file.", metavar="FILE", readable=False)
]
BundlePath = Annotated[
    Path, typer.Argument(help="Folder of the bundle.", metavar="BUNDLE", readable=False)
]
Recordings = Annotated[
    list[Path],
    typer.Argument(
        help="Recordings, or folders with recordings.",
        metavar="RECORDING",
        readable=False,
    ),
]


def output_option(help_text: str) -> Any:
    """An option that takes the name of a file to write."""
    return file_option(f'{help_text} "-" is standard output.')


def file_option(help_text: str) -> Any:
    """An option that takes the name of a file to write or to read."""
    return typer.Option(help=help_text, metavar="FILE", readable=False)


DEFAULT_CONFIG = Path("config.toml")
