"""DCASE Task 2 from beginning to end: a bundle for each section, scores, and a submission."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from monitor.errors import MissingInputError
from monitor.offline.roc import Interval
from training.evaluation.dcase_layout import Clip, Section
from training.evaluation.dcase_score import (
    SectionFigures,
    SectionScores,
    figures_of,
    official_interval,
    official_score,
)
from training.fleet.engine import Engine
from training.fleet.tasks import Result, Task, recorded
from training.sound.settings import AudioSettings


@dataclass(frozen=True, slots=True)
class SectionResult:
    """A section, the row of each clip, and its figures; None without clips of known answers."""

    section: Section
    rows: dict[str, dict[str, Any]]
    figures: SectionFigures | None
    scores: SectionScores | None


@dataclass(frozen=True, slots=True)
class DcaseResult:
    """The result. ``errors``: sections that could not be trained, clips that were not scored."""

    sections: tuple[SectionResult, ...]
    errors: tuple[str, ...]

    def by_type(self) -> dict[str, list[SectionResult]]:
        """The sections of each machine type that have figures."""
        known = [one for one in self.sections if one.figures is not None]
        grouped = groupby(known, key=lambda one: one.section.machine_type)
        return {name: list(members) for name, members in grouped}


def run_dcase(
    sections: Sequence[Section],
    out: Path,
    engine: Engine,
    settings: AudioSettings,
    *,
    seed: int,
    progress: Callable[[int, int, Result], None],
) -> DcaseResult:
    """Train on the clips of each section, score its test, and write the CSV files.

    All clips of a section train one bundle, those of both domains. What is done already is not
    done again. Raises ``MissingInputError`` if the output folder cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MissingInputError(f"--out {out}: {error.strerror}") from error
    training = [_train_task(section, out, settings, seed) for section in sections]
    trained = _done(engine, training, progress)
    errors = [f"{name}: {one.error}" for name, one in trained.items() if one.error]
    usable = [section for section in sections if not trained[section.id].error]
    scoring = [
        _score_task(section, out, str(trained[section.id].values["bundle_sha256"]))
        for section in usable
    ]
    scored = _done(engine, scoring, progress)
    results = []
    for section in usable:
        result = scored[section.id]
        if result.error:
            errors.append(f"{section.id}: {result.error}")
            continue
        rows = {row["file"]: row for row in result.values["recordings"]}
        errors += [f"{name}: {row['error']}" for name, row in rows.items() if row["error"]]
        _write_submission(section, rows, out)
        scores = _scores(section, rows)
        figures = figures_of(scores) if _is_complete(scores) else None
        results.append(SectionResult(section, rows, figures, scores))
    return DcaseResult(tuple(results), tuple(errors))


def official(results: Sequence[SectionResult], seed: int) -> tuple[float, Interval | None]:
    """The official score of sections with figures, and its interval."""
    figures = [one.figures for one in results if one.figures is not None]
    scores = [one.scores for one in results if one.figures is not None and one.scores is not None]
    return official_score(figures), official_interval(scores, seed)


def _train_task(section: Section, out: Path, settings: AudioSettings, seed: int) -> Task:
    recordings = tuple(str(path.absolute()) for path in section.train)
    arguments = {
        "recordings": list(recordings),
        "references": [],
        "shares": False,
        "false_alarms_per_week": 1.0,
        "seed": seed,
        "keep_outliers": True,  # the few clips of the target domain are known to be healthy
        "report": True,
        "settings": settings.model_dump(mode="json"),
        "overwrite": False,
    }
    return Task(f"train-{section.id}", "train", section.id, out.absolute(), recordings, arguments)


def _score_task(section: Section, out: Path, bundle_sha256: str) -> Task:
    recordings = tuple(str(clip.path.absolute()) for clip in section.test)
    bundle = str(out.absolute() / section.id)
    arguments = {"bundle": bundle, "bundle_sha256": bundle_sha256}
    return Task(f"score-{section.id}", "score", section.id, out.absolute(), recordings, arguments)


def _done(
    engine: Engine, tasks: Sequence[Task], progress: Callable[[int, int, Result], None]
) -> dict[str, Result]:
    """The result of each task by machine: of an earlier run, or of this one."""
    known = {task.machine: one for task in tasks if (one := recorded(task)) is not None}
    pending = [task for task in tasks if task.machine not in known]
    for number, result in enumerate(engine.results(pending), 1):
        known[result.machine] = result
        progress(number, len(pending), result)
    return known


def _scores(section: Section, rows: dict[str, dict[str, Any]]) -> SectionScores:
    def of(*kinds: tuple[str, str]) -> Any:
        wanted = [clip for clip in section.test if (clip.domain, clip.label) in kinds]
        found = [_row(clip, rows)["score"] for clip in wanted]
        return np.array([one for one in found if one is not None], dtype=np.float64)

    return SectionScores(
        of(("source", "normal")),
        of(("target", "normal")),
        of(("source", "anomaly"), ("target", "anomaly")),
    )


def _is_complete(scores: SectionScores) -> bool:
    return bool(len(scores.normal_source) + len(scores.normal_target)) and bool(
        len(scores.anomalous)
    )


def _write_submission(section: Section, rows: dict[str, dict[str, Any]], out: Path) -> None:
    """``anomaly_score_*`` and ``decision_result_*``, as the organisers' evaluator reads them."""
    name = f"{section.machine_type}_{section.name}_test.csv"
    scored = [(clip.path.name, _row(clip, rows)) for clip in section.test]
    scored = [(clip, row) for clip, row in scored if row["score"] is not None]
    tables = {
        "anomaly_score": [(clip, row["score"]) for clip, row in scored],
        "decision_result": [(clip, int(row["score"] > row["threshold"])) for clip, row in scored],
    }
    for kind, lines in tables.items():
        with (out / f"{kind}_{name}").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)


def _row(clip: Clip, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return rows[str(clip.path.absolute())]
