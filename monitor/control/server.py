"""The clients of the control socket: a thread of its own, with limits for every client."""

from __future__ import annotations

import contextlib
import logging
import pwd
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from monitor.control.address import GROUP
from monitor.control.dispatcher import Dispatcher
from monitor.control.listening import ListeningSocket
from monitor.control.messages import MAX_REQUEST_BYTES, refused
from monitor.errors import ServiceUnavailableError, UsageError

log = logging.getLogger(__name__)

_CREDENTIALS = struct.Struct("3i")  # process, user and group: struct ucred of unix(7)


@dataclass(slots=True, eq=False)
class _Client:
    """A connection. ``until_s``: when it is closed if no request was answered before."""

    socket: socket.socket
    by: str
    until_s: float
    received: bytearray = field(default_factory=bytearray)
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    is_last: bool = False
    """Whether the connection is closed after what is unsent."""


class ControlServer:
    """Answers requests on a Unix socket.

    A request is one line of at most ``MAX_REQUEST_BYTES``. A client must send it and receive its
    answer within ``CLIENT_S`` seconds, otherwise its connection is closed. Above ``MAX_CLIENTS``
    clients, the one that has waited longest is closed. The thread handles at most
    ``EVENTS_PER_S`` events a second, so that no client can take the processor from the machines.
    """

    MAX_CLIENTS: ClassVar[int] = 16
    CLIENT_S: ClassVar[float] = 10.0
    EVENTS_PER_S: ClassVar[float] = 200.0
    BURST: ClassVar[int] = 100
    STOP_TIMEOUT_S: ClassVar[float] = 1.0
    WATCH_S: ClassVar[float] = 5.0
    """How often to look whether the socket is still there. The runtime folder of a user is removed
    when the user logs out."""
    _PAUSE_AFTER_ERROR_S: ClassVar[float] = 1.0

    def __init__(self, path: Path, dispatcher: Dispatcher, group: str = GROUP) -> None:
        """``group``: its members may use the socket, if the system has this group."""
        self._socket = ListeningSocket(path, group)
        self._path = path
        self._dispatcher = dispatcher
        self._watch_due_s = 0.0
        self._trouble = ""
        self._clients: dict[int, _Client] = {}
        self._stopping = threading.Event()
        self._tokens = float(self.BURST)
        self._tokens_at_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        """Listen and start the thread. Raises as ``ListeningSocket.open``."""
        self._listener = self._socket.open()
        self._wake_in, self._wake_out = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and remove the socket. A second call changes nothing."""
        if self._thread.ident is None or self._stopping.is_set():
            return
        self._stopping.set()
        with contextlib.suppress(OSError):  # the thread may have ended already
            self._wake_in.send(b"\0")
        self._thread.join(self.STOP_TIMEOUT_S)
        self._socket.close()

    # The thread.

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._serve()
            except Exception:  # a bug here must not end the commands
                log.exception("control socket: internal error")
                self._stopping.wait(self._PAUSE_AFTER_ERROR_S)
            for client in list(self._clients.values()):
                self._close(client)
        self._selector.close()
        for one in (self._listener, self._wake_in, self._wake_out):
            one.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            self._watch()
            due_s = min([self._watch_due_s, *(one.until_s for one in self._clients.values())])
            for key, _ in self._selector.select(max(0.0, due_s - time.monotonic())):
                if self._stopping.is_set():
                    return
                self._pace()
                if key.fileobj is self._listener:
                    self._accept()
                elif (client := self._clients.get(key.fd)) is not None:
                    self._advance(client)
            now_s = time.monotonic()
            for client in [one for one in self._clients.values() if one.until_s <= now_s]:
                self._close(client)

    def _watch(self) -> None:
        """Listen again if somebody has removed the socket."""
        if time.monotonic() < self._watch_due_s:
            return
        self._watch_due_s = time.monotonic() + self.WATCH_S
        if not self._socket.is_removed():
            return
        self._socket.close()
        try:
            listener = self._socket.open()
        except ServiceUnavailableError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("the control socket was removed: %s", error)
            return
        self._trouble = ""
        self._selector.unregister(self._listener)
        self._listener.close()
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ)
        log.warning("%s was removed: it was made again", self._path)

    def _pace(self) -> None:
        """Wait until another event may be handled (token bucket)."""
        now_s = time.monotonic()
        gained = (now_s - self._tokens_at_s) * self.EVENTS_PER_S
        self._tokens = min(float(self.BURST), self._tokens + gained) - 1.0
        self._tokens_at_s = now_s
        if self._tokens < 0.0:
            self._stopping.wait(-self._tokens / self.EVENTS_PER_S)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:  # too many open files, or the client has gone
            log.warning("control socket: %s", error.strerror)
            self._stopping.wait(self._PAUSE_AFTER_ERROR_S)
            return
        connection.setblocking(False)
        if len(self._clients) >= self.MAX_CLIENTS:
            self._close(min(self._clients.values(), key=lambda one: one.until_s))
        client = _Client(connection, _user_of(connection), time.monotonic() + self.CLIENT_S)
        self._clients[connection.fileno()] = client
        self._selector.register(connection, selectors.EVENT_READ)

    def _advance(self, client: _Client) -> None:
        """Send what is unsent, or receive more of a request and answer a complete one."""
        try:
            if not client.unsent:
                self._receive(client)
            if client.unsent:
                self._send(client)
        except BlockingIOError:
            return
        except OSError:  # the client has gone
            self._close(client)

    def _receive(self, client: _Client) -> None:
        part = client.socket.recv(MAX_REQUEST_BYTES)
        if not part and not client.received:
            raise ConnectionResetError
        if not part:
            client.unsent = memoryview(refused(UsageError("a request ends with a newline")))
            client.is_last = True
            return
        client.received += part
        line, newline, rest = bytes(client.received).partition(b"\n")
        if not newline and len(line) < MAX_REQUEST_BYTES:
            return
        client.received.clear()
        if len(line) >= MAX_REQUEST_BYTES:
            answer = refused(UsageError(f"a request has at most {MAX_REQUEST_BYTES} bytes"))
            client.is_last = True
        elif rest:
            answer = refused(UsageError("wait for the answer before you send another request"))
            client.is_last = True
        else:
            answer = self._dispatcher.answer(line, client.by)
        client.unsent = memoryview(answer)

    def _send(self, client: _Client) -> None:
        with contextlib.suppress(BlockingIOError):
            client.unsent = client.unsent[client.socket.send(client.unsent) :]
        if client.unsent:
            self._selector.modify(client.socket, selectors.EVENT_WRITE)
        elif client.is_last:
            self._close(client)
        else:
            client.until_s = time.monotonic() + self.CLIENT_S
            self._selector.modify(client.socket, selectors.EVENT_READ)

    def _close(self, client: _Client) -> None:
        del self._clients[client.socket.fileno()]
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(client.socket)
        client.socket.close()


def _user_of(connection: socket.socket) -> str:
    """The name of the user of the client, or ``user`` and the number without a name."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user_id = _CREDENTIALS.unpack(packed)[1]
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"user {user_id}"
