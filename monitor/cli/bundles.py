"""The commands of a bundle: what is in it, its scores of recordings, and its threshold."""

# ruff: noqa: PLC0415  # imports inside a command keep the other commands quick

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from monitor.cli.options import BundlePath, Jobs, Recordings, file_option, output_option
from monitor.text.arguments import AsJson, CommandApp, number


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


def register(app: CommandApp) -> None:
    """Add the commands to ``auscult``."""
    for command in (inspect, replay, calibrate):
        app.command()(command)
