"""Whether a machine runs, from an MQTT topic such as that of a power meter or a controller."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from typing import Any

from monitor.detection.settings import OperationSettings
from monitor.errors import BadInputError
from monitor.text.escaping import one_line

log = logging.getLogger(__name__)

_MAX_BYTES = 16 * 1024
_MOST_NAMED = 5
_WORDS = {"on": True, "true": True, "off": False, "false": False}


class RunningSignal:
    """The newest message of ``[machine.operation] topic``.

    ``receive`` is called by one thread, ``is_running`` by any. After ``stale_s`` without a
    message the signal is unknown. A retained message that repeats the last value does not count
    as a message, because the broker sends it again on each connection.
    """

    def __init__(
        self,
        machine: str,
        settings: OperationSettings,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.topic = settings.topic
        self._machine = machine
        self._settings = settings
        self._monotonic_s = monotonic_s
        self._newest: tuple[bool, float] | None = None
        self._payload: tuple[bytes, float] | None = None
        self._began_s = monotonic_s()
        self._is_absence_logged = False
        self._is_complaint_made = False

    def receive(self, payload: bytes, *, retained: bool = False) -> None:
        """Take a message. One that cannot be read is ignored; the first of them is reported."""
        self._receive(payload, self._monotonic_s(), retained=retained)

    def take_over(self, before: RunningSignal) -> None:
        """Begin with the newest message of another signal on the same topic.

        The broker may not send it again, and other settings may give it another meaning.
        """
        if before._payload is not None:
            self._receive(*before._payload)

    def _receive(self, payload: bytes, at_s: float, *, retained: bool = False) -> None:
        if len(payload) <= _MAX_BYTES and not (retained and self._payload is not None):
            self._payload = (payload, at_s)
        try:
            is_running = running_of(payload, self._settings)
        except BadInputError as error:
            if not self._is_complaint_made:
                self._is_complaint_made = True
                log.warning(
                    "message ignored: %s: %s", self.topic, error, extra={"machine": self._machine}
                )
            return
        self._is_complaint_made = False
        newest = self._newest
        if retained and newest is not None and newest[0] == is_running:
            return
        self._newest, self._payload = (is_running, at_s), (payload, at_s)

    def is_running(self) -> bool | None:
        """Whether the machine runs; None if the sound must decide."""
        newest = self._newest
        since_s = self._began_s if newest is None else newest[1]
        is_stale = self._monotonic_s() - since_s > self._settings.stale_s
        if is_stale and not self._is_absence_logged:
            log.warning(
                "no message on %s for %g s: the sound decides whether the machine runs",
                self.topic,
                self._settings.stale_s,
                extra={"machine": self._machine},
            )
        self._is_absence_logged = is_stale
        return None if is_stale or newest is None else newest[0]


def running_of(payload: bytes, settings: OperationSettings) -> bool:
    """Whether the machine runs, according to one message.

    A number is compared with ``running_above``. ``true``, ``"ON"``, ``false`` and ``"OFF"`` need
    no comparison. Raises ``BadInputError`` for everything else.
    """
    if len(payload) > _MAX_BYTES:
        raise BadInputError(f"{len(payload)} bytes, at most {_MAX_BYTES} are read")
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        raise BadInputError("not text in UTF-8") from None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if settings.field:
            raise BadInputError("not JSON") from None
        value = text
    for key in filter(None, settings.field.split(".")):
        if not isinstance(value, dict) or key not in value:
            raise BadInputError(f'no field "{settings.field}"')
        value = value[key]
    if isinstance(value, dict) and value:
        inside = ", ".join(f'"{one_line(key)}"' for key in list(value)[:_MOST_NAMED])
        raise BadInputError(f"an object: set field to one value in it, such as {inside}")
    return _is_running(value, settings.running_above)


def _is_running(value: Any, running_above: float) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and (word := value.strip().lower()) in _WORDS:
        return _WORDS[word]
    if isinstance(value, str | int | float):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number > running_above
    raise BadInputError("neither a number nor on or off")
