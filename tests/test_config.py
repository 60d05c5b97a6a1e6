"""`config.toml`: what is accepted, what is refused, and the messages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from monitor.config.messages import models_in
from monitor.config.notify import QuietHours
from monitor.config.settings import Settings, load_config
from monitor.config.state_folder import state_dir
from monitor.detection.settings import OperationSettings
from monitor.diagnosis.settings import ShaftSettings
from monitor.errors import AuscultError, ConfigError, MissingInputError, UsageError
from monitor.sources.settings import FileSettings, SourceSettings

DOCUMENTED = Path(__file__).resolve().parent.parent / "config.toml"

VALID = """\
[mqtt]
host = "broker"
port = 1884

[[machine]]
id = "pump-7"
bundle = "bundles/pump"
[machine.source]
kind = "file"
path = "pump.wav"

[[machine]]
id = "fan_2"
bundle = "/srv/fan"
[machine.source]
kind = "simulated"
faults = [
  { kind = "bearing", onset_s = 5 },
]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str, environ: dict[str, str] | None = None) -> str:
    """The error of `load_config` for `text`, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load_config(write(folder, text), environ or {})
    return str(caught.value).replace(f"{folder}/", "")


def test_a_valid_file_is_read(tmp_path: Path) -> None:
    """The daemon could not start."""
    settings = load_config(write(tmp_path, VALID), {})
    assert settings.mqtt.port == 1884
    assert [machine.id for machine in settings.machines] == ["pump-7", "fan_2"]
    assert settings.machine("fan_2").source.kind == "simulated"


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """A service that systemd starts in / would search its bundles there."""
    settings = load_config(write(tmp_path, VALID), {})
    first, second = settings.machines
    assert first.bundle == tmp_path / "bundles/pump"
    assert isinstance(first.source, FileSettings)
    assert first.source.path == tmp_path / "pump.wav"
    assert second.bundle == Path("/srv/fan")


def test_the_machine_of_a_bundle_is_found_by_any_path_to_it(tmp_path: Path) -> None:
    """A replay by another path would use the settings of no machine."""
    settings = load_config(write(tmp_path, VALID), {})
    (tmp_path / "bundles/pump").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "bundles")
    for path in ("bundles/pump", "bundles/../bundles/pump", "link/pump"):
        machine = settings.machine_with(tmp_path / path)
        assert machine is not None
        assert machine.id == "pump-7"
    assert settings.machine_with(tmp_path / "bundles/other") is None


@pytest.mark.parametrize(
    ("find", "replace", "says"),
    [
        ("port", "prot", 'config.toml:3: mqtt.prot is not a known key; did you mean "port"?'),
        ("port = 1884", 'port = "x"', "config.toml:3: mqtt.port must be a whole number, not x"),
        (
            "1884",
            "70000",
            "config.toml:3: mqtt.port must be at most 65535, not 70000",
        ),
        ("[mqtt]", "[mqtT]", 'config.toml:1: mqtT is not a known key; did you mean "mqtt"?'),
        ('id = "pump-7"\n', "", "config.toml:5: machine 1: id is missing"),
        ('path = "pump.wav"', "", 'config.toml:8: machine "pump-7": source.path is missing'),
        (
            'path = "pump.wav"',
            'path = "a"\npth = 1',
            'config.toml:11: machine "pump-7": source.pth is not a known key; did you mean "path"?',
        ),
        (
            'kind = "file"',
            'kind = "flie"',
            'config.toml:9: machine "pump-7": source.kind "flie" is not one of file, folder,',
        ),
        (
            'kind = "file"\npath = "pump.wav"',
            'kind = "command"\ncommand = ["arecord"]\nformat = "s16le"',
            'config.toml:11: machine "pump-7": source.format is not a known key; did you mean "sam',
        ),
        (
            'kind = "file"\npath = "pump.wav"',
            'kind = "command"\ncommand = ["arecord"]\nsample_rate_hz = 16',
            'config.toml:11: machine "pump-7": source.sample_rate_hz must be at least 1000, not 16',
        ),
        (
            'kind = "file"\npath = "pump.wav"',
            'kind = "command"',
            'config.toml:8: machine "pump-7": source.command is missing',
        ),
        (
            "1884",
            "1884\nkeepalive_s = 1e400",
            "config.toml:4: mqtt.keepalive_s must be a finite number",
        ),
        (
            'kind = "file"\n',
            "",
            'config.toml:8: machine "pump-7": source needs a kind: one of "file", "folder"',
        ),
        (
            "onset_s = 5",
            "onset_s = 5, sevirity = 2",
            'config.toml:17: machine "fan_2": source.faults.0.sevirity is not a known key; did you',
        ),
        (
            '[machine.source]\nkind = "file"',
            '[machine.detector]\nmin_faults_s = 2\n[machine.source]\nkind = "file"',
            'config.toml:9: machine "pump-7": detector.min_faults_s is not a known key; did you',
        ),
        (
            '[machine.source]\nkind = "file"',
            '[machine.detector]\nquiet_s = -1\n[machine.source]\nkind = "file"',
            'config.toml:9: machine "pump-7": detector.quiet_s must be at least 0, not -1',
        ),
        (
            '[machine.source]\nkind = "file"',
            '[machine.learning]\nmemory_mb = 100\n[machine.source]\nkind = "file"',
            'config.toml:9: machine "pump-7": learning.memory_mb must be at least 1000, not 100',
        ),
        (
            '[machine.source]\nkind = "file"',
            'detector = 3\n[machine.source]\nkind = "file"',
            'config.toml:8: machine "pump-7": detector must be a table',
        ),
        ("fan_2", "pump-7", 'config.toml:13: machine id "pump-7" is used twice: choose another'),
        (
            "fan_2",
            "fan/2",
            'config.toml:13: machine "fan/2": id may contain only letters',
        ),
        ("fan_2", "a+b", "id may contain only letters"),
        ("fan_2", "#", "id may contain only letters"),
        ("fan_2", "a b", "id may contain only letters"),
        ("fan_2", "$SYS", "id may contain only letters"),
        ("fan_2", "", "id may contain only letters"),
        ('host = "broker"', "host = ", "config.toml: not valid TOML: Invalid value (at line 2"),
        (
            'host = "broker"',
            'password = "hunter2"',
            "config.toml:2: mqtt.password must not be in this file",
        ),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(
    tmp_path: Path, find: str, replace: str, says: str
) -> None:
    """An operator would have to search the file for the mistake."""
    message = refusal(tmp_path, VALID.replace(find, replace, 1))
    assert says in message
    assert "hunter2" not in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (r'"C:\Users\pump.wav"', r"(at line 10, column 13); in double quotes, write / or \\ for"),
        ("/srv/pump.wav", "write a text in quotes"),
        ("“pump.wav”", "write straight quotes"),
        ('"pump.wav"\nchannel = 2,5', "write a decimal point, not a comma"),
        ('"pump.wav"\nchannel: 2', "write key = value, not key: value"),
        ('"pump.wav"\nloop = True', "write true or false in small letters"),
    ],
)
def test_a_line_that_is_not_toml_gets_what_would_be_right(
    tmp_path: Path, value: str, says: str
) -> None:
    """`Invalid hex value` does not lead anybody to the path of a Windows disk."""
    message = refusal(tmp_path, VALID.replace('"pump.wav"', value, 1))
    assert "not valid TOML" in message
    assert says in message
    assert len(message.splitlines()) == 1


def test_every_mistake_gets_a_line_of_its_own(tmp_path: Path) -> None:
    """Ten mistakes would need ten attempts."""
    message = refusal(tmp_path, VALID.replace("host", "hots").replace("1884", "0"))
    assert [line.split(" ")[0] for line in message.splitlines()] == [
        "config.toml:3:",
        "config.toml:2:",
    ]


@pytest.mark.parametrize("channel", ['"left"', "-1", "1.5", "true"])
def test_a_choice_of_types_is_refused_in_one_line(tmp_path: Path, channel: str) -> None:
    """One mistake would give an error for each type of a union."""
    message = refusal(tmp_path, VALID.replace('"pump.wav"', f'"a.wav"\nchannel = {channel}'))
    assert "config.toml:11: " in message
    assert "source.channel must be" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("find", "replace", "says"),
    [
        ('id = "pump-7"', 'id = "pump 7"', "may contain only letters"),
        ("bundle =", "bndle = 1\nbundle =", 'bndle is not a known key; did you mean "bundle"?'),
        ('kind = "file"', 'kind = "flie"', '"flie" is not one of'),
    ],
)
def test_a_mistake_in_the_only_machine_is_not_called_a_missing_machine(
    tmp_path: Path, find: str, replace: str, says: str
) -> None:
    """The right message would be followed by a wrong one."""
    only_one = VALID[: VALID.rindex("[[machine]]")].replace(find, replace)
    assert [says in line for line in refusal(tmp_path, only_one).splitlines()] == [True]


def test_a_list_that_must_not_be_empty_is_reported(tmp_path: Path) -> None:
    """The message would be that of a library."""
    assert (
        refusal(tmp_path, "machine = []\n")
        == "config.toml:1: machine is empty, at least 1 is required"
    )


def test_a_configuration_without_machines_is_refused(tmp_path: Path) -> None:
    """A daemon without machines would look healthy."""
    assert refusal(tmp_path, "[mqtt]\n") == "config.toml: machine is missing"


def test_a_missing_file_is_missing_input(tmp_path: Path) -> None:
    """The exit status would be the same for a wrong path and a wrong key."""
    with pytest.raises(MissingInputError, match=r"nowhere\.toml: no such configuration file"):
        load_config(tmp_path / "nowhere.toml", {})
    with pytest.raises(MissingInputError, match="is a folder; name the configuration file in it"):
        load_config(tmp_path, {})


def test_an_unknown_machine_is_reported_with_the_configured_ones(tmp_path: Path) -> None:
    """A typing error in `record` would give a traceback."""
    settings = load_config(write(tmp_path, VALID), {})
    with pytest.raises(UsageError, match=r'no machine "pump".*pump-7, fan_2'):
        settings.machine("pump")


def test_the_detector_of_a_machine_replaces_single_keys(tmp_path: Path) -> None:
    """A key for one machine would change all machines, or reset the other keys."""
    own = "[machine.detector]\nmin_fault_s = 8.0\n[machine.source]"
    text = (
        VALID.replace("[machine.source]", own, 1) + "[detector]\nquiet_s = 60\nhysteresis = 0.5\n"
    )
    environ = {"AUSCULT_MACHINE__0__DETECTOR__HYSTERESIS": "0.1"}
    settings = load_config(write(tmp_path, text), environ)
    pump, fan = (settings.detector_of(machine) for machine in settings.machines)
    assert (pump.min_fault_s, pump.quiet_s, pump.hysteresis) == (8.0, 60.0, 0.1)
    assert (fan.min_fault_s, fan.quiet_s, fan.hysteresis) == (3.5, 60.0, 0.5)
    assert settings.detector_of(None) == settings.detector


def test_the_environment_replaces_values_of_the_file(tmp_path: Path) -> None:
    """A container could not be configured without a file."""
    environ = {
        "AUSCULT_MQTT__HOST": "other",
        "AUSCULT_MQTT__TLS": "true",
        "AUSCULT_MQTT__USERNAME": "u",
        "AUSCULT_MQTT__PASSWORD": "[not json",
        "AUSCULT_SERVICE__LOG_FORMAT": "json",
        "AUSCULT_MACHINE__1__ID": "fan-3",
        "AUSCULT_MACHINE__1__SOURCE__FAULTS": '[{"kind": "rub"}]',
        "AUSCULT_DATA": "somebody else's",
    }
    settings = load_config(write(tmp_path, VALID), environ)
    assert (settings.mqtt.host, settings.mqtt.tls, settings.mqtt.port) == ("other", True, 1884)
    assert settings.service.log_format == "json"
    assert settings.machine("fan-3").source.kind == "simulated"
    assert settings.mqtt.password is not None
    assert settings.mqtt.password.get_secret_value() == "[not json"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AUSCULT_MQTT__PORT", "x", "AUSCULT_MQTT__PORT: mqtt.port must be a whole number"),
        (
            "AUSCULT_MQTT__PROT",
            "1",
            "AUSCULT_MQTT__PROT: mqtt.prot is not a known key; did you mea",
        ),
        (
            "AUSCULT_MQTT_HOST",
            "x",
            "AUSCULT_MQTT_HOST: use two underscores between levels: AU",
        ),
        ("AUSCULT_MACHINE__2__ID", "x", "AUSCULT_MACHINE__2__ID: machine has 2 elements"),
        (
            "AUSCULT_MACHINE",
            "[",
            "AUSCULT_MACHINE: not valid JSON: Expecting value: line 1 column 2 (char 1); machine ",
        ),
        (
            "AUSCULT_MACHINE__1__SOURCE__FAULTS",
            '[{"kind": "rub"]',
            "AUSCULT_MACHINE__1__SOURCE__FAULTS: not valid JSON: Expecting ',' delimiter: line 1",
        ),
        (
            "AUSCULT_MACHINE__1__SOURCE__FAULTS",
            '[{"kind": "rub", "onset": 1}]',
            'AUSCULT_MACHINE__1__SOURCE__FAULTS: machine "fan_2": source.faults.0.onset is not',
        ),
        (
            "AUSCULT_MQTT__HOST",
            "[::1]:1883",
            'AUSCULT_MQTT__HOST: mqtt.host must be one name or address: use host = "::1", port = ',
        ),
        ("AUSCULT_MQTT__HOST", '"broker"', "AUSCULT_MQTT__HOST: remove the quotes"),
        ("AUSCULT_MQTT__BASE_TOPIC", "'auscult/x'", "AUSCULT_MQTT__BASE_TOPIC: remove the quotes"),
        ("AUSCULT_MACHINE__0__BUNDLE", '"/srv/b"', "AUSCULT_MACHINE__0__BUNDLE: remove the quo"),
        ("AUSCULT_MQTT__HOST__X", "1", "AUSCULT_MQTT__HOST__X: mqtt.host is a value, not a table"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    tmp_path: Path, name: str, value: str, says: str
) -> None:
    """The message would name the file instead of the variable."""
    assert refusal(tmp_path, VALID, {name: value}).startswith(says)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AUSCULT_MQTT__HOST", "[::1]", "::1"),
        ("AUSCULT_MQTT__USERNAME", "[node 1]", "[node 1]"),
        ("AUSCULT_MQTT__CLIENT_ID", "{node}", "{node}"),
        ("AUSCULT_MACHINE__0__BUNDLE", "/srv/[a] b", "/srv/[a] b"),
        ("AUSCULT_SERVICE__STATE_DIR", "[state", "[state"),
        ("AUSCULT_MACHINE__0__SOURCE__PATH", "{x}.wav", "{x}.wav"),
        ("AUSCULT_MQTT__HOST", "\ufeffother", "other"),
    ],
)
def test_text_that_begins_with_a_bracket_is_text(
    tmp_path: Path, name: str, value: str, says: str
) -> None:
    """An IPv6 address or a name with a bracket would be reported as bad JSON."""
    document = load_config(write(tmp_path, VALID), {name: value}).model_dump(by_alias=True)
    here: Any = document
    for word in name.removeprefix("AUSCULT_").lower().split("__"):
        here = here[int(word)] if word.isdigit() else here[word]
    assert str(here).removeprefix(f"{tmp_path}/") == says


def test_a_command_that_is_no_list_is_not_shown(tmp_path: Path) -> None:
    """The password of a camera would be in the journal."""
    command = 'kind = "command"\ncommand = "ffmpeg -i rtsp://u:hunter2@camera/1"'
    text = VALID.replace('kind = "file"\npath = "pump.wav"', command)
    message = refusal(tmp_path, text)
    assert "source.command must be a list of texts, for example" in message


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    """A file that a Windows editor saved would be reported as invalid TOML at its first line."""
    path = tmp_path / "config.toml"
    path.write_text("\ufeff" + VALID.replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert load_config(path, {}).mqtt.host == "broker"
    path.write_text("\ufeff" + VALID.replace("host", "hots"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r'config.toml:2: mqtt.hots .*did you mean "host"'):
        load_config(path, {})
    path.write_text(VALID, encoding="utf-16")
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        load_config(path, {})


def test_an_environment_file_of_windows_is_accepted(tmp_path: Path) -> None:
    """The first variable is ignored, and a password ends with an invisible character."""
    path = tmp_path / "config.toml"
    path.write_text(VALID)
    environ = {
        "\ufeffAUSCULT_MQTT__HOST": "other\r",
        "AUSCULT_MQTT__USERNAME": "u\r",
        "AUSCULT_MQTT__PASSWORD": "secret\r\n",
    }
    settings = load_config(path, environ).mqtt
    assert (settings.host, settings.username) == ("other", "u")
    assert settings.read_password() == "secret"


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        ('"bundles/pump"', '"~/pump"'),
        ('"pump.wav"', '"~no-such-user/pump.wav"'),
        ("port = 1884", 'port = 1884\nusername = "u"\npassword_file = "~/secret"'),
        ("[mqtt]", '[service]\nstate_dir = "~"\n[mqtt]'),
    ],
)
def test_a_home_folder_that_does_not_exist_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, find: str, replace: str
) -> None:
    """A service user without a home folder would get a traceback."""
    monkeypatch.delenv("HOME", raising=False)

    def unknown(_user: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", unknown)
    message = refusal(tmp_path, VALID.replace(find, replace))
    assert re.search(r"^~.*: there is no home folder for ~.*: use the full path$", message)


def test_a_secret_in_the_environment_is_never_shown(tmp_path: Path) -> None:
    """A password would be shown in a terminal or in the journal."""
    environ = {"AUSCULT_MQTT__PASSWORD": "hunter2"}
    assert "hunter2" not in refusal(tmp_path, VALID, environ)
    settings = load_config(write(tmp_path, VALID), environ | {"AUSCULT_MQTT__USERNAME": "u"})
    assert "hunter2" not in f"{settings!r}{settings}{settings.model_dump_json()}"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\0", b"x" * 5_000_000, b"[" * 100_000])
def test_a_file_that_is_not_a_configuration_is_refused(tmp_path: Path, content: bytes) -> None:
    """A wrong path would give a traceback or fill the memory."""
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        load_config(path, {})


@given(
    st.text(st.sampled_from(list("[]{}=.\"'\n#\\ abkmqtt1-")), max_size=80),
    st.integers(0, len(VALID)),
)
def test_any_edit_of_a_file_gives_valid_settings_or_a_clear_error(
    noise: str, position: int
) -> None:
    """Some typing errors would give a traceback."""
    document: dict[str, Any] | None
    text = VALID[:position] + noise + VALID[position:]
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        document = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitor.config.document._read", lambda _path: text)
        try:
            settings = load_config(Path("/etc/config.toml"), {})
        except AuscultError as error:
            assert str(error).startswith("/etc/config.toml")  # noqa: PT017  # raising is optional
        else:
            assert document is not None
            assert len(settings.machines) == len(document["machine"])


@pytest.mark.parametrize(
    ("configured", "systemd", "expected"),
    [("/data", "/var/lib/auscult", "/data"), (None, "/var/lib/a:/b", "/var/lib/a"), (None, "", "")],
)
def test_the_state_folder_is_writable(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    configured: str | None,
    systemd: str,
    expected: str,
) -> None:
    """Under systemd's DynamicUser the outbox would have no writable folder."""
    monkeypatch.setenv("STATE_DIRECTORY", systemd)
    text = VALID + (f'[service]\nstate_dir = "{configured}"\n' if configured else "")
    path = write(tmp_path, text)
    assert state_dir(load_config(path, {}), path) == Path(expected or tmp_path / "state")


# The documented file against the models.

_KEY = re.compile(r"#?([a-z_0-9]+) = (.+)")
_TABLE = re.compile(r"#?\[+([a-z_.]+)\]+")


def documented() -> list[tuple[str, str, str, bool]]:
    """Every key of `config.toml`: table (with its kind), key, value, whether commented out."""
    rows, table = [], ""
    for line in DOCUMENTED.read_text().splitlines():
        if match := _TABLE.fullmatch(line):
            table = match[1]
        elif match := _KEY.fullmatch(line):
            if match[1] == "kind":
                table = f"machine.source {tomllib.loads(f'v = {match[2]}')['v']}"
            rows.append((table, match[1], match[2], line.startswith("#")))
    return rows


def models() -> dict[str, type[BaseModel]]:
    tables = {
        field.alias or name: next(models_in(field.annotation))
        for name, field in Settings.model_fields.items()
    }
    kinds = get_args(get_args(SourceSettings)[0])
    tables["machine.operation"] = OperationSettings
    tables["machine.shaft"] = ShaftSettings
    tables["notify.quiet_hours"] = QuietHours
    return tables | {f"machine.source {kind.model_fields['kind'].default}": kind for kind in kinds}


def test_the_documented_file_is_valid() -> None:
    """The example configuration would fail."""
    load_config(DOCUMENTED, {})


@pytest.mark.parametrize("table", models())
def test_every_key_is_documented_in_place(table: str) -> None:
    """The documented configuration would lack a key."""
    hidden = {("mqtt", "password"), ("notify", "quiet_hours")}
    hidden |= {("machine", one) for one in ("source", "detector", "operation", "learning", "shaft")}
    keys = {key for in_table, key, _, _ in documented() if in_table == table}
    expected = {key for key in models()[table].model_fields if (table, key) not in hidden}
    assert expected == keys


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        row[:3]
        for row in documented()
        if row[3] and row[1] != "kind" and row[0] not in {"machine.detector", "machine.learning"}
    ],
)
def test_every_documented_default_is_the_default(table: str, key: str, value: str) -> None:
    """The documented default would differ from the real one."""
    field = models()[table].model_fields[key]
    shown = tomllib.loads(f"v = {value}")["v"]
    examples_only = {"command", "path", "faults", "base_topic", "name", "url_file", "begin", "end"}
    if key in examples_only or field.default is None:
        return
    expected = 1883 if (table, key) == ("mqtt", "port") else field.default
    assert expected == (tuple(shown) if isinstance(shown, list) else shown)


def test_a_machine_without_a_bundle_must_be_learned(tmp_path: Path) -> None:
    """A forgotten bundle would be found out only when nothing is monitored."""
    machine = '[[machine]]\nid = "m"\n[machine.source]\nkind = "simulated"\n'
    with pytest.raises(
        ConfigError, match=r'machine "m" has no bundle: set bundle, or add the table'
    ):
        load_config(write(tmp_path, machine), {})
    text = f"[learning]\ndays = 5.0\nevery_s = 60.0\n{machine}[machine.learning]\ndays = 3.0\n"
    settings = load_config(write(tmp_path, text), {})
    learning = settings.learning_of(settings.machines[0])
    assert learning is not None
    assert (learning.days, learning.every_s, learning.piece_s) == (3.0, 60.0, 10.0)
    assert settings.machines[0].bundle is None
    text = text.replace("simulated", "logmel").replace('logmel"', 'logmel"\npath = "x"')
    with pytest.raises(ConfigError, match=r'machine "m" cannot be learned from kind = "logmel"'):
        load_config(write(tmp_path, text), {})


def test_the_documented_target_is_valid(tmp_path: Path) -> None:
    """Uncommenting the example would give an error."""
    text = DOCUMENTED.read_text()
    begin, end = text.index("#[[notify]]"), text.index("# One table of this kind for each machine")
    example = re.sub(r"^#(?=\[|[a-z_]+ = )", "", text[begin:end], flags=re.M)
    settings = load_config(write(tmp_path, text[:begin] + example + text[end:]), {})
    (target,) = settings.notify
    assert target.url_file == tmp_path / "notify" / "phone"
    assert target.quiet_hours is not None
    assert target.quiet_hours.time_zone == "Europe/Berlin"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('url = "tgram://hunter2/1"', "config.toml:23: notify.url must not be in this file"),
        ('url_file = "tgram://hunter2/1"', 'notify "phone": url_file must be the name of a file'),
        ('machines = ["pump-8"]', 'notify "phone": no machine "pump-8" is configured; configured:'),
        ('kind = ["alert"]', 'notify "phone": kind is not a known key; did you mean "kinds"?'),
        ('kinds = ["alerts"]', 'notify "phone": kinds.0 must be "alert", "warning" or "source"'),
        ("min_interval_s = -1", 'notify "phone": min_interval_s must be at least 0, not -1'),
        ("retry_min_s = 700.0", "retry_min_s must not be greater than retry_max_s"),
        (
            '[notify.quiet_hours]\nbegin = "22:00"\nend = "22:00"',
            'notify "phone": quiet_hours begin and end must differ',
        ),
        (
            '[notify.quiet_hours]\nbegin = "25:00"\nend = "22:00"',
            'notify "phone": quiet_hours.begin must be a time such as "22:00", not',
        ),
        (
            '[notify.quiet_hours]\nbegin = "22:00"\nend = "06:00"\ntime_zone = "Berlin"',
            'quiet_hours.time_zone must be a time zone such as "Europe/Berlin" or "UTC", not',
        ),
        ('[[notify]]\nname = "phone"', 'notify name "phone" is used twice: choose another'),
        ('[[notify]]\nname = "../x"', 'notify "../x": name may contain only letters'),
    ],
)
def test_a_mistake_in_a_target_is_named(tmp_path: Path, lines: str, says: str) -> None:
    """Messages would not arrive, or a password would be in a file that others can read."""
    text = f'{VALID}\n[[notify]]\nname = "phone"\n{lines}\n'
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), {})
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1, "one mistake, one line"


def test_the_address_of_a_target_is_beside_the_file(tmp_path: Path) -> None:
    """A test as root would not find the address that the service uses."""
    settings = load_config(write(tmp_path, f'{VALID}\n[[notify]]\nname = "phone"\n'), {})
    assert settings.notify[0].url_file == tmp_path / "notify" / "phone"


def test_an_address_in_the_environment_is_refused_and_not_shown(tmp_path: Path) -> None:
    """The environment of a service can be read by other processes of its user."""
    text = f'{VALID}\n[[notify]]\nname = "phone"\n'
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), {"AUSCULT_NOTIFY__0__URL": "tgram://hunter2/1"})
    assert "AUSCULT_NOTIFY__0__URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_documented_detector_of_a_machine_is_valid(tmp_path: Path) -> None:
    """Uncommenting the example would give an error, or change nothing."""
    text = re.sub(
        r"^#(?=\[machine\.detector\]|min_fault_s = 8)", "", DOCUMENTED.read_text(), flags=re.M
    )
    settings = load_config(write(tmp_path, text), {})
    assert settings.detector_of(settings.machines[0]).min_fault_s == 8.0


@pytest.mark.parametrize("kind", [name for name in models() if name.startswith("machine.source")])
def test_every_documented_source_is_valid(kind: str, tmp_path: Path) -> None:
    """Uncommenting an example would give an error."""
    keys = [f"{key} = {value}" for table, key, value, _ in documented() if table == kind]
    text = '[[machine]]\nid = "m"\nbundle = "b"\n[machine.source]\n' + "\n".join(keys)
    machine = load_config(write(tmp_path, text), {}).machines[0]
    assert kind == f"machine.source {machine.source.kind}"


def test_a_password_in_the_file_does_not_hide_other_mistakes(tmp_path: Path) -> None:
    """An operator would correct one mistake, and then find the next."""
    text = VALID.replace('host = "broker"', 'password = "hunter2"', 1)
    message = refusal(tmp_path, text.replace("port = 1884", "port = 70000", 1))
    assert "mqtt.password must not be in this file" in message
    assert "mqtt.port must be at most 65535, not 70000" in message
