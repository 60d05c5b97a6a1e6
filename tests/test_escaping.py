"""Text of others at each output: names, states, errors."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.mqtt.payloads import encode
from monitor.process.logs import JsonFormatter, TextFormatter
from monitor.text.escaping import csv_cell, encodable, html_text, json_text, one_line
from tests.command_line import auscult

ROOT = Path(__file__).resolve().parent.parent
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
"""Also lone surrogates, which Python keeps for bytes that are not UTF-8."""


@given(ANY_TEXT)
def test_one_line_is_printable_and_encodable(text: str) -> None:
    """A file name could move the cursor of a terminal or forge a line of a log."""
    line = one_line(text)
    assert all(c.isprintable() or c.isspace() for c in line)
    assert not set("\n\r\t\x0b\x0c\x1b\x85\u2028\u2029\u202e") & set(line)
    line.encode()


@given(ANY_TEXT.filter(lambda text: text.isprintable()))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """Names with accents or in other scripts could not be recognised."""
    assert one_line(text) == text


def test_bytes_of_a_name_are_shown_as_bytes() -> None:
    """A user could not find the file that a message names."""
    assert one_line(os.fsdecode(b"bad\xff\x1b[31m.wav")) == "bad\\xff\\x1b[31m.wav"


@given(ANY_TEXT)
def test_json_is_read_back_and_has_no_control_characters(text: str) -> None:
    """A payload or a line of the log could not be parsed."""
    document = json_text({text: [text]})
    assert json.loads(document) == {encodable(text): [encodable(text)]}
    assert document.isprintable()
    assert json.loads(encode({"detail": text})) == {"detail": encodable(text)}


@given(ANY_TEXT)
def test_a_csv_cell_is_one_line_and_no_formula(text: str) -> None:
    """A spreadsheet would run the name of a file as a formula."""
    file = io.StringIO()
    csv.writer(file).writerow([csv_cell(text), 1])
    rows = list(csv.reader(io.StringIO(file.getvalue())))
    assert rows == [[csv_cell(text), "1"]]
    assert not rows[0][0].startswith(("=", "+", "-", "@"))


@pytest.mark.parametrize("sign", list("=+-@\uff1d\uff0b\uff0d\uff20"))
def test_a_spreadsheet_of_any_country_finds_no_formula(sign: str) -> None:
    """Cells are divided by semicolons there, and characters of full width count as well."""
    assert csv_cell(f"{sign}1;a;{sign}2{sign}3") == f"'{sign}1;a;'{sign}2{sign}3"


class _Elements(html.parser.HTMLParser):
    """Collects the names of elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert attrs
        self.found.append(tag)


@given(ANY_TEXT)
def test_html_text_opens_no_element(text: str) -> None:
    """A file name could run a script in a report."""
    parser = _Elements()
    parser.feed(f'<p title="{html_text(text)}">{html_text(text)}</p>')
    assert parser.found == ["p"]


@given(ANY_TEXT)
def test_a_log_record_is_one_line(text: str) -> None:
    """One event would look like several, or like another one."""
    record = logging.LogRecord("m", logging.INFO, "", 0, "%s", (text,), None)
    record.detail = text
    assert "\n" not in TextFormatter(journal=True).format(record)
    assert json.loads(JsonFormatter().format(record))["logger"] == "m"


def test_a_newline_in_a_name_is_not_another_message(tmp_path: Path) -> None:
    """The name of a recording looks like a message of the program."""
    (tmp_path / "a.wav\nauscult: all is well.wav").write_bytes(b"no sound")
    bundle = ROOT / "tests" / "previous_version" / "bundles" / "pump"
    done = auscult("calibrate", bundle, tmp_path, "--in-place")
    assert done.status == 65
    assert len(done.err.splitlines()) == 1
    assert "a.wav\\nauscult: all is well.wav: not an audio file" in done.err


@pytest.mark.parametrize("name", [b"bad\xff.wav", b"two\nlines.wav", b"\x1b[31mred.wav"])
def test_replay_reports_any_name(name: bytes, tmp_path: Path) -> None:
    """One odd name would end the replay of a whole archive."""
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))).write_bytes(b"no sound")
    bundle = ROOT / "tests" / "previous_version" / "bundles" / "pump"
    command = [sys.executable, "-m", "monitor", "replay", str(bundle), str(tmp_path)]
    done = subprocess.run(
        [*command, "--files", str(tmp_path / "files.csv")],
        capture_output=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 65, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\x1b[31m" not in done.stdout + done.stderr
    rows = list(csv.reader((tmp_path / "files.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 2
    assert rows[1][0].endswith(one_line(os.fsdecode(name)))
