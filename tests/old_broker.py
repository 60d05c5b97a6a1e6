"""A broker that does not support MQTT 5."""

from __future__ import annotations

import contextlib
import socket
import threading


class OldBroker:
    """A minimal MQTT 3.1.1 broker: it refuses MQTT 5 and takes all messages.

    ``acknowledges``: whether it acknowledges them. ``max_keepalive_s``: it refuses clients
    with a longer keep-alive. ``forbids_subscriptions``: it closes the connection after one.
    ``refuses_subscriptions``: it answers that they are not allowed.
    """

    def __init__(
        self,
        *,
        acknowledges: bool = True,
        max_keepalive_s: int = 65_535,
        forbids_subscriptions: bool = False,
        refuses_subscriptions: bool = False,
    ) -> None:
        self.acknowledges = acknowledges
        self._max_keepalive_s = max_keepalive_s
        self._forbids_subscriptions = forbids_subscriptions
        self._refuses_subscriptions = refuses_subscriptions

    def __enter__(self) -> OldBroker:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._server.accept()
                threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer, peer.makefile("rb") as stream:
            while header := stream.read(1):
                length, shift = 0, 0
                while True:
                    byte = stream.read(1)[0]
                    length |= (byte & 127) << shift
                    shift += 7
                    if not byte & 128:
                        break
                body = stream.read(length)
                if header[0] >> 4 == 1:  # CONNECT
                    old_enough = body[6] == 4
                    keepalive_s = int.from_bytes(body[8:10], "big")
                    reason = 2 if keepalive_s > self._max_keepalive_s else 0
                    reason = reason if old_enough else 1
                    peer.sendall(bytes((0x20, 2, 0, reason)))
                    if reason:
                        return
                elif header[0] >> 4 == 8 and self._forbids_subscriptions:
                    return
                elif header[0] >> 4 == 8 and self._refuses_subscriptions:
                    peer.sendall(b"\x90\x03" + body[:2] + b"\x80")
                elif header[0] >> 4 == 3 and header[0] & 6 and self.acknowledges:  # PUBLISH, QoS 1
                    topic_bytes = int.from_bytes(body[:2], "big")
                    peer.sendall(b"\x40\x02" + body[2 + topic_bytes : 4 + topic_bytes])
                elif header[0] >> 4 == 12:
                    peer.sendall(b"\xd0\x00")
