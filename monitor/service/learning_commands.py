"""The commands of the control socket about learning and relearning a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from monitor.control.dispatcher import Dispatcher
from monitor.control.messages import MachineArguments, RelearnArguments
from monitor.errors import ConfigError, ServiceUnavailableError
from monitor.learning.learner import Learner


class Shared(Protocol):
    """What these commands have in common with all others."""

    def known(self, machine: str) -> str:
        """The machine itself. Raises ``UsageError`` if it is not monitored."""

    def note(self, by: str, action: str, machine: str, *, value: str = "") -> None:
        """Write what a user did."""

    def reply(self, machine: str) -> dict[str, Any]:
        """Publish the state; the part of the result that is about it."""


class LearningCommands:
    """The handlers. They run in the thread of the control socket.

    ``learner``: of a machine that is learned. ``config``: the file of the daemon, for messages.
    """

    def __init__(
        self, learner: Callable[[str], Learner | None], config: str, shared: Shared
    ) -> None:
        self._learner = learner
        self._config = config
        self._shared = shared

    def register(self, dispatcher: Dispatcher) -> None:
        """Register every command."""
        for do in (Learner.learn, Learner.arm, Learner.rollback):
            dispatcher.register(do.__name__, MachineArguments, partial(self._commission, do))
        dispatcher.register("relearn", RelearnArguments, self._relearn)
        dispatcher.register("relearn_show", MachineArguments, self._show)
        decisions = {"accept": Learner.relearn_accept, "discard": Learner.relearn_discard}
        for name, do in decisions.items():
            decide = partial(self._decide, name, do)
            dispatcher.register(f"relearn_{name}", MachineArguments, decide)

    def _commission(
        self, do: Callable[[Learner, str], str], arguments: MachineArguments, by: str
    ) -> Mapping[str, Any]:
        """Let a learner do something. The main loop changes the bundle within a second."""
        machine = self._shared.known(arguments.machine)
        learner = self._learner_of(machine)
        with _disk_errors():
            message = do(learner, by)
        self._shared.note(by, do.__name__, machine)
        return {"message": message, **self._shared.reply(machine)}

    def _relearn(self, arguments: RelearnArguments, by: str) -> Mapping[str, Any]:
        """Begin, or show what is under way."""
        machine = self._shared.known(arguments.machine)
        learner = self._learner_of(machine)
        with _disk_errors():
            before = learner.relearning()
            message = learner.relearn(by, arguments.collect_s)
            after = learner.relearning()
        if before is None or before["step"] == "failed":
            self._shared.note(by, "relearn", machine, value="begin")
        return {"message": message, "relearning": after, **self._shared.reply(machine)}

    def _show(self, arguments: MachineArguments, _by: str) -> Mapping[str, Any]:
        """What is under way, without a change."""
        machine = self._shared.known(arguments.machine)
        with _disk_errors():
            found = self._learner_of(machine).relearning()
        return {"machine": machine, "relearning": found}

    def _decide(
        self,
        name: str,
        do: Callable[[Learner, str], str],
        arguments: MachineArguments,
        by: str,
    ) -> Mapping[str, Any]:
        """Accept or discard the new bundle."""
        machine = self._shared.known(arguments.machine)
        learner = self._learner_of(machine)
        with _disk_errors():
            message = do(learner, by)
        self._shared.note(by, "relearn", machine, value=name)
        return {"message": message, "relearning": None, **self._shared.reply(machine)}

    def _learner_of(self, machine: str) -> Learner:
        learner = self._learner(machine)
        if learner is None:
            raise ConfigError(
                f'machine "{machine}" is not configured for learning: add the table '
                f"[machine.learning] to it in {self._config} and reload; its bundle stays in use",
                kind="not_learned",
            )
        return learner


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ServiceUnavailableError(f"the disk does not accept changes: {error}") from error
