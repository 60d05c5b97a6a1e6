"""``auscult evaluate --dcase``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from monitor.errors import BadInputError
from monitor.text.escaping import json_text, one_line
from training.evaluation.dcase_layout import read_layout
from training.evaluation.dcase_run import DcaseResult, official, run_dcase
from training.fleet.local_engine import LocalEngine
from training.fleet.progress import Progress
from training.sound.settings import load_audio_settings

RESULT = "dcase.json"


def evaluate_dcase(
    folder: Path, out: Path, config: Path | None, *, jobs: int, seed: int, as_json: bool
) -> int:
    """Train, score and print; 65 if a section or a clip could not be used, otherwise 0."""
    sections = read_layout(folder)
    settings = load_audio_settings(config)
    engine = LocalEngine(jobs)
    try:
        with Progress("section") as progress:
            result = run_dcase(sections, out, engine, settings, seed=seed, progress=progress.update)
    except KeyboardInterrupt:
        typer.echo("interrupted; repeat the command to continue", err=True)
        raise
    finally:
        engine.close()
    for error in result.errors:
        typer.echo(one_line(error), err=True)
    text = json_text(_document(result, seed), indent=2)
    (out / RESULT).write_text(text + "\n", encoding="utf-8")
    typer.echo(text if as_json else "\n".join(_lines(result, seed, out)))
    return BadInputError.exit_status if result.errors else 0


def _document(result: DcaseResult, seed: int) -> dict[str, Any]:
    types = {}
    for name, members in result.by_type().items():
        score, interval = official(members, seed)
        types[name] = {
            "official_score": score,
            "official_score_interval": interval,
            "sections": {
                one.section.name: {
                    "auc_source": one.figures.auc_source,
                    "auc_target": one.figures.auc_target,
                    "pauc": one.figures.pauc,
                }
                for one in members
                if one.figures is not None
            },
        }
    everything = [one for members in result.by_type().values() for one in members]
    total, interval = official(everything, seed) if everything else (None, None)
    return {
        "official_score": total,
        "official_score_interval": interval,
        "machine_types": types,
        "errors": list(result.errors),
    }


def _lines(result: DcaseResult, seed: int, out: Path) -> list[str]:
    header = ("machine type", "section", "AUC source", "AUC target", "pAUC", "official score")
    rows: list[tuple[str, ...]] = [header]
    for name, members in result.by_type().items():
        for one in members:
            if one.figures is not None:
                areas = (one.figures.auc_source, one.figures.auc_target, one.figures.pauc)
                rows.append((name, one.section.name, *map(_area, areas), ""))
        rows.append((name, "", "", "", "", _with_interval(*official(members, seed))))
    everything = [one for members in result.by_type().values() for one in members]
    if everything:
        rows.append(("all", "", "", "", "", _with_interval(*official(everything, seed))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [*lines, f"bundles, {RESULT} and the CSV files of a submission: {out}"]


def _area(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _with_interval(value: float, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return f"{value:.4f}"
    return f"{value:.4f} ({interval[0]:.4f} to {interval[1]:.4f})"
