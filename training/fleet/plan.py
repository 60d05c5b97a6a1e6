"""A fleet to tasks. The tasks do not depend on the engine, the number of workers or their order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import soundfile

from monitor.errors import AuscultError, MissingInputError
from monitor.model.bundle import load_bundle
from training.fleet.inputs import expanded, identity_of, size_of
from training.fleet.settings import Machine, is_url
from training.fleet.tasks import Result, Task
from training.sound.settings import NetworkSettings, load_audio_settings

STRETCH_S = 7200.0
"""A longer recording is scored in stretches of at most about this length."""
_GRID_S = 64.0
"""Stretches begin at multiples of this: a window then begins where it would begin without the cut,
at every usual sample rate."""
_LONGEST_S = 1.5 * STRETCH_S
_CUT = frozenset({".wav", ".flac", ".w64", ".rf64"})
_TASK_BYTES, _TASK_FILES = 64_000_000, 500


class Plan:
    """The tasks of a fleet, and the machines for which there are none, with the reason.

    ``refused``: by machine. A machine that is refused is no reference of another one either.
    """

    def __init__(self, machines: Sequence[Machine], out: Path) -> None:
        """Raises as ``load_audio_settings``."""
        self.machines, self.out = machines, out
        self.refused: dict[str, Result] = {}
        names = {machine.settings.config for machine in machines}
        self._settings = {
            name: load_audio_settings(Path(name) if name else None) for name in sorted(names)
        }

    def refuse(self, machine: str, reason: str, status: int) -> None:
        """There are no more tasks for this machine."""
        self.refused[machine] = Result(machine, machine, {}, {}, error=reason, status=status)

    def _each(self, tasks_of: Callable[[Machine], list[Task]]) -> list[Task]:
        """The tasks of all machines; a machine whose tasks cannot be planned is refused."""
        tasks = []
        for machine in self.machines:
            if machine.id in self.refused:
                continue
            try:
                tasks += tasks_of(machine)
            except AuscultError as error:
                self.refuse(machine.id, "; ".join(error.lines), error.exit_status)
        return tasks

    def _task(
        self,
        kind: str,
        machine: Machine,
        recordings: Iterable[str],
        arguments: dict[str, Any],
        *,
        number: str = "",
    ) -> Task:
        name = f"{kind}-{machine.id}{number}"
        return Task(name, kind, machine.id, self.out, tuple(recordings), arguments)

    def _settings_json(self, machine: Machine) -> dict[str, Any]:
        return self._settings[machine.settings.config].model_dump(mode="json")


class TrainingPlan(Plan):
    """A task for each bundle, and before it one for each machine whose type shares recordings."""

    def __init__(self, machines: Sequence[Machine], out: Path, *, overwrite: bool) -> None:
        super().__init__(machines, out)
        self._overwrite = overwrite
        self._healthy: dict[str, list[str]] = {}
        self._each(self._find)

    def reading(self) -> list[Task]:
        """The tasks that read the recordings of each machine with ``share``, largest first."""
        return _largest_first(self._each(self._read))

    def training(self) -> list[Task]:
        """The tasks that train, largest first, without the machines that are refused by then."""
        return _largest_first(self._each(self._train))

    def _find(self, machine: Machine) -> list[Task]:
        self._healthy[machine.id] = expanded(machine.patterns("healthy"))
        return []

    def _read(self, machine: Machine) -> list[Task]:
        if not _shares(machine):
            return []
        arguments = {"settings": self._settings_json(machine)}
        return [self._task("read", machine, self._healthy[machine.id], arguments)]

    def _train(self, machine: Machine) -> list[Task]:
        own, settings = self._healthy[machine.id], machine.settings
        references = list(self._references(machine))
        arguments = {
            "recordings": own,
            "references": [
                {"name": name, "recordings": recordings} for name, recordings in references
            ],
            "shares": _shares(machine),
            "false_alarms_per_week": settings.false_alarms_per_week,
            "seed": settings.seed,
            "keep_outliers": settings.keep_outliers,
            "report": settings.report,
            "settings": self._settings_json(machine),
            "overwrite": self._overwrite,
            **_from_outside(self._settings[machine.settings.config].training),
        }
        everything = dict.fromkeys([*own, *(path for _, paths in references for path in paths)])
        return [self._task("train", machine, everything, arguments)]

    def _references(self, machine: Machine) -> Iterator[tuple[str, list[str]]]:
        """Name and recordings: those of the setting, then the next machines of the type."""
        for pattern in machine.patterns("references"):
            yield pattern, expanded([pattern])
        alike = [
            other
            for other in self.machines
            if other.id not in self.refused and _shares(other) and _is_alike(other, machine)
        ]
        if machine in alike:
            at = alike.index(machine)
            others = [*alike[at + 1 :], *alike[:at]]
            for other in others[: machine.settings.most_references]:
                yield other.id, self._healthy[other.id]


class ReplayPlan(Plan):
    """Tasks of about an hour of sound each: files of one machine, or a stretch of a long file."""

    def __init__(self, machines: Sequence[Machine], bundles: Path, out: Path) -> None:
        super().__init__(machines, out)
        self._bundles = bundles

    def replaying(self) -> list[Task]:
        """The tasks that score, in the order of machines and files."""
        return self._each(self._replay)

    def _replay(self, machine: Machine) -> list[Task]:
        bundle = load_bundle(self._bundles / machine.id)
        recordings = expanded(machine.patterns("archive"))
        arguments = {
            "bundle": str(bundle.path),
            "bundle_sha256": bundle.sha256,
            "detector": self._settings_json(machine)["detector"],
        }
        return [
            self._task(
                "replay",
                machine,
                dict.fromkeys(part["file"] for part in parts),
                {**arguments, "parts": parts},
                number=f"-{number:05d}",
            )
            for number, parts in enumerate(_batches(_parts(recordings)))
        ]


def _from_outside(training: NetworkSettings) -> dict[str, Any]:
    """What a network and an encoder from outside are now: a bundle of others is made again.

    Raises ``MissingInputError``, and as ``import_network``.
    """
    found: dict[str, Any] = {}
    if training.network is not None:
        from training.sound.network_import import import_network  # noqa: PLC0415 - loads torch

        found["network"] = import_network(training.network).origin.to_dict()
    if training.encoder is not None:
        if not training.encoder.is_file():
            raise MissingInputError(f"--encoder {training.encoder}: no such file")
        found["encoder"] = identity_of(str(training.encoder))
    return found


def _shares(machine: Machine) -> bool:
    return machine.settings.share == "type" and bool(machine.settings.type)


def _is_alike(one: Machine, other: Machine) -> bool:
    """Of one type, with the same features."""
    return (one.settings.type, one.settings.config) == (other.settings.type, other.settings.config)


def _parts(recordings: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Each recording, or the stretches of a long one. ``to_s`` None: to its end.

    An even number of equal stretches: two workers end at the same time.
    """
    for name in recordings:
        seconds = _long_s(name)
        n_parts = 2 * math.ceil(seconds / (2 * STRETCH_S)) or 1
        step_s = _GRID_S * math.ceil(seconds / n_parts / _GRID_S)
        edges = [index * step_s for index in range(n_parts)]
        for start, end in zip(edges, [*edges[1:], None], strict=True):
            yield {"file": name, "from_s": start, "to_s": end}


def _long_s(name: str) -> float:
    """The length of a recording that may be cut, 0 for any other."""
    path = Path(name)
    if is_url(name) or path.suffix.lower() not in _CUT or size_of(name) < _TASK_BYTES:
        return 0.0
    try:
        seconds = float(soundfile.info(name).duration)
    except (RuntimeError, TypeError, ValueError):  # the task says what is wrong with it
        return 0.0
    return seconds if seconds > _LONGEST_S else 0.0


def _batches(parts: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Parts that are one task: many short recordings, or one stretch."""
    batch: list[dict[str, Any]] = []
    n_bytes = 0
    for part in parts:
        is_stretch = part["from_s"] > 0 or part["to_s"] is not None
        size = size_of(part["file"])
        if batch and (is_stretch or n_bytes + size > _TASK_BYTES or len(batch) == _TASK_FILES):
            yield batch
            batch, n_bytes = [], 0
        batch.append(part)
        n_bytes += _TASK_BYTES if is_stretch else size
    if batch:
        yield batch


def _largest_first(tasks: list[Task]) -> list[Task]:
    """The last task to end is then a short one."""
    return sorted(tasks, key=lambda task: (-task.n_bytes, task.id))
