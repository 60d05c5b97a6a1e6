"""``auscult notify`` as a service: start, stop, reload, and messages to systemd."""

from __future__ import annotations

import errno
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from monitor.config.notify import NotifySettings
from monitor.config.settings import Settings, load_config
from monitor.config.state_folder import (
    companion_dir,
    daemon_state_dir,
    history_path,
    outbox_path,
)
from monitor.errors import AuscultError, ConfigError, ServiceUnavailableError
from monitor.evidence.folder import EvidenceFolder
from monitor.folder_lock import FolderLock, lock_folder_of
from monitor.history.reader import HistoryReader
from monitor.notify.address import read_address
from monitor.notify.ledger_file import LedgerFile
from monitor.notify.plan import plan_of
from monitor.notify.sending import Outcome, Sending
from monitor.notify.target import Target
from monitor.notify.wording import Message
from monitor.notify.workers import Workers
from monitor.outbox.waiting import WaitingAlerts
from monitor.process.logs import set_up_logging, trace_crashes
from monitor.process.secret_files import warn_of_readers
from monitor.process.signals import SignalQueue
from monitor.process.systemd import Notifier
from monitor.text.wording import counted

log = logging.getLogger(__name__)

_DISK_REFUSES = (errno.EROFS, errno.ENOSPC, errno.EDQUOT)
"""The disk is read-only or full. Everything but the memory of what was sent works without it."""

LogFormat = Literal["text", "json"] | None
"""None: as configured."""


def run_notify(config: Path, *, log_format: LogFormat = None) -> None:
    """Send messages until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    Raises what reading the configuration raises, ``ConfigError`` if there is no target or an
    address cannot be used, and ``ServiceUnavailableError`` if another process does the same.
    """
    trace_crashes()
    with ExitStack() as stack:
        signals = stack.enter_context(SignalQueue())
        settings = load_config(config)
        set_up_logging(settings.service.log_level, log_format or settings.service.log_format)
        check_targets(settings, config)
        folder = companion_dir(settings, config, "notify")
        lock = _lock_of(folder)
        stack.callback(lock.close)
        manager = stack.enter_context(Notifier())
        stack.callback(manager.stopping)
        service = _Service(config, folder, log_format, manager)
        stack.callback(service.stop)
        service.start(settings)
        manager.ready()
        service.run(signals, lock)
        log.info("stopping")


def check_targets(settings: Settings, config: Path) -> None:
    """Raise ``ConfigError`` with a line for each target whose address cannot be used."""
    if not settings.notify:
        raise no_target(config)
    if not settings.history.enabled:
        raise no_history(config)
    with ThreadPoolExecutor(max_workers=4) as pool:
        lines = [line for line in pool.map(_mistake, settings.notify) if line]
    if lines:
        raise ConfigError(*lines)


def no_target(config: Path) -> ConfigError:
    """The error for a configuration without targets."""
    return ConfigError(f"{config}: has no [[notify]] table: add one for each person or channel")


def no_history(config: Path) -> ConfigError:
    """The error for a configuration that switches the history off."""
    return ConfigError(
        f"{config}: auscult notify reads the history and does not start without it: set "
        "history.enabled = true"
    )


def send(
    target: NotifySettings, sending: Sending, message: Message, picture: bytes | None = None
) -> Outcome:
    """Send a message to a target. Raises ``ConfigError`` for the file of its address."""
    return sending.send(read_address(target), message, picture, target.timeout_s)


def _mistake(target: NotifySettings) -> str:
    """What is wrong with the address of a target; empty if nothing is."""
    warn_of_readers(target.url_file)
    try:
        found = Sending().check(read_address(target), target.timeout_s)
    except ConfigError as error:
        return str(error)
    return "" if found.is_usable else f'notify "{target.name}": {found.detail}'


class _Service:
    """What runs with one configuration after the other."""

    TICK_S: ClassVar[float] = 1.0
    """How often the history and the outbox are looked at."""
    MARGIN_S: ClassVar[float] = 120.0
    """A thread has stopped working if one turn takes this much longer than an attempt may."""

    def __init__(
        self, config: Path, folder: Path, log_format: LogFormat, manager: Notifier
    ) -> None:
        self._config = config
        self._folder = folder
        self._log_format = log_format
        self._manager = manager
        self._workers: Workers | None = None

    def start(self, settings: Settings) -> None:
        """Start the threads of all targets."""
        log_format = self._log_format or settings.service.log_format
        set_up_logging(settings.service.log_level, log_format)
        state = daemon_state_dir(settings, self._config)
        history = HistoryReader(history_path(state))
        outbox = WaitingAlerts(outbox_path(state))
        evidence = EvidenceFolder(state / "evidence")
        sending = Sending()
        targets = [
            (
                Target(
                    plan_of(one, settings),
                    history=history,
                    outbox=outbox,
                    evidence=evidence,
                    ledger=LedgerFile(self._folder / f"{one.name}.json"),
                    send=partial(send, one, sending),
                ),
                one.timeout_s + self.MARGIN_S,
            )
            for one in settings.notify
        ]
        for target, _ in targets:
            target.begin()
        self._workers = Workers(targets, history, outbox, sending)
        log.info("ready: %s", counted(len(targets), "target"))

    def run(self, signals: SignalQueue, lock: FolderLock) -> None:
        """Look after the threads until a stop is requested.

        Raises ``ServiceUnavailableError`` if the folder was deleted and another process has taken
        its place.
        """
        tick_s = min(self.TICK_S, self._manager.watchdog_interval_s or self.TICK_S)
        status = ""
        while (command := signals.wait(tick_s)) != "stop":
            if command == "reload":
                self._manager.reloading()
                self._reload()
                self._manager.ready()
            if lock.is_lost():
                lock.take_again()
            if self._workers is not None and self._workers.look():
                self._manager.watchdog()
                if self._workers.status != status:
                    status = self._workers.status
                    self._manager.status(status)

    def stop(self) -> None:
        """End the threads."""
        if self._workers is not None:
            self._workers.stop()

    def _reload(self) -> None:
        """Use the configuration as it is now; if it is not valid, nothing changes."""
        try:
            settings = load_config(self._config)
            check_targets(settings, self._config)
        except AuscultError as error:
            log.error("reload refused, the running configuration is unchanged")
            for line in error.lines:
                log.error("%s", f"reload refused: {line}")  # one event for each mistake
            return
        self.stop()
        self.start(settings)


def _lock_of(folder: Path) -> FolderLock:
    """The lock of the folder. Raises ``ServiceUnavailableError``.

    If the disk is full or read-only and there is no lock, nothing is locked: messages that are sent
    twice are better than none.
    """
    path = folder / "lock"
    return FolderLock(path, lambda: _locked(folder, path))


def _locked(folder: Path, path: Path) -> tuple[int, ...]:
    is_new = not os.path.lexists(path)
    descriptor = _lock_file(folder, path)
    try:
        of_folder = lock_folder_of(path, descriptor, is_new=is_new)
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        raise ServiceUnavailableError(
            f"{folder}: another auscult notify uses this folder: stop that one first"
        ) from None
    return tuple(one for one in (descriptor, of_folder) if one is not None)


def _lock_file(folder: Path, path: Path) -> int | None:
    """A descriptor of the file to lock; None if the disk accepts none.

    Raises ``ServiceUnavailableError`` if the folder cannot be used for another reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _DISK_REFUSES:
            raise ServiceUnavailableError(f"{folder}: cannot be used: {error.strerror}") from error
        log.error("%s: %s: messages are sent again after a restart", folder, error.strerror)
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
