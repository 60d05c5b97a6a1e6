"""Receives what other nodes publish: a connection to the broker that only subscribes."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Sequence
from typing import ClassVar

from monitor.backoff import Backoff
from monitor.errors import AuscultError
from monitor.mqtt.messages import BrokerError
from monitor.mqtt.protocol_choice import connect
from monitor.mqtt.settings import MqttSettings
from monitor.web.others import Others

log = logging.getLogger(__name__)


class Follower:
    """A thread with a connection of its own, which is opened again when it is lost."""

    POLL_S: ClassVar[float] = 0.5
    STOP_TIMEOUT_S: ClassVar[float] = 0.8

    def __init__(self, settings: MqttSettings, filters: Sequence[str], others: Others) -> None:
        """``filters``: topic filters such as ``auscult/#``."""
        # With the client id of the daemon, the broker would disconnect the daemon.
        client_id = f"auscult-web-{secrets.token_hex(4)}"
        self._settings = settings.model_copy(update={"client_id": client_id})
        self._filters = tuple(filters)
        self._others = others
        self._backoff = Backoff(settings.reconnect_min_s, settings.reconnect_max_s)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Start the thread, if something is to be followed."""
        if self._filters:
            self._others.trouble = "not connected yet"
            self._thread.start()

    def close(self) -> None:
        """End the connection."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(self.STOP_TIMEOUT_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (BrokerError, AuscultError) as error:
                if str(error) != self._others.trouble:
                    log.warning("other nodes are not followed: %s", error)
                self._others.trouble = str(error)
            except Exception as error:  # a bug here must not end the thread
                log.exception("internal error while following other nodes")
                self._others.trouble = f"internal error: {error!r}"
            self._stop.wait(self._backoff.next_s())

    def _follow(self) -> None:
        connection = connect(self._settings, give_up=self._stop.is_set)
        try:
            for topic_filter in self._filters:
                connection.subscribe(topic_filter)
            self._others.trouble = ""
            wanted = set(self._filters)
            while not self._stop.is_set():
                connection.poll(self.POLL_S)
                for refused, reason in connection.take_refused_filters():
                    log.warning("other nodes are not followed: %s", reason)
                    wanted.discard(refused)
                    if not wanted:  # else the machines of the others are up to date
                        self._others.trouble = reason
                messages = connection.take_incoming()
                for message in messages:
                    self._others.receive(message.topic, message.payload)
                if messages:
                    self._backoff.reset()
        finally:
            connection.close(orderly=True)
