"""The task that scores a stretch of the archive of one machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitor.alerts import AlertDraft
from monitor.audio.files import read_blocks
from monitor.audio.recordings import recording_blocks
from monitor.audio.start_time import start_times
from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock, LogMelBlock, Score
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.network import Network
from monitor.offline.replay import ReplaySinks, replay_recording
from training.fleet.inputs import local_paths
from training.fleet.score_table import ScoreRow, write_scores
from training.fleet.tasks import Task, sha256_of_file

SCORES = "scores"
"""The folder of the scores, in the output folder: ``machine=M/day=D/TASK.parquet``."""
UNDATED = "undated"
LEAD_IN_S = 960.0
"""So much sound before a stretch is scored without a row: the longest span has 900 s."""

_networks: dict[str, tuple[Bundle, Network]] = {}


def replay(task: Task) -> tuple[dict[str, object], dict[str, str]]:
    """Score the parts of the task, and write their scores. Raises as ``load_bundle``.

    A recording that cannot be read gives a row with an error.
    """
    bundle, network = _loaded(Path(task.arguments["bundle"]), task.arguments["bundle_sha256"])
    detector = DetectorSettings.model_validate(task.arguments["detector"])
    scores: dict[str, list[ScoreRow]] = {}
    recordings: list[dict[str, Any]] = []
    alerts: list[dict[str, Any]] = []
    with local_paths(task.recordings) as paths:
        starts = start_times(list(paths.values()), None)
        for part in task.arguments["parts"]:
            path = paths[part["file"]]
            one = Stretch(bundle, part["file"], part["from_s"], part["to_s"], starts[path])
            summary = replay_recording(
                path,
                bundle,
                network,
                detector,
                ReplaySinks(one.score, one.alert),
                machine=task.machine,
                start_unix_s=(starts[path] or 0.0) + one.begins_s,
                blocks=one.blocks(path),
            )
            recordings.append(
                {
                    "machine": task.machine,
                    "file": part["file"],
                    "start_s": one.from_s,
                    "end_s": min(one.to_s, one.begins_s + summary.seconds),
                    "score": summary.score if summary.is_scored else None,
                    "threshold": None if summary.error else summary.threshold,
                    "anomalous": bool(
                        summary.is_scored and (summary.score > summary.threshold or one.n_raised)
                    ),
                    "alerts": one.n_raised,
                    "error": summary.error,
                    "operation": summary.operation,
                    "not_judged": summary.not_judged,
                }
            )
            alerts += [{"machine": task.machine, **alert} for alert in one.alerts]
            for day, rows in one.rows.items():
                scores.setdefault(day, []).extend(rows)
    values: dict[str, object] = {"recordings": recordings, "alerts": alerts}
    return values, _write(task, scores)


class Stretch:
    """A recording, or a stretch of it: what is kept of its scores and alerts."""

    def __init__(
        self, bundle: Bundle, file: str, from_s: float, to_s: float | None, start: float | None
    ) -> None:
        self.from_s, self.to_s = from_s, float("inf") if to_s is None else to_s
        # Positions of scores and alerts count from here.
        self.begins_s = max(0.0, from_s - LEAD_IN_S)
        self.rows: dict[str, list[ScoreRow]] = {}
        self.alerts: list[dict[str, Any]] = []
        self.n_raised = 0
        self._bundle, self._file, self._start_unix_s = bundle, file, start
        self._rate_hz = bundle.spec.sample_rate_hz
        self._threshold = bundle.calibration.threshold

    def blocks(self, path: Path) -> Iterator[AudioBlock | LogMelBlock]:
        """The sound of the stretch, with its lead-in. Positions count from its beginning."""
        if self.from_s == 0.0 and self.to_s == float("inf"):
            yield from recording_blocks(path, self._bundle.spec)
            return
        rate_hz = next(read_blocks(path)).sample_rate_hz
        skip = round(self.begins_s * rate_hz)
        end_sample = self.to_s * rate_hz
        for block in read_blocks(path, skip_frames=skip):
            if block.first_sample >= end_sample:
                return
            yield replace(block, first_sample=block.first_sample - skip)

    def score(self, _file: str, score: Score) -> None:
        """Keep a score that ends in the stretch."""
        begins = round(self.begins_s * self._rate_hz)  # whole seconds: as in the whole recording
        end_s = (begins + score.end_sample) / self._rate_hz
        if not self.from_s < end_s <= self.to_s:
            return
        at_s = None if self._start_unix_s is None else self._start_unix_s + end_s
        row = ScoreRow(
            self._file,
            (begins + score.first_sample) / self._rate_hz,
            end_s,
            at_s,
            score.value,
            score.loss,
            self._threshold,
        )
        self.rows.setdefault(_day(at_s), []).append(row)

    def alert(self, _file: str, draft: AlertDraft, at_s: float) -> None:
        """Keep an alert that was reported in the stretch."""
        at_s += self.begins_s
        if not self.from_s < at_s <= self.to_s:
            return
        self.n_raised += draft.kind == "raised"
        is_dated = self._start_unix_s is not None
        self.alerts.append(
            {
                "file": self._file,
                "kind": draft.kind,
                "at_s": at_s,
                "at": draft.at if is_dated else None,
                "score": draft.score,
                "peak_score": draft.peak_score,
                "threshold": draft.threshold,
                "bands_hz": [list(band) for band in draft.bands_hz],
            }
        )


def _day(at_unix_s: float | None) -> str:
    return (
        UNDATED if at_unix_s is None else datetime.fromtimestamp(at_unix_s, UTC).date().isoformat()
    )


def _loaded(path: Path, sha256: str) -> tuple[Bundle, Network]:
    """The bundle, kept for the next task of this worker."""
    if sha256 not in _networks:
        _networks.clear()
        bundle = load_bundle(path)
        _networks[sha256] = bundle, Network(bundle)
    return _networks[sha256]


def _write(task: Task, scores: dict[str, list[ScoreRow]]) -> dict[str, str]:
    """A file for each day, and its hash. Files of an earlier run of this task are removed."""
    folder = task.out / SCORES / f"machine={task.machine}"
    for earlier in folder.glob(f"day=*/{task.id}.parquet"):
        earlier.unlink()
    files = {}
    for day, rows in sorted(scores.items()):
        path = folder / f"day={day}" / f"{task.id}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.part-{os.getpid()}")
        write_scores(partial, rows)
        partial.replace(path)
        files[path.relative_to(task.out).as_posix()] = sha256_of_file(path)
    return files
