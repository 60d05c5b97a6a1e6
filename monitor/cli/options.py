"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# The code that reads a file checks it, with the exit status of that case.
Config = Annotated[
    Path, typer.Option("--config", help="Configuration file.", metavar="FILE", readable=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
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
DEFAULT_CONFIG = Path("config.toml")
