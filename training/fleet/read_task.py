"""The task that reads the recordings of one machine, for all machines of its type."""

from __future__ import annotations

from monitor.audio.recordings import read_each
from training.fleet.frame_cache import FrameCache
from training.fleet.inputs import local_paths
from training.fleet.tasks import FRAMES, Task
from training.sound.settings import AudioSettings


def read_frames(task: Task) -> tuple[dict[str, object], dict[str, str]]:
    """Put the log-mel of the recordings into the cache. Raises as ``read_recording``."""
    spec = AudioSettings.model_validate(task.arguments["settings"]).spec
    cache = FrameCache(task.out / FRAMES)
    with local_paths(task.recordings) as paths:
        read_each(paths.values(), lambda path: len(cache.read(path, spec).frames_db))
    return {}, {}
