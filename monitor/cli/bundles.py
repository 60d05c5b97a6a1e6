"""The commands of a bundle: what is in it, its scores of recordings, and its threshold."""

# ruff: noqa: PLC0415  # imports inside a command keep the other commands quick

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.options import BundlePath, Recordings, file_option, output_option
from monitor.errors import UsageError
from monitor.text.arguments import AsJson, CommandApp, number, whole_number, with_lists

Jobs = Annotated[
    int | None,
    typer.Option(
        help="Processes that share the work; the results are the same. By default as many as "
        "there are processor cores.",
        metavar="NUMBER",
        parser=whole_number(1),
    ),
]


def inspect(bundle: BundlePath, as_json: AsJson = False) -> None:
    """Show what is in a bundle and whether it is intact."""
    from monitor.commands.inspect import inspect as inspect_command

    inspect_command(bundle, as_json=as_json)


def replay(
    bundle: BundlePath,
    recordings: Recordings,
    *,
    scores: Annotated[Path | None, output_option("CSV file with a row for each score.")] = None,
    files: Annotated[Path | None, output_option("CSV file with a row for each recording.")] = None,
    alerts: Annotated[
        Path | None,
        output_option(
            "JSON Lines file with the alerts. Their times come from --start, or from the name or "
            "the Broadcast Wave metadata of the recording (UTC without a time zone). Otherwise "
            "they count from 1970-01-01T00:00:00Z."
        ),
    ] = None,
    publish: Annotated[
        bool, typer.Option(help="Publish the alerts by MQTT, marked as replayed.")
    ] = False,
    config: Annotated[
        Path | None,
        file_option("Configuration file for [detector], and for [mqtt] with --publish."),
    ] = None,
    machine: Annotated[
        str | None,
        typer.Option(
            help="Machine id in the alerts. By default that of the machine in --config with this "
            "bundle, otherwise the name of the bundle.",
            metavar="MACHINE",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="When the recording began, for example 2026-11-23T10:15:30Z. Only with one "
            "recording.",
            metavar="TIME",
        ),
    ] = None,
    fail_on_alert: Annotated[
        bool, typer.Option(help="Exit with status 1 if an alert was raised.")
    ] = False,
    jobs: Jobs = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Folder for an HTML page with spectrograms for each raised alert, and an index.",
            metavar="FOLDER",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Score recordings with the same results as the daemon."""
    from monitor.commands.replay import ReplayRequest
    from monitor.commands.replay import replay as replay_command

    draw_alerts = None
    if report is not None:
        from monitor.commands.diagnose import AlertDiagnosis
        from monitor.commands.extras import needs_extra

        with needs_extra("auscult replay --report", "train"):
            from training.sound.alert_page import page_writer

            draw_alerts = page_writer(report, AlertDiagnosis(config))

    return replay_command(
        ReplayRequest(
            bundle=bundle,
            recordings=tuple(recordings),
            scores=scores,
            files=files,
            alerts=alerts,
            publish=publish,
            config=config,
            machine=machine,
            start=start,
            fail_on_alert=fail_on_alert,
            as_json=as_json,
            jobs=jobs or len(os.sched_getaffinity(0)),
            draw_alerts=draw_alerts,
        )
    )


def calibrate(
    bundle: BundlePath,
    recordings: Recordings,
    *,
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="Replace the threshold of BUNDLE. The previous bundle is kept next to it.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="New folder for the bundle with the new threshold.", metavar="BUNDLE"),
    ] = None,
    false_alarms_per_week: Annotated[
        float | None,
        typer.Option(
            help="Accepted false alarms per week. By default that of the bundle.",
            metavar="NUMBER",
            parser=number(1e-6, 1e6),
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(help="Set the threshold also if the bundle does not fit the recordings."),
    ] = False,
    keep_outliers: Annotated[
        bool,
        typer.Option("--keep-outliers", help="Also use recordings that do not fit the others."),
    ] = False,
    config: Annotated[
        Path | None,
        file_option("Configuration file with the [detector] for which the threshold is set."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set a new threshold from new healthy recordings. The model stays as it is."""
    from monitor.commands.calibrate import CalibrateRequest
    from monitor.commands.calibrate import calibrate as calibrate_command

    calibrate_command(
        CalibrateRequest(
            bundle=bundle,
            recordings=recordings,
            out=out,
            in_place=in_place,
            false_alarms_per_week=false_alarms_per_week,
            config=config,
            force=force,
            keep_outliers=keep_outliers,
            as_json=as_json,
        )
    )


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
    """Add the commands to ``auscult``."""
    for command in (inspect, replay, calibrate):
        app.command()(command)
    app.command(cls=with_lists("--normal", "--anomalous"))(evaluate)
