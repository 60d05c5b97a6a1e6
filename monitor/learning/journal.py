"""The progress of the learning of a machine, in one small file that is replaced at each step."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from monitor.detection.duty_cycle import DutyPart
from monitor.durable import replace_content
from monitor.text.regular_files import MOST_STATE_BYTES, read_regular

log = logging.getLogger(__name__)

Stage = Literal["collecting", "provisional", "armed"]
RelearnStep = Literal["collecting", "training", "comparing", "ready", "failed"]
CONFIGURED = ""
"""The name of the bundle of the configuration, in place of a learned one."""
MOST_ALARMS = 100
_NAME = "journal.json"
_COPY = "journal.copy"


@dataclass(slots=True)
class LearnedBundle:
    """A bundle that was learned. ``name``: its folder below ``bundles``.

    ``heard_s``, ``running_s``: those of the journal when its training began.
    """

    name: str
    made_at: str
    reason: str
    heard_s: float
    running_s: float
    pieces: int


@dataclass(slots=True)
class NamedPiece:
    """A piece that a person should listen to, and why."""

    name: str
    recorded_at: str
    reason: str


@dataclass(slots=True)
class Alarm:
    """An alarm of a provisional bundle, in seconds of sound received since the learning began."""

    begin_s: float
    end_s: float | None = None


@dataclass(slots=True)
class UnseenSound:
    """The sound of one day that was scored by a bundle that was made before.

    ``scored_s``: seconds of it. ``alarms``: at most ``MOST_ALARMS`` of
    ``n_alarms``.
    """

    bundle: str
    day: int
    scored_s: float = 0.0
    n_alarms: int = 0
    alarms: list[Alarm] = field(default_factory=list)


@dataclass(slots=True)
class Relearning:
    """A new bundle beside the one in use.

    ``by``: the operator. ``collect_s``: seconds of sound to collect before the training, of which
    ``collected_s`` are received. ``alarms``: of the bundle in use meanwhile. ``pieces`` and
    ``clips``: what the training has, ``clips`` by their evidence ids. ``false_alarms``: the ids of
    all alerts with this label when it began. ``trouble``: why it failed.
    """

    step: RelearnStep
    began_at: str
    by: str
    collect_s: float = 0.0
    collected_s: float = 0.0
    alarms: list[Alarm] = field(default_factory=list)
    pieces: int = 0
    clips: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    trouble: str = ""


@dataclass(slots=True)
class Journal:
    """The progress of the learning.

    ``heard_s``: seconds of sound received since it began; ``running_s``: those of the running
    machine.
    ``levels``: seconds at each level, before the first bundle; see ``LevelClasses``.
    ``bundle``: the one in use, ``CONFIGURED``, or None. ``bundles``: all that were made, the
    oldest first. ``unfit``: pieces that the last training left out. ``aside``: all pieces that
    are not learned. ``rare``: pieces that are learned although they are unlike most others.
    ``duty``: how often the machine started and for how long it ran, by hours of
    sound, while it was provisional. ``armed_by``: why the machine was armed. ``relearning``: of an
    armed machine, None if nothing is under way.
    """

    stage: Stage = "collecting"
    began_at: str = ""
    heard_s: float = 0.0
    running_s: float = 0.0
    levels: list[float] = field(default_factory=list)
    bundle: str | None = None
    bundles: list[LearnedBundle] = field(default_factory=list)
    unseen: list[UnseenSound] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    aside: list[NamedPiece] = field(default_factory=list)
    rare: list[NamedPiece] = field(default_factory=list)
    duty: list[DutyPart] = field(default_factory=list)
    armed_by: str = ""
    relearning: Relearning | None = None

    @property
    def collects(self) -> bool:
        """Whether pieces of sound are kept now."""
        if self.stage == "armed":
            return self.relearning is not None and self.relearning.step == "collecting"
        return True

    @property
    def newest(self) -> LearnedBundle | None:
        """The bundle in use, if it was learned."""
        return next((one for one in self.bundles if one.name == self.bundle), None)

    def unseen_by(self, bundle: str | None, day: int | None = None) -> list[UnseenSound]:
        """The unseen sound of a bundle, or only that of one day."""
        return [
            one for one in self.unseen if one.bundle == bundle and (day is None or one.day == day)
        ]


@cache
def _journal() -> TypeAdapter[Journal]:
    return TypeAdapter(Journal)


@dataclass(frozen=True, slots=True)
class InUse:
    """The bundles of a machine, the one in use first, then those to use if it is damaged.

    ``duty``: see ``Journal``.
    """

    stage: Stage
    bundles: tuple[Path, ...]
    duty: tuple[DutyPart, ...] = ()


def in_use(state_dir: Path | None, machine: str, configured: Path | None) -> InUse:
    """The bundles of a machine with ``[machine.learning]``, by its journal.

    ``configured``: its bundle in the configuration.
    """
    beside = (configured,) if configured is not None else ()
    journal = None
    if state_dir is not None:
        folder = folder_of(state_dir, machine)
        try:
            journal = read_journal(folder)
        except OSError as error:
            log.warning("the progress of the learning cannot be read: %s", error)
    if journal is None:
        return InUse("armed" if beside else "collecting", beside)
    if journal.stage == "collecting" or journal.bundle is None:
        return InUse("collecting", ())
    if journal.bundle == CONFIGURED:
        return InUse(journal.stage, beside, tuple(journal.duty))
    names = [one.name for one in journal.bundles]
    until = names.index(journal.bundle) + 1 if journal.bundle in names else len(names)
    learned = tuple(folder / "bundles" / name for name in reversed(names[:until]))
    return InUse(journal.stage, (*learned, *beside), tuple(journal.duty))


def folder_of(state_dir: Path, machine: str) -> Path:
    """The folder of all files of the learning of a machine."""
    return state_dir / "learning" / machine


def read_journal(folder: Path) -> Journal | None:
    """The journal of a machine; None if its learning has never begun.

    A damaged journal is kept under another name. Then its copy is used or, if that is not usable
    either, the learning begins again.
    """
    path = folder / _NAME
    try:
        return _journal().validate_json(read_regular(path, MOST_STATE_BYTES))
    except FileNotFoundError:
        fault = "does not exist"
    except ValueError:  # also that of the validation
        fault = "is damaged; it is kept as journal.damaged"
        path.replace(path.with_suffix(".damaged"))
    try:
        content = read_regular(folder / _COPY, MOST_STATE_BYTES)
        journal = _journal().validate_json(content)
    except FileNotFoundError:
        if "damaged" not in fault:
            return None
    except ValueError:
        (folder / _COPY).unlink()
    else:
        log.error("%s %s: its copy of the last change of the bundle is used", path, fault)
        write_journal(folder, journal)
        return journal
    log.error("the learning begins again, because %s %s", path, fault)
    return None


def write_journal(folder: Path, journal: Journal) -> None:
    """Replace the journal; after a kill it is the earlier or the new one. Raises ``OSError``."""
    replace_content(folder / _NAME, json.dumps(asdict(journal), indent=1).encode())


def write_copy(folder: Path, journal: Journal) -> None:
    """Write a second journal, for the case that the first one is damaged. Raises ``OSError``."""
    replace_content(folder / _COPY, json.dumps(asdict(journal), indent=1).encode())
