"""The layout of DCASE Task 2: machine types, sections and clips by the names of the files.

A machine type is a folder with ``train`` and ``test``, or as in 2021 with ``train``,
``source_test`` and ``target_test``. The names are ``section_00_source_train_normal_0000_*.wav``
and ``section_00_target_test_anomaly_0000_*.wav``. Clips for evaluation have no answer in their
name, such as ``section_00_0000.wav``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from monitor.audio.recordings import recording_files
from monitor.config.machine_id import check_machine_id
from monitor.errors import BadInputError, MissingInputError

_TRAIN = re.compile(r"(section_\d+)_(?:source|target)_train_normal(?:_|$)")
_TEST = re.compile(r"(section_\d+)(?:_(source|target)_test_(normal|anomaly))?_")
_TEST_FOLDERS = ("test", "source_test", "target_test")


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip of the test. ``domain`` and ``label`` are empty if the name does not have them."""

    path: Path
    domain: str
    label: str


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a machine type: its healthy clips to train on, and the clips of the test."""

    machine_type: str
    name: str
    train: tuple[Path, ...]
    test: tuple[Clip, ...]

    @property
    def id(self) -> str:
        """The name of its bundle."""
        return f"{self.machine_type}-{self.name}"


def read_layout(folder: Path) -> list[Section]:
    """The sections below ``folder``, which is one machine type or holds several.

    Raises ``MissingInputError`` if there is no machine type, and ``BadInputError`` with a line for
    each clip whose name has no section, and for a section that has no clips to train on or to test.
    """
    if not folder.is_dir():
        raise MissingInputError(f"--dcase {folder}: no such folder")
    types = [folder] if _is_type(folder) else sorted(filter(_is_type, folder.iterdir()))
    if not types:
        raise MissingInputError(
            f"--dcase {folder}: no machine type in it: expected a folder with train and test"
        )
    return [section for one in types for section in _sections(one)]


def _is_type(folder: Path) -> bool:
    return (folder / "train").is_dir() and any((folder / one).is_dir() for one in _TEST_FOLDERS)


def _sections(folder: Path) -> list[Section]:
    machine_type = folder.absolute().name
    try:
        check_machine_id(machine_type)
    except ValueError as error:
        raise BadInputError(f"{folder}: the name of a machine type {error}") from None
    train, test = defaultdict[str, list[Path]](list), defaultdict[str, list[Clip]](list)
    wrong = []
    for path in recording_files([folder / "train"]):
        if found := _TRAIN.match(path.name):
            train[found[1]].append(path)
        else:
            wrong.append(f"{path}: expected section_NN_source_train_normal_... as its name")
    tests = [folder / one for one in _TEST_FOLDERS if (folder / one).is_dir()]
    for path in recording_files(tests):
        if found := _TEST.match(path.name):
            test[found[1]].append(Clip(path, found[2] or "", found[3] or ""))
        else:
            wrong.append(f"{path}: expected section_NN_source_test_normal_... as its name")
    names = sorted({*train, *test})
    wrong += [f"{folder}: {one} has no clips in train" for one in names if not train[one]]
    wrong += [f"{folder}: {one} has no clips in test" for one in names if not test[one]]
    if wrong:
        raise BadInputError(*wrong)
    return [Section(machine_type, one, tuple(train[one]), tuple(test[one])) for one in names]
