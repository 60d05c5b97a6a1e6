"""The commands that train: ``demo``, and ``train`` and ``fleet`` with their own commands."""

# ruff: noqa: PLC0415  # imports inside a command keep the other commands quick

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from monitor.text.arguments import AsJson, CommandApp, whole_number

EXIT_FAILED = 70


def demo(
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the recordings, the bundle and the picture. What an earlier demo has "
            "left there is deleted first.",
            metavar="FOLDER",
        ),
    ] = Path("demo"),
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of the simulated machine. Each seed gives another machine.",
            metavar="NUMBER",
            parser=whole_number(0),
        ),
    ] = 0,
    web: Annotated[
        bool,
        typer.Option("--web", help="Show simulated machines on a web page until stopped."),
    ] = False,
    listen: Annotated[
        str, typer.Option(help="With --web: address and port of the page.", metavar="ADDRESS")
    ] = "127.0.0.1:8737",
    as_json: AsJson = False,
) -> int:
    """Show an alert for a fault of a simulated machine.

    Trains on simulated healthy sound and monitors the machine with the real daemon and a broker of
    its own. It takes about a minute. With --web it keeps running until Ctrl+C.
    """
    from monitor.commands.extras import (
        FOR_DEMO,
        FOR_TRAINING,
        FOR_WEB,
        needs_extra,
        require_installed,
    )
    from monitor.commands.output import emit, message

    if web:
        with needs_extra("auscult demo --web", "demo", "train", "web"):
            require_installed(*FOR_DEMO, *FOR_TRAINING, *FOR_WEB)
            from monitor.demo.page import show_page

            show_page(out, seed, listen, message if as_json else typer.echo)
        return 0
    with needs_extra("auscult demo", "demo", "train"):
        require_installed(*FOR_DEMO, *FOR_TRAINING)
        from monitor.demo.run import demo as run_demo

        result = run_demo(out, seed, message if as_json else typer.echo)
    summary = (
        "passed: the fault was raised and cleared, and there was no other alert"
        if result.good
        else "FAILED: the fault must be raised while it is present and cleared after it, and "
        "there must be no other alert"
    )
    emit(
        asdict(result) | {"seed": seed, "good": result.good},
        [summary, f"picture: {out / 'demo.png'}"],
        as_json=as_json,
    )
    return 0 if result.good else EXIT_FAILED


def train(context: typer.Context) -> int:
    """Train bundles on recordings, or networks on images."""
    from monitor.commands.extras import FOR_TRAINING, needs_extra, require_installed

    with needs_extra("auscult train", "train"):
        if context.args[:1] == ["audio"] and "--help" not in context.args:
            require_installed(*FOR_TRAINING)  # the report needs some of them after an hour
        from training.cli import app as training_app

        return training_app.run("auscult train", context.args)


def fleet(context: typer.Context) -> int:
    """Train and replay many machines."""
    from monitor.commands.extras import FOR_FLEET, FOR_TRAINING, needs_extra, require_installed

    with needs_extra("auscult fleet", "fleet", "train"):
        if "--help" not in context.args:
            packages = (*FOR_FLEET, "ray") if "ray" in context.args else FOR_FLEET
            require_installed(*FOR_TRAINING, *packages)
        from training.fleet.cli import app as fleet_app

        return fleet_app.run("auscult fleet", context.args)


def train_requests(
    folder: Annotated[
        Path, typer.Argument(help="The folder `training` in the state folder of a daemon.")
    ],
) -> None:
    """Train what a daemon requests; for auscult-train.service."""
    from monitor.commands.output import message
    from monitor.learning.trainers.other_unit import run_requests, train_here
    from monitor.text.wording import counted

    message(f"{counted(run_requests(folder, train_here), 'bundle')} requested")


def score_for_relearning(
    folder: Annotated[Path, typer.Argument(help="The folder `scoring` of a machine.")],
) -> None:
    """Score recordings with two bundles; for the daemon, which starts it as a child."""
    from monitor.learning.relearning.scoring import run_job

    run_job(folder)


def register(app: CommandApp) -> None:
    """Add the commands to ``auscult``."""
    app.command()(demo)
    app.command(hidden=True)(train_requests)
    app.command(hidden=True)(score_for_relearning)
    for command in (train, fleet):
        app.command(
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
            add_help_option=False,
        )(command)
