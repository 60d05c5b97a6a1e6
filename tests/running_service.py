"""The daemon's main loop in a thread, with a receiver for its messages to systemd."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from monitor.mqtt.settings import MqttSettings
from monitor.outbox.queue import Outbox
from monitor.process.signals import SignalQueue
from monitor.process.systemd import Notifier
from monitor.service.delivery import Delivery
from monitor.service.main_loop import MainLoop, Reading
from monitor.service.supervisor import Supervisor


class Manager:
    """systemd's side: the messages of the service, with the time of each."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._received: list[tuple[float, str]] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def has_received(self, word: str, since_s: float = 0.0) -> bool:
        return any(word in text for at_s, text in self._received if at_s >= since_s)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while text := self._socket.recv(4096):
                self._received.append((time.monotonic(), text.decode()))


class RunningService:
    """A service with a real delivery in its own thread, and a manager as its receiver."""

    def __init__(self, folder: Path, outbox: Outbox, settings: MqttSettings) -> None:
        self.manager = Manager(folder / "notify")
        environment = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "200000"}
        self.delivery = Delivery(settings, outbox)
        self.supervisor = Supervisor(self.delivery)
        self.signals = SignalQueue()
        self.reread: Callable[[], Reading] = lambda: (_ for _ in ()).throw(AssertionError("unused"))
        self.service = MainLoop(
            self.supervisor,
            self.delivery,
            Notifier(environment),
            self._reread,
            lambda _reading: None,
        )
        self.thread = threading.Thread(target=self.service.run, args=(self.signals,), daemon=True)

    def _reread(self) -> Reading:
        return self.reread()

    def stop(self) -> None:
        self.signals._commands.put("stop")
        self.thread.join(5)
        self.supervisor.stop()
        self.delivery.stop()
        self.manager.close()

    def notifies_watchdog(self) -> bool:
        """Whether the watchdog is notified from now on."""
        since_s = time.monotonic()
        time.sleep(0.5)
        return self.manager.has_received("WATCHDOG=1", since_s)
