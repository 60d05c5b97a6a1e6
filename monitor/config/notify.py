"""The ``[[notify]]`` tables: who is notified of what, and when."""

from __future__ import annotations

import re
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

SECRET_KEYS = frozenset({"url"})
"""Keys that are refused in ``config.toml``: the address of a target contains its password."""

CREDENTIAL_PREFIX = "notify_"
"""Of the files in ``$CREDENTIALS_DIRECTORY``: the rest of the name is that of the target."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


Kind = Literal["alert", "warning", "source"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)


def _checked_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            'may contain only letters (a-z, A-Z), digits, "-" and "_", at most 32, and must begin '
            f"with a letter or digit, not {value!r}"
        )
    return value


class QuietHours(BaseModel):
    """``[notify.quiet_hours]``: the hours of the day in which messages wait.

    At their end, the messages that have waited are sent together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    begin: time
    end: time
    time_zone: str | None = None
    """Unset: the zone of the computer."""
    days: tuple[Day, ...] = Field(default=DAYS, min_length=1)
    """The days on which the quiet hours begin."""
    alarms: bool = False
    """Whether new alerts are sent also in the quiet hours."""

    @field_validator("begin", "end", mode="before")
    @classmethod
    def _time_of_day(cls, value: object) -> object:
        if isinstance(value, time) and value.tzinfo is None:
            return value
        if isinstance(value, str) and _CLOCK.fullmatch(value):
            return time.fromisoformat(value)
        raise ValueError(f'must be a time such as "22:00", not {value!r}')

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f'must be a time zone such as "Europe/Berlin" or "UTC", not {value!r}'
            ) from None
        return value

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.begin == self.end:
            raise ValueError("begin and end must differ: messages would wait for ever")
        return self


class NotifySettings(BaseModel):
    """One ``[[notify]]``: a target, such as a person's phone or a channel.

    Its address is in ``$CREDENTIALS_DIRECTORY/notify_<name>``, or else in ``url_file``, by default
    ``notify/<name>`` beside the configuration file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, AfterValidator(_checked_name)]
    url_file: Path = Field(default_factory=lambda data: Path("notify", data.get("name", "")))
    machines: tuple[str, ...] = ()
    """Empty: all."""
    kinds: tuple[Kind, ...] = Field(default=("alert",), min_length=1)
    ended: bool = True
    """Whether there is a message when an alert has ended."""
    attach_picture: bool = True
    quiet_hours: QuietHours | None = None
    min_interval_s: float = Field(default=0.0, ge=0.0, le=86_400.0)
    """The least time between two messages. What happens in between is sent together."""
    source_after_s: float = Field(default=60.0, ge=0.0, le=86_400.0)
    """Troubles of a source, and warnings, that end sooner are not sent."""
    timeout_s: float = Field(default=60.0, ge=1.0, le=600.0)
    """How long one attempt to send may take."""
    retry_min_s: float = Field(default=5.0, gt=0.0, le=3600.0)
    retry_max_s: float = Field(default=600.0, gt=0.0, le=86_400.0)

    @field_validator("url_file", mode="before")
    @classmethod
    def _file_not_address(cls, value: Any) -> Any:
        if isinstance(value, str) and "://" in value:  # it is not shown, because it is secret
            raise ValueError("must be the name of a file that contains the URL, not the URL")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.retry_min_s > self.retry_max_s:
            raise ValueError("retry_min_s must not be greater than retry_max_s")
        return self
