"""The ``[mqtt]`` table: the broker, how to connect to it, and the limits of the outbox."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from monitor.errors import ConfigError
from monitor.mqtt.host import checked_host
from monitor.text.regular_files import read_regular

SECRET_KEYS = frozenset({"password"})
"""Keys that are read from the environment only and refused in ``config.toml``."""

CREDENTIAL_NAME = "mqtt_password"
"""The file in ``$CREDENTIALS_DIRECTORY`` (systemd's ``LoadCredential=``)."""

_MAX_TOPIC_BYTES = 200
_MAX_PASSWORD_BYTES = 65_535

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


def default_base_topic() -> str:
    """``auscult/<hostname>``, without characters that have a meaning in access lists."""
    host = re.sub(r"[^A-Za-z0-9_.-]+", "-", socket.gethostname()).strip("-.") or "host"
    return f"auscult/{host}"


def _default_port(data: dict[str, Any]) -> int:
    return 8883 if data.get("tls") else 1883


class MqttSettings(BaseModel):
    """Validated ``[mqtt]``. Unknown keys are refused; the password is never shown.

    The password comes from the first of ``$CREDENTIALS_DIRECTORY/mqtt_password``,
    ``AUSCULT_MQTT__PASSWORD`` and ``password_file``; see ``read_password``.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True
    )

    host: Annotated[str, Field(max_length=253), AfterValidator(checked_host)] = "localhost"
    tls: bool = False
    port: int = Field(default_factory=_default_port, ge=1, le=65_535)
    """1883, or 8883 with ``tls``."""
    ca_file: Path | None = None
    """PEM file of the CA to trust instead of the system's."""
    client_cert: Path | None = None
    client_key: Path | None = None

    username: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    password: SecretStr | None = None
    """Read from the environment only, never from ``config.toml``."""
    password_file: Path | None = None

    base_topic: str = Field(default_factory=default_base_topic)
    client_id: Annotated[str, Field(max_length=128)] = ""
    """Empty: made from ``base_topic``. A restarted daemon then replaces its old connection,
    and the last will of the old connection cannot arrive after ``online``."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """``auto``: MQTT 5, or 3.1.1 if the broker does not support MQTT 5."""
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    connect_timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    ack_timeout_s: Seconds = 15.0
    """A new connection is made when an acknowledgement takes longer."""
    reconnect_min_s: Seconds = 1.0
    reconnect_max_s: Seconds = 60.0

    score_interval_s: Seconds = 1.0
    discovery: bool = False
    """Announce the machines to Home Assistant."""
    discovery_prefix: str = "homeassistant"
    publish_picture: bool = False
    """Publish a small picture of each alert; with ``discovery``, Home Assistant shows it."""

    outbox_max_age_days: Annotated[float, Field(gt=0, le=3650, allow_inf_nan=False)] = 30.0
    outbox_max_alerts: Annotated[int, Field(ge=10, le=10_000_000)] = 100_000

    @field_validator("protocol", mode="before")
    @classmethod
    def _protocol_as_text(cls, value: object) -> object:
        """``protocol = 5`` without quotes means the same as ``"5"``."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("base_topic", "discovery_prefix")
    @classmethod
    def _topic(cls, value: str) -> str:
        """A topic that every broker accepts and that a subscriber's wildcards match as a whole."""
        if not value or value[0] in "/$" or value[-1] == "/" or "//" in value:
            raise ValueError(
                f"{value!r} must be levels divided by single slashes, such as auscult/hall-2, "
                "not starting with / or $ and not ending with /"
            )
        if value[0] in "\"'" or value[-1] in "\"'":
            raise ValueError(f"{value!r} must not begin or end with quotes")
        if any(character in "+#" or not character.isprintable() for character in value):
            raise ValueError(f"{value!r} must not contain +, # or control characters")
        if len(value.encode()) > _MAX_TOPIC_BYTES:
            raise ValueError(f"must be at most {_MAX_TOPIC_BYTES} bytes long")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key must be given together")
        if not self.tls and (self.ca_file or self.client_cert):
            raise ValueError("ca_file, client_cert and client_key need tls = true")
        if self.username is None and (self.password or self.password_file):
            raise ValueError("a password needs a username")
        if self.reconnect_min_s > self.reconnect_max_s:
            raise ValueError("reconnect_min_s must not be greater than reconnect_max_s")
        return self

    @property
    def effective_client_id(self) -> str:
        """``client_id``, or one made from ``base_topic``, within the 23 bytes of MQTT 3.1.1."""
        digest = hashlib.sha256(self.base_topic.encode()).hexdigest()
        return self.client_id or f"auscult-{digest[:15]}"

    @property
    def is_local(self) -> bool:
        """Whether the broker runs on this host, so that no message uses a network."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    def read_password(self) -> str | None:
        """The current password, ``None`` without one; read again for each connection.

        Raises ``ConfigError`` that names the file if it is empty or cannot be read.
        """
        if self.username is None:
            return None
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if directory and _exists(credential := Path(directory) / CREDENTIAL_NAME):
            return _read_secret(credential)
        if self.password is not None:
            return self.password.get_secret_value()
        return _read_secret(self.password_file) if self.password_file else None

    @property
    def used_password_file(self) -> Path | None:
        """``password_file``, if the password comes from it."""
        if self.username is None or self.password is not None:
            return None
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        with suppress(ConfigError):
            if directory and _exists(Path(directory) / CREDENTIAL_NAME):
                return None
        return self.password_file


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"mqtt password file {path}: {error.strerror}") from error
    return True


def _read_secret(path: Path) -> str:
    try:
        content = read_regular(path, _MAX_PASSWORD_BYTES + 2)
        secret = content.decode("utf-8-sig").rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"mqtt password file {path}: {error.strerror}") from error
    except UnicodeDecodeError:  # whose message would show the content
        raise ConfigError(f"mqtt password file {path}: must be saved as UTF-8 text") from None
    except ValueError:  # it is larger
        secret = ""
    if not secret or "\n" in secret:
        raise ConfigError(f"mqtt password file {path}: must contain the password in one line")
    return secret
