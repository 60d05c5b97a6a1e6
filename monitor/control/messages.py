"""Requests and responses of the control socket: one JSON object a line.

::

    {"version": 1, "command": "mute", "arguments": {"machine": "pump-7", "for_s": 7200}}
    {"version": 1, "ok": true, "result": {"machine": "pump-7", "muted_until": "..."}}
    {"version": 1, "ok": false, "error": {"status": 64, "message": "no machine ..."}}

``status`` is the exit status of ``monitor.errors``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
)

from monitor.control.labels import Label
from monitor.errors import AuscultError, ServiceUnavailableError, UsageError
from monitor.text.escaping import json_text, one_line

VERSION: Literal[1] = 1
"""Changes if a field is removed or changes its meaning; new fields do not change it."""
MAX_REQUEST_BYTES = 8192
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
LONGEST_MUTE_S = 30 * 86_400.0
SHORTEST_COLLECTION_S = 60.0
LONGEST_COLLECTION_S = 365 * 86_400.0
MAX_NOTE_CHARACTERS = 500
_BEGINNING_OF_ALERT_ID = re.compile(r"[0-9a-f-]{8,36}")

Machine = Annotated[str, Field(min_length=1, max_length=64)]
Note = Annotated[str, Field(max_length=MAX_NOTE_CHARACTERS)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Request(_Message):
    """A request. ``config``: only a daemon that runs with this file carries it out.

    ``on_behalf_of``: the name of the person who has logged in to the client, such as the web page.
    """

    version: Literal[1]
    command: Annotated[str, Field(max_length=32)]
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    config: Annotated[str, Field(max_length=4096)] | None = None
    on_behalf_of: Annotated[str, Field(max_length=64)] | None = None

    @classmethod
    def parse(cls, line: bytes) -> Request:
        """The request on a line. Raises ``UsageError`` in one line for anything else."""
        try:
            return cls.model_validate_json(line)
        except ValidationError as error:
            raise UsageError(
                f"not a valid request of version {VERSION}: {_first_fault(error)}"
            ) from None

    @classmethod
    def of(
        cls,
        command: str,
        arguments: Mapping[str, Any],
        config: str | None,
        on_behalf_of: str | None,
    ) -> Request:
        """A request. Raises ``UsageError`` for an argument that JSON does not have, such as NaN."""
        try:
            return cls(
                version=VERSION,
                command=command,
                arguments=dict(arguments),
                config=config,
                on_behalf_of=on_behalf_of,
            )
        except ValidationError as error:
            raise UsageError(f"{command}: {_first_fault(error)}") from None

    def encode(self) -> bytes:
        """The line."""
        return (json_text(self.model_dump(exclude_none=True)) + "\n").encode()


class Arguments(_Message):
    """The arguments of a command: each command has a subclass."""

    @classmethod
    def parse(cls, command: str, values: dict[str, JsonValue]) -> Any:
        """The validated arguments. Raises ``UsageError`` that names the wrong one."""
        try:
            return cls.model_validate(values, strict=False)
        except ValidationError as error:
            raise UsageError(f"{command}: {_first_fault(error)}") from None


class NoArguments(Arguments):
    """A command without arguments."""


class MachineArguments(Arguments):
    """A command about one machine."""

    machine: Machine


class RelearnArguments(MachineArguments):
    """``relearn``: ``collect_s``: collect healthy sound for so many seconds first."""

    collect_s: float | None = Field(default=None, ge=SHORTEST_COLLECTION_S, le=LONGEST_COLLECTION_S)


class MuteArguments(MachineArguments):
    """``mute``: no alerts of the machine for ``for_s`` seconds."""

    for_s: float = Field(ge=1.0, le=LONGEST_MUTE_S)
    note: Note = ""


class WatchArguments(MachineArguments):
    """``watch``: somebody looks at the live sound of the machine for ``for_s`` seconds."""

    for_s: float = Field(ge=1.0, le=60.0)


def _alert_id(value: str) -> str:
    if not _BEGINNING_OF_ALERT_ID.fullmatch(value):
        raise ValueError("must be at least 8 characters of an alert_id (0-9, a-f and -)")
    return value


class AlertArguments(Arguments):
    """A command about one alert. ``alert_id``: at least its first 8 characters."""

    alert_id: Annotated[str, AfterValidator(_alert_id)]
    note: Note = ""


class LabelArguments(AlertArguments):
    """``label``: what the alert was."""

    label: Label


class OtherDaemonError(ServiceUnavailableError):
    """The daemon runs with another configuration than the request names."""


class Failure(_Message):
    """Why a request was refused. ``other_daemon``: because of its ``config``.

    ``kind``: that of the ``AuscultError``.
    """

    status: int
    message: str
    other_daemon: bool = False
    kind: str = ""


class Response(_Message):
    """The answer to a request: ``result`` if ``ok``, otherwise ``error``."""

    version: Literal[1]
    ok: bool
    result: dict[str, JsonValue] | None = None
    error: Failure | None = None

    @classmethod
    def parse(cls, line: bytes) -> Response:
        """The response on a line. Raises ``ValueError`` for anything else."""
        return _response().validate_json(line)


@cache
def _response() -> TypeAdapter[Response]:
    return TypeAdapter(Response)


def done(result: dict[str, Any]) -> bytes:
    """The line of a response. Raises ``ValueError`` if ``result`` is not JSON."""
    return (json_text({"version": VERSION, "ok": True, "result": result}) + "\n").encode()


def refused(error: AuscultError) -> bytes:
    """The line of a response to a request that was not carried out."""
    failure = Failure(
        status=error.exit_status,
        message="\n".join(one_line(line) for line in str(error).splitlines()),
        other_daemon=isinstance(error, OtherDaemonError),
        kind=error.kind,
    )
    document = {"version": VERSION, "ok": False, "error": failure.model_dump()}
    return (json_text(document) + "\n").encode()


def _first_fault(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])).removeprefix("arguments.").removesuffix(".float")
    text = first["msg"].replace("Input should be", "must be").replace("String should", "must")
    text = text.removeprefix("Value error, ")
    return f"{where} {text}" if where else text
