"""When a recording began: its name, its Broadcast Wave metadata."""

from __future__ import annotations

import os
import struct
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from monitor.audio.start_time import start_unix_s
from tests.bundles import machine_sound
from tests.command_line import RATE_HZ

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31)).map(  # noqa: DTZ001 - zone below
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
AROUND = st.text("abcTtZz", max_size=8)


def named(name: str) -> float | None:
    return start_unix_s(Path("/nowhere") / name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tapping_20200318t205340.wav", "2020-03-18T20:53:40Z"),
        ("20200318_205340.WAV", "2020-03-18T20:53:40Z"),
        ("20200318_205340T.WAV", "2020-03-18T20:53:40Z"),
        ("pump-7-20261123T101530-001.flac", "2026-11-23T10:15:30Z"),
        ("pump-7-20261123T101530Z-001.flac", "2026-11-23T10:15:30Z"),
        ("2026-11-23T10:15:30.250Z.wav", "2026-11-23T10:15:30.250Z"),
        ("2026-11-23T10-15-30+01:00.wav", "2026-11-23T09:15:30Z"),
        ("20261123T101530-0530.wav", "2026-11-23T15:45:30Z"),
        ("20261123_101530-0100.wav", "2026-11-23T10:15:30Z"),
        ("20261123T101530-0001.wav", "2026-11-23T10:15:30Z"),
        ("99999999_999999 2026-11-23 10:15:30.ogg", "2026-11-23T10:15:30Z"),
        ("20261123T101530_20261123T111530.mp3", "2026-11-23T10:15:30Z"),
        ("fan_guards_20201210144840.flac", "2020-12-10T14:48:40Z"),
        ("20201210144860123.wav", None),
        ("20201310144840.wav", None),
        ("WhatsApp Audio 2026-11-23 at 10.15.30.ogg", "2026-11-23T10:15:30Z"),
        ("2026-11-23 10.15.30.wav", "2026-11-23T10:15:30Z"),
        ("Recording 2026-11-23 at 10.15.30 PM.wav", "2026-11-23T22:15:30Z"),
        ("Recording 2026-11-23 at 10.15.30\u202fPM.wav", "2026-11-23T22:15:30Z"),
        ("20261123_121530AM.wav", "2026-11-23T00:15:30Z"),
        ("2026-11-23 12-15-30 pm +0100.wav", "2026-11-23T11:15:30Z"),
        ("20261123_101530_pump.wav", "2026-11-23T10:15:30Z"),
        ("20261123_101530_pm.wav", "2026-11-23T10:15:30Z"),
        ("20261123_101530pm7.wav", "2026-11-23T10:15:30Z"),
        ("20261123_101530_ampere.wav", "2026-11-23T10:15:30Z"),
        ("20261123_221530pm.wav", "2026-11-23T22:15:30Z"),
        ("2026-11-23T10:15:30.123456789+01:00.wav", "2026-11-23T09:15:30.123456Z"),
        ("2026.11.23_10.15.30.wav", "2026-11-23T10:15:30Z"),
        ("2026_11_23__10_15_30.wav", "2026-11-23T10:15:30Z"),
        ("2026-11-23 - 10-15-30.wav", "2026-11-23T10:15:30Z"),
        ("2026-11-23T10:15Z.wav", "2026-11-23T10:15:00Z"),
        ("20261123T1015+0100.wav", "2026-11-23T09:15:00Z"),
        ("20261123_1015.wav", None),
        ("2026-11-23T10:15:30+01.wav", "2026-11-23T09:15:30Z"),
        ("20261123_101530+01.wav", "2026-11-23T09:15:30Z"),
        ("20261123_101530+0100.wav", "2026-11-23T09:15:30Z"),
        ("2026-11-23 10-15-30 +0100.wav", "2026-11-23T09:15:30Z"),
        ("2026-11-23T10:15:30-05.wav", "2026-11-23T15:15:30Z"),
        ("20261123T101530-05.wav", "2026-11-23T10:15:30Z"),
        ("20261123T101530-1200rpm.wav", "2026-11-23T10:15:30Z"),
        ("20161231T235960Z.wav", "2017-01-01T00:00:00Z"),
        ("2016-12-31T19-44-60-04:15.wav", "2017-01-01T00:00:00Z"),
        ("20161231T235961Z.wav", None),
        ("20991231_235959.wav", "2099-12-31T23:59:59Z"),
        ("19700101_000012.wav", None),
        ("19700219_041213.wav", None),
        ("19800106_000015.wav", None),
        ("20000128_101530.wav", None),
        ("19800101_000107.wav", None),
        ("20000101T000000Z.wav", None),
        ("19691231_235959.wav", None),
        ("20200230_101530.wav", None),
        ("20200318_2053401.wav", None),
        ("120200318_205340.wav", None),
        ("18990101_101530.wav", None),
        ("20200318.wav", None),
        ("recording 1.wav", None),
    ],
)
def test_a_time_in_a_name_is_the_start(name: str, expected: str | None) -> None:
    """Alerts of a replay have another time than the sound."""
    found = named(name)
    assert found == (None if expected is None else datetime.fromisoformat(expected).timestamp())


@given(
    moment=MOMENTS,
    minutes=st.sampled_from((None, 0, 60, -300, 330, 840)),
    separators=st.sampled_from((("", "", ""), ("-", "", ":"), ("-", "", "-"))),
    before=AROUND,
    after=AROUND,
)
def test_every_time_in_iso_8601_is_read(
    moment: datetime,
    minutes: int | None,
    separators: tuple[str, str, str],
    before: str,
    after: str,
) -> None:
    """Some dates or zones shift the alerts of a replay."""
    date, _, time = separators
    zone = timezone(timedelta(minutes=minutes or 0))
    local = moment.astimezone(zone)
    text = local.strftime(f"%Y{date}%m{date}%dT%H{time}%M{time}%S")
    if minutes is not None:
        text += local.isoformat()[-6:] if time == ":" else local.strftime("%z")
    unset = local.year < 1990 or (local.year, local.month) == (2000, 1)
    if unset or local.year > 2199:
        return
    assert named(f"{before}-{text}_{after}.wav") == moment.timestamp()


@given(st.text("0123456789-_:.+TZtz \u0663\xe9", max_size=40))
def test_no_name_is_an_error(name: str) -> None:
    """A file with an odd name ends a replay in a traceback."""
    named(name + ".wav")


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A replay of a folder with a named pipe in it never ends."""
    pipe = tmp_path / "a.wav"
    os.mkfifo(pipe)
    assert start_unix_s(pipe) is None


def broadcast_wave(path: Path, date: bytes, time: bytes) -> Path:
    """A WAV file with a ``bext`` chunk before its samples."""
    soundfile.write(path, machine_sound(0.1), RATE_HZ)
    riff = path.read_bytes()
    odd = struct.pack("<4sI", b"junk", 3) + b"abc\0"
    bext = bytes(320) + date + time + bytes(264)
    chunks = odd + struct.pack("<4sI", b"bext", len(bext)) + bext + riff[12:]
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks)
    assert soundfile.info(path).frames == round(0.1 * RATE_HZ)
    return path


def test_a_broadcast_wave_file_holds_its_start(tmp_path: Path) -> None:
    """The recordings of a field recorder are dated from 1970."""
    expected = datetime(2026, 11, 23, 10, 15, 30, tzinfo=UTC).timestamp()
    for date, time in ((b"2026-11-23", b"10:15:30"), (b"2026_11_23", b"10.15.30")):
        assert start_unix_s(broadcast_wave(tmp_path / "a.wav", date, time)) == expected
    for date, time in (
        (bytes(10), bytes(8)),
        (b"0000-00-00", b"00:00:00"),
        (b"9999-12-31", b"0" * 8),
    ):
        assert start_unix_s(broadcast_wave(tmp_path / "a.wav", date, time)) is None
    in_name = broadcast_wave(tmp_path / "20200318_205340.wav", b"2026-11-23", b"10:15:30")
    assert start_unix_s(in_name) == named("20200318_205340.wav")


@given(content=st.binary(max_size=400), chunk=st.sampled_from((b"", b"bext\xff\xff\0\0")))
def test_damaged_metadata_gives_no_start(content: bytes, chunk: bytes) -> None:
    """One damaged file ends a replay in a traceback."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        path.write_bytes(b"RIFF\0\0\0\0WAVE" + chunk + content)
        start_unix_s(path)
        path.write_bytes(content)
        assert start_unix_s(path) is None
