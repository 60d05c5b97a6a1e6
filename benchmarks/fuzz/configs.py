"""Wrong configurations and environment variables."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import strategies as st

from benchmarks.fuzz.edits import edited, edited_toml
from monitor.config.settings import load_config

DOCUMENTED = Path(__file__).resolve().parents[2] / "config.toml"
_EVERY_KIND = """\
[mqtt]
host = "broker"
[service]
state_dir = "state"
[[machine]]
id = "a"
bundle = "b"
[machine.source]
kind = "microphone"
device = "USB"
[[machine]]
id = "c"
bundle = "d"
source = { kind = "command", command = ["ffmpeg", "-i", "x"], channels = 2, channel = 1 }
[[machine]]
id = "e"
bundle = "f"
[machine.source]
kind = "simulated"
faults = [{ kind = "rub", onset_s = 1, end_s = 2 }]
"""
_NAMES = [
    *("AUSCULT_MQTT__HOST", "AUSCULT_MQTT__PORT", "AUSCULT_MQTT__PASSWORD", "AUSCULT_MQTT"),
    *("AUSCULT_MACHINE__0__ID", "AUSCULT_MACHINE__9__ID", "AUSCULT_MACHINE__-1__ID", "AUSCULT_"),
    *("AUSCULT_MACHINE__0__SOURCE", "AUSCULT_MACHINE__0__SOURCE__CHANNEL", "AUSCULT___"),
    *("AUSCULT_SERVICE__STATE_DIR", "AUSCULT_DETECTOR__QUIET_S", "AUSCULT_MACHINE"),
    *("AUSCULT_MACHINE__99999999999__ID", "AUSCULT_MQTT__HOST__X", "AUSCULT_MACHINE__0"),
]


def files() -> st.SearchStrategy[bytes]:
    """``config.toml`` with other values, or other bytes."""
    documented = DOCUMENTED.read_text()
    raw = [documented.encode(), _EVERY_KIND.encode()]
    return st.one_of(edited_toml(documented), edited_toml(_EVERY_KIND), edited(raw))


def environments() -> st.SearchStrategy[bytes]:
    """JSON of ``AUSCULT_`` variables."""
    text = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)
    name = st.sampled_from(_NAMES) | text.map(lambda tail: f"AUSCULT_{tail}")
    extremes = ["[", "{", "[" * 5000, '{"kind": "file"}', "1e999", "-1", "nan", "[1, 2]", "null"]
    value = st.sampled_from(extremes) | text
    return st.dictionaries(name, value, max_size=4).map(lambda found: json.dumps(found).encode())


def try_file(content: bytes, folder: Path) -> None:
    """Read a configuration like ``auscult check``."""
    path = folder / "config.toml"
    path.write_bytes(content)
    load_config(path, {})


def try_environment(content: bytes, folder: Path) -> None:
    """Read a correct file with environment variables."""
    path = folder / "config.toml"
    path.write_text(_EVERY_KIND)
    load_config(path, json.loads(content))
