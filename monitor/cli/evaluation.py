"""The command that measures how well a bundle detects faults."""

# ruff: noqa: PLC0415  # imports inside a command keep the other commands quick

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.options import Jobs, file_option
from monitor.errors import UsageError
from monitor.text.arguments import AsJson, CommandApp, whole_number, with_lists


def evaluate(
    bundle: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of the bundle. Not with --dcase.", metavar="BUNDLE", readable=False
        ),
    ] = None,
    *,
    normal: Annotated[
        list[Path] | None,
        typer.Option(
            help="Healthy recordings that the bundle was not trained on, or folders of them. More "
            "of them can follow: --normal a.wav b.wav.",
            metavar="RECORDING",
            readable=False,
        ),
    ] = None,
    anomalous: Annotated[
        list[Path] | None,
        typer.Option(
            help="Recordings of the machine with a fault, or folders of them. More can follow.",
            metavar="RECORDING",
            readable=False,
        ),
    ] = None,
    curve: Annotated[
        Path | None,
        file_option(
            "PNG picture of the recall by the number of false alarms a week. It needs the extra "
            "'train'."
        ),
    ] = None,
    jobs: Jobs = None,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of the resampled recordings, and of the training with --dcase.",
            metavar="NUMBER",
            parser=whole_number(0),
        ),
    ] = 0,
    dcase: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a machine type, or of several, in the layout of DCASE Task 2. A "
            "bundle is trained and evaluated for each section.",
            metavar="FOLDER",
            readable=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="With --dcase: new folder for bundles, figures and the CSV files of a "
            "submission. By default `evaluation`.",
            metavar="FOLDER",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        file_option("With --dcase: a TOML file with [training], [features] and [detector]."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Measure how well a bundle detects faults, on recordings with known answers.

    Prints ROC AUC, partial AUC, and the alerts at the bundle's budget of false alarms, each with
    an interval of 95 %.
    """
    from monitor.commands.extras import FOR_TRAINING, needs_extra, require_installed

    n_jobs = jobs or len(os.sched_getaffinity(0))
    if dcase is not None:
        if bundle is not None or normal or anomalous or curve is not None:
            raise UsageError(
                "--dcase trains bundles of its own: give no BUNDLE, --normal, "
                "--anomalous or --curve with it"
            )
        with needs_extra("auscult evaluate --dcase", "train"):
            require_installed(*FOR_TRAINING)
            from training.evaluation.dcase_command import evaluate_dcase

            return evaluate_dcase(
                dcase, out or Path("evaluation"), config, jobs=n_jobs, seed=seed, as_json=as_json
            )
    if bundle is None or not normal or not anomalous:
        raise UsageError(
            "evaluate needs BUNDLE, --normal RECORDING... and --anomalous RECORDING..., "
            "or --dcase FOLDER"
        )
    if out is not None or config is not None:
        raise UsageError("--out and --config need --dcase")
    from monitor.commands.evaluate import EvaluateRequest
    from monitor.commands.evaluate import evaluate as evaluate_command

    draw = None
    if curve is not None:
        with needs_extra("auscult evaluate --curve", "train"):
            from training.evaluation.recall_curve import draw_curve

            draw = draw_curve

    return evaluate_command(
        EvaluateRequest(bundle, tuple(normal), tuple(anomalous), n_jobs, seed, curve, draw, as_json)
    )


def register(app: CommandApp) -> None:
    """Add the command to ``auscult``."""
    app.command(cls=with_lists("--normal", "--anomalous"))(evaluate)
