"""The ``[mqtt]`` table: wrong values are refused, and secrets are never shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.config.document import read_document
from monitor.errors import ConfigError, MissingInputError
from monitor.mqtt.settings import MqttSettings
from monitor.mqtt.tls import tls_context

SECRET = "geheim-7781"  # noqa: S105  # must not be shown


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base_topic": "hall/#"}, "must not contain"),
        ({"base_topic": "/hall"}, "not starting with"),
        ({"base_topic": "$SYS/hall"}, "not starting with"),
        ({"base_topic": "hall//2"}, "single slashes"),
        ({"base_topic": "hall\n2"}, "control characters"),
        ({"base_topic": "x" * 300}, "200 bytes"),
        ({"base_topic": "'auscult/hall'"}, "begin or end with quotes"),
        ({"discovery_prefix": ""}, "single slashes"),
        ({"port": 0}, "port"),
        ({"prot": 1883}, "prot"),
        ({"protocol": 4}, "protocol"),
        ({"client_cert": "a.pem", "tls": True}, "given together"),
        ({"ca_file": "a.pem"}, "tls = true"),
        ({"password_file": "secret"}, "needs a username"),
        ({"reconnect_min_s": 90}, "reconnect_min_s"),
        ({"ack_timeout_s": float("inf")}, "ack_timeout_s"),
    ],
)
def test_refuses_what_cannot_work(fields: dict[str, Any], message: str) -> None:
    """A wrong setting is found only after the start, and without a line number."""
    with pytest.raises(ValidationError) as error:
        MqttSettings.model_validate(fields)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("host", "advice"),
    [
        ("mqtt://broker", 'use host = "broker"'),
        ("mqtt://broker:1884/topic", 'use host = "broker", port = 1884'),
        ("mqtts://broker", 'use host = "broker", tls = true'),
        ("tcp://[::1]:1883", 'use host = "::1", port = 1883'),
        ("broker:1884", 'use host = "broker", port = 1884'),
        ("192.168.1.7:1883", 'use host = "192.168.1.7", port = 1883'),
        ("[2001:db8::7]:1883", 'use host = "2001:db8::7", port = 1883'),
        ("[broker]", 'use host = "broker"'),
        ("'broker'", 'use host = "broker"'),
        ('"broker:1883"', 'use host = "broker", port = 1883'),
        (" broker", 'use host = "broker"'),
        ("broker/auscult", 'use host = "broker"'),
        ("ws://broker:9001", "WebSocket is not supported"),
        ("broker:99999", "port from 1 to 65535"),
        ("broker:mqtt", "such as broker.example"),
        ("one,two", "such as broker.example"),
        ("a..b", "such as broker.example"),
        ("192.168.1.300", "such as broker.example"),
        ("broker\x1b[31m", "such as broker.example"),
        ("", "such as broker.example"),
    ],
)
def test_what_is_not_a_host_is_refused_with_the_right_settings(host: str, advice: str) -> None:
    """`check` accepts it, and the daemon never connects."""
    with pytest.raises(ValidationError) as error:
        MqttSettings(host=host)
    assert advice in error.value.errors()[0]["msg"]


def test_a_password_in_a_url_is_not_shown() -> None:
    """The message in the journal would contain the password of the broker."""
    with pytest.raises(ValidationError) as error:
        MqttSettings(host=f"mqtt://node:{SECRET}@broker:1883")
    assert SECRET not in str(error.value)
    assert 'host = "broker", port = 1883, username' in str(error.value)


@pytest.mark.parametrize(
    "host",
    ["broker", "broker.example.", "b_1.local", "müller.example", "10.0.0.7", "::1", "fe80::1%eth0"],
)
def test_every_kind_of_host_is_accepted(host: str) -> None:
    """A broker could not be configured."""
    assert MqttSettings(host=host).host == host


def test_the_brackets_of_an_ipv6_address_are_removed() -> None:
    """The address could not be looked up."""
    assert MqttSettings(host="[::1]").host == "::1"
    assert MqttSettings(host="[::1]").is_local


def test_a_byte_order_mark_is_no_part_of_the_password(tmp_path: Path) -> None:
    """The broker would refuse a password that an editor of Windows saved."""
    file = tmp_path / "secret"
    file.write_text(f"\ufeff{SECRET}\r\n", encoding="utf-8", newline="")
    assert MqttSettings(username="u", password_file=file).read_password() == SECRET


def test_defaults_follow_from_each_other() -> None:
    """TLS uses the wrong port."""
    assert MqttSettings().port == 1883
    assert MqttSettings(tls=True).port == 8883
    assert MqttSettings.model_validate({"protocol": 5}).protocol == "5"
    assert MqttSettings().base_topic.startswith("auscult/")


@given(st.text(min_size=1, max_size=50))
def test_client_id_belongs_to_the_base_topic(topic: str) -> None:
    """After a restart, the last will of the old connection overwrites ``online``."""
    try:
        settings = MqttSettings(base_topic=topic)
    except ValidationError:
        return
    assert len(settings.effective_client_id.encode()) <= 23
    assert settings.effective_client_id == MqttSettings(base_topic=topic).effective_client_id
    assert MqttSettings(client_id="mine", base_topic=topic).effective_client_id == "mine"


def test_password_is_never_shown() -> None:
    """The password appears in logs, tracebacks or bug reports."""
    settings = MqttSettings.model_validate({"username": "u", "password": SECRET})
    shown = [repr(settings), str(settings), settings.model_dump_json(), f"{settings.model_dump()}"]
    with pytest.raises(ValidationError) as error:
        MqttSettings.model_validate({"password": SECRET})
    assert SECRET not in "".join([*shown, str(error.value)])
    assert settings.read_password() == SECRET


def test_password_comes_from_the_most_private_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old password in the environment is used instead of the unit's credential."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    file = tmp_path / "file"
    file.write_text("from the file\n")
    in_file = MqttSettings(username="u", password_file=file)
    in_environment = MqttSettings.model_validate(in_file.model_dump() | {"password": SECRET})
    assert in_file.read_password() == "from the file"
    assert in_environment.read_password() == SECRET
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert in_environment.read_password() == SECRET
    (tmp_path / "mqtt_password").write_text("from the unit")
    assert in_environment.read_password() == "from the unit"
    assert MqttSettings().read_password() is None


def test_unusable_credentials_directory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be opened would end the program with a traceback."""
    directory = "/" + "x" * 300  # a name that is too long is an error for root too
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", directory)
    with pytest.raises(ConfigError, match=f"{directory}/mqtt_password: File name too long"):
        MqttSettings(username="u").read_password()


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\xff\xfe", b"first\nsecond\n", b"x" * 70_000, None]
)
def test_unusable_password_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A wrong password file is reported only as a wrong password."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"password file .*secret"):
        MqttSettings(username="u", password_file=file).read_password()


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_what_is_no_regular_file_is_named_and_not_read(kind: str, tmp_path: Path) -> None:
    """Opening a FIFO waits for ever, and reading a device may have no end."""
    path = tmp_path / "odd"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    says = r"odd.*: is a folder" if kind == "folder" else r"odd.*: is not a regular file"
    with pytest.raises(ConfigError, match=says):
        MqttSettings(username="u", password_file=path).read_password()
    with pytest.raises(ConfigError, match=rf"mqtt\.ca_file.*{says}"):
        tls_context(MqttSettings(tls=True, ca_file=path))
    with pytest.raises(ConfigError, match=rf"mqtt\.client_cert.*{says}"):
        tls_context(MqttSettings(tls=True, client_cert=path, client_key=path))
    with pytest.raises(MissingInputError, match=says):
        read_document(path)


def test_only_the_password_file_that_is_used_is_examined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning would name a file from which no secret is taken."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    file = tmp_path / "file"
    settings = MqttSettings(username="u", password_file=file)
    assert settings.used_password_file == file
    assert MqttSettings(username="u").used_password_file is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert settings.used_password_file == file
    (tmp_path / "mqtt_password").write_text("from the unit")
    assert settings.used_password_file is None


def test_unusable_certificate_is_named(tmp_path: Path) -> None:
    """A wrong certificate file is reported without its name."""
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("not a certificate")
    with pytest.raises(ConfigError, match=r"mqtt\.ca_file .*rubbish.pem"):
        tls_context(MqttSettings(tls=True, ca_file=rubbish))
    with pytest.raises(ConfigError, match=r"mqtt\.client_cert .*rubbish.pem"):
        tls_context(MqttSettings(tls=True, client_cert=rubbish, client_key=rubbish))
    assert tls_context(MqttSettings()) is None
