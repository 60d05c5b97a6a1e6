"""The network between the daemon and the broker, which can be closed, cut and observed."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

from tests.mosquitto import free_port

_RESET = struct.pack("ii", 1, 0)


class Network:
    """A port that forwards to another one. ``cut`` resets the connections."""

    def __init__(self, to_port: int) -> None:
        self._to = ("127.0.0.1", to_port)
        self._listener: socket.socket | None = None
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._guard = threading.Lock()
        self._ambush: tuple[str, Callable[[], None]] | None = None
        self._accepting: threading.Thread | None = None
        self.port = free_port()

    def open(self) -> None:
        """Accept connections."""
        if self._listener is None:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen()
            self._listener = listener
            self._accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
            self._accepting.start()

    def close(self) -> None:
        """Refuse connections and reset the existing ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        # The kernel accepts connections until ``accept`` has returned.
        accepting = self._accepting
        if accepting is not None and accepting is not threading.current_thread():
            accepting.join()
        self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        with self._guard:
            pairs, self._pairs = self._pairs, set()
        for one in (sock for pair in pairs for sock in pair):
            _reset(one)

    @property
    def is_open(self) -> bool:
        """Whether connections are accepted."""
        return self._listener is not None

    def ambush(self, moment: str, action: Callable[[], None]) -> None:
        """Do something once, at the next ``connecting``, ``alert coming`` or ``alert passed``."""
        self._ambush = (moment, action)

    def forget_ambush(self) -> bool:
        """Cancel it; return whether it had not happened yet."""
        ambush, self._ambush = self._ambush, None
        return ambush is not None

    def _spring(self, moment: str) -> None:
        ambush = self._ambush
        if ambush is not None and ambush[0] == moment:
            self._ambush = None
            ambush[1]()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(self._to, 2)
                there.settimeout(None)
            except OSError:
                _reset(here)
                continue
            with self._guard:
                self._pairs.add((here, there))
            self._spring("connecting")
            for source, target, watched in ((here, there, True), (there, here, False)):
                threading.Thread(
                    target=self._pump, args=(source, target, watched), daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, watched: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                alert = watched and b"/alert" in data
                if alert:
                    self._spring("alert coming")
                target.sendall(data)
                if alert:
                    self._spring("alert passed")
        with self._guard:
            self._pairs = {pair for pair in self._pairs if source not in pair}
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _reset(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
