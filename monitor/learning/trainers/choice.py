"""Which trainer a machine has."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from monitor.learning.settings import LearningSettings
from monitor.learning.trainers.by_hand import ByHand
from monitor.learning.trainers.child import ChildTrainer
from monitor.learning.trainers.other_unit import OtherUnit, requests_folder
from monitor.learning.trainers.protocol import Trainer
from monitor.learning.trainers.train_command import PACKAGES


def make_trainer(settings: LearningSettings, work: Path) -> Trainer:
    """The trainer of the settings. ``work``: its folder, ``STATE_DIR/learning/MACHINE/work``."""
    has_packages = all(importlib.util.find_spec(name) for name in PACKAGES)
    kind = settings.trainer
    if kind == "elsewhere" or (kind != "child" and not has_packages):
        return ByHand(work)
    if kind == "request":
        return OtherUnit(work, requests_folder(work.parents[2]), work.parent.name)
    return ChildTrainer(work, settings.memory_mb)
