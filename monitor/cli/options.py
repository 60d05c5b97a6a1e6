"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from monitor.text.arguments import whole_number

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

Jobs = Annotated[
    int | None,
    typer.Option(
        help="Processes that share the work; the results are the same. By default as many as "
        "there are processor cores.",
        metavar="NUMBER",
        parser=whole_number(1),
    ),
]


def output_option(help_text: str) -> Any:
    """An option that takes the name of a file to write."""
    return file_option(f'{help_text} "-" is standard output.')


def file_option(help_text: str) -> Any:
    """An option that takes the name of a file to write or to read."""
    return typer.Option(help=help_text, metavar="FILE", readable=False)


DEFAULT_CONFIG = Path("config.toml")
