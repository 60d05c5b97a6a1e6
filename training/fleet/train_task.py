"""The task that makes the bundle of one machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from monitor.errors import UsageError
from monitor.model.bundle import MANIFEST
from monitor.model.replacement import keep_previous
from training.fleet.frame_cache import FrameCache
from training.fleet.inputs import local_paths
from training.fleet.tasks import (
    FRAMES,
    WORK,
    Task,
    hashes_below,
    note_placed,
    sha256_of_file,
    was_done,
    was_placed,
)
from training.sound.report import write_report
from training.sound.request import AudioRequest, ReferenceMachine
from training.sound.settings import AudioSettings
from training.sound.train import AudioResult, train_audio


def train(task: Task) -> tuple[dict[str, object], dict[str, str]]:
    """Train, write the report, and put the bundle in its place. Raises as ``train_audio``.

    The bundle is made beside its place and renamed: a killed worker leaves nothing there. A bundle
    that was there is kept as ``MACHINE.previous-1``.
    """
    final = task.out / task.machine
    _check_place(final, task)
    torch.set_num_threads(1)  # workers run side by side, and more threads change the last bits
    unfinished = task.out / WORK / f"{task.machine}-{os.getpid()}" / task.machine
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True)
    try:
        with local_paths(task.recordings) as paths:
            result = train_audio(_request(task, paths, unfinished))
        if task.arguments["report"]:
            write_report(result, final)
        if (final / MANIFEST).exists():
            if not _is_unrecorded(final, task):
                keep_previous(final)
            shutil.rmtree(final)
        note_placed(task, sha256_of_file(unfinished / MANIFEST))
        unfinished.rename(final)
    finally:
        shutil.rmtree(unfinished.parent, ignore_errors=True)
    return _values(result), dict(hashes_below(final, task.out))


def _is_unrecorded(final: Path, task: Task) -> bool:
    """Whether a worker put this bundle there and was killed before its record."""
    return was_placed(task, sha256_of_file(final / MANIFEST))


def _check_place(final: Path, task: Task) -> None:
    """Raise ``UsageError`` for a place that must not be replaced by the bundle."""
    if (final / MANIFEST).exists():
        if not task.arguments["overwrite"] and not _is_unrecorded(final, task):
            why = "has other inputs or is damaged" if was_done(task) else "is a bundle"
            raise UsageError(f"{final}: {why}: --overwrite replaces it and keeps a copy")
        if any(final in Path(recording).parents for recording in task.recordings):
            raise UsageError(f"{final}: contains recordings of the fleet: choose another --out")
    elif final.exists() and not (final.is_dir() and not any(final.iterdir())):
        raise UsageError(f"{final}: is there already and is no bundle: choose another --out")


def _request(task: Task, paths: dict[str, Path], out: Path) -> AudioRequest:
    given: dict[str, Any] = task.arguments
    more: dict[str, Any] = {}
    if given["shares"]:
        more["read"] = FrameCache(task.out / FRAMES).read
    return AudioRequest(
        tuple(paths[one] for one in given["recordings"]),
        out,
        references=tuple(
            ReferenceMachine(one["name"], tuple(paths[path] for path in one["recordings"]))
            for one in given["references"]
        ),
        false_alarms_per_week=given["false_alarms_per_week"],
        seed=given["seed"],
        device="cpu",
        keep_outliers=given["keep_outliers"],
        settings=AudioSettings.model_validate(given["settings"]),
        **more,
    )


def _values(result: AudioResult) -> dict[str, object]:
    """The columns of ``fleet.parquet``, the same for every worker."""
    bundle, calibration = result.bundle, result.bundle.calibration
    with_network = [one.mean_auc for one in result.controls if one.name != "no network"]
    without = [one.mean_auc for one in result.controls if one.name == "no network"]
    return {
        "score": bundle.manifest.score.kind,
        "threshold": calibration.threshold,
        "recording_threshold": calibration.recording_threshold,
        "false_alarms_per_week": calibration.false_alarms_per_week,
        "supported_false_alarms_per_week": calibration.supported_false_alarms_per_week,
        "provisional": calibration.provisional,
        "recordings": calibration.recordings,
        "seconds": calibration.healthy_s,
        "network_auc": max(with_network),
        "control_auc": max(without),
        "left_out": len(result.findings.outliers) * (not result.findings.kept),
        "bundle_sha256": bundle.sha256,
    }
