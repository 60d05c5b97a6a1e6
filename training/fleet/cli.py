"""``auscult fleet train`` and ``auscult fleet replay``."""

# ruff: noqa: PLC0415  # imports inside a command keep --help quick

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from monitor.errors import AuscultError, BadInputError, UsageError
from monitor.text.arguments import AsJson, CommandApp, whole_number
from monitor.text.escaping import json_text, one_line
from monitor.text.wording import counted
from training.fleet.progress import Progress

if TYPE_CHECKING:
    from training.fleet.engine import Engine
    from training.fleet.run import FleetResult

app = CommandApp(help="Train and replay many machines on several processor cores or computers.")

Fleet = Annotated[
    Path,
    typer.Argument(
        help="TOML file with the machines, or a folder with the healthy recordings of each machine "
        "in MACHINE/healthy.",
        metavar="FLEET",
        readable=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        help="Folder for the results. With --address, every computer must have it at this path.",
        metavar="FOLDER",
    ),
]
EngineName = Annotated[
    Literal["local", "ray"],
    typer.Option(help="local: processes of this computer. ray: workers of a Ray cluster."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="How many tasks run at once, one thread each. By default as many as there are "
        "processor cores.",
        metavar="NUMBER",
        parser=whole_number(1),
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="With --engine ray: address of a running cluster, for example 10.0.0.5:6379, or "
        "`auto`. By default one is started on this computer.",
        metavar="ADDRESS",
    ),
]


@app.command()
def train(
    fleet: Fleet,
    *,
    out: Out,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace bundles that were made from other recordings or options. The previous "
            "bundle is kept next to the new one.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Make a bundle for each machine.

    Repeat the command to continue after an interruption: what is done is not done again.
    """
    from training.fleet.run import train_fleet
    from training.fleet.settings import read_fleet

    machines = read_fleet(fleet)
    with _engine(engine, workers, address) as running, Progress("machine") as progress:
        result = train_fleet(
            machines, out.absolute(), running, progress.update, overwrite=overwrite
        )
    return _report(result, "bundle", out, as_json=as_json)


@app.command()
def replay(
    fleet: Fleet,
    *,
    out: Out,
    bundles: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the bundle of each machine in FOLDER/MACHINE. By default --out.",
            metavar="FOLDER",
        ),
    ] = None,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = None,
    as_json: AsJson = False,
) -> int:
    """Score the archive of each machine.

    The scores are Parquet files by machine and day. Repeat the command to continue.
    """
    from training.fleet.run import replay_fleet
    from training.fleet.settings import read_fleet

    machines = read_fleet(fleet)
    with _engine(engine, workers, address) as running, Progress("task") as progress:
        result = replay_fleet(
            machines, (bundles or out).absolute(), out.absolute(), running, progress.update
        )
    return _report(result, "recording", out, as_json=as_json)


@contextmanager
def _engine(name: str, workers: int | None, address: str | None) -> Iterator[Engine]:
    """The engine, whose workers end with the command."""
    if address is not None and name != "ray":
        raise UsageError("--address needs --engine ray")
    if name == "ray":
        from training.fleet.ray_engine import RayEngine

        n_here = workers or len(os.sched_getaffinity(0))
        engine: Engine = RayEngine(workers if address else n_here, address)
    else:
        from training.fleet.local_engine import LocalEngine

        engine = LocalEngine(workers or len(os.sched_getaffinity(0)))
    try:
        yield engine
    except (KeyboardInterrupt, SystemExit):
        typer.echo("interrupted; repeat the command to continue", err=True)
        raise
    finally:
        engine.close()


def _report(result: FleetResult, what: str, out: Path, *, as_json: bool) -> int:
    """Print what was done; 65 if something failed, 70 if that is a fault of the program."""
    failed = [
        {"machine": one.machine, "what": one.task, "error": one.error} for one in result.failed
    ]
    if as_json:
        document = {
            "out": str(out),
            "done": result.done,
            "done_before": result.known,
            "failed": failed,
            "removed": result.removed,
            "rows": result.rows,
        }
        typer.echo(json_text(document, indent=2))
    else:
        for one in failed:
            typer.echo(one_line(f"{one['machine']}: {one['error']}"), err=True)
        n_good = sum(not row["error"] for row in result.rows)
        typer.echo(
            f"{counted(n_good, what)} of {len(result.rows)} in {out}; "
            f"{counted(result.done, 'task')} done now, {result.known} before"
        )
        if result.removed:
            names = one_line(", ".join(result.removed))
            typer.echo(f"scores removed, because the fleet no longer has the machine: {names}")
    if any(one.status == AuscultError.exit_status for one in result.failed):
        return AuscultError.exit_status
    return BadInputError.exit_status if failed else 0
