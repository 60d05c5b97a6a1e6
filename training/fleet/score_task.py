"""The task that scores recordings as wholes, with the bundle of one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monitor.detection.settings import DetectorSettings
from monitor.model.bundle import load_bundle
from monitor.model.network import Network
from monitor.offline.replay import ReplaySinks, replay_recording
from training.fleet.inputs import local_paths
from training.fleet.tasks import Task


def score(task: Task) -> tuple[dict[str, object], dict[str, str]]:
    """A row for each recording: its score, the threshold, or why there is none."""
    bundle = load_bundle(Path(task.arguments["bundle"]))
    network, detector = Network(bundle), DetectorSettings()
    sinks = ReplaySinks(lambda *_: None, lambda *_: None)
    rows: list[dict[str, Any]] = []
    with local_paths(task.recordings) as paths:
        for name, path in paths.items():
            one = replay_recording(
                path, bundle, network, detector, sinks, machine=task.machine, start_unix_s=0.0
            )
            rows.append(
                {
                    "file": name,
                    "score": one.score if one.is_scored else None,
                    "threshold": one.threshold,
                    "error": one.error
                    or ("" if one.is_scored else f"the machine is {one.operation}"),
                }
            )
    return {"recordings": rows}, {}
