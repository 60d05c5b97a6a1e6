"""The files of evidence: whole, in parts, converted, and never another file."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from monitor.history.store import HistoryStore
from monitor.web.file_answer import OpenFile, open_file, range_of
from monitor.web.transcoding import Band, Transcoder
from tests.histories import alert
from tests.web_app import ALERT_ID, Served, served

EVIDENCE_ID = f"{ALERT_ID}-0"
CLIP = f"/evidence/{EVIDENCE_ID}/clip.flac"
TONE_HZ = 1000.0


def write_piece(state_dir: Path, rate_hz: int = 16_000, seconds: float = 2.0) -> Path:
    """A piece of evidence as the daemon writes it; the path of its clip."""
    folder = state_dir / "evidence" / ALERT_ID
    folder.mkdir(parents=True, exist_ok=True)
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    samples = 0.1 * np.sin(2 * np.pi * TONE_HZ * times)
    soundfile.write(folder / "0-raised.flac", samples, rate_hz)
    (folder / "0-raised.bin").write_bytes(bytes(range(256)) * 3)
    (folder / "0-raised.png").write_bytes(b"\x89PNG")
    metadata = {
        "evidence_id": EVIDENCE_ID,
        "alert_id": ALERT_ID,
        "machine": "pump-7",
        "moment": "raised",
        "at": "2026-11-23T10:15:30.250Z",
        "starts_at": "2026-11-23T10:15:15.250Z",
        "ratio": 2.4,
    }
    (folder / "0-raised.json").write_text(json.dumps(metadata))
    return folder / "0-raised.flac"


def write_pictured_piece(state_dir: Path) -> Path:
    """The same with pictures of 20 s; the path of its metadata."""
    path = write_piece(state_dir).with_suffix(".json")
    images = {"images": ["log_mel", "reconstruction", "residual"], "n_mels": 16, "n_frames": 16}
    levels = {"low_db": -92.3, "high_db": -21.0, "residual_db": 20.0}
    log_mel = images | levels | {"mel_hz": [100.0 * (band + 1) for band in range(16)]}
    about = {"seconds": 20.0, "log_mel": log_mel, "band_residual_db": [1.0] * 16}
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | about))
    return path


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as one:
        write_piece(one.state_dir)
        yield one


def test_each_file_of_a_piece_is_served_with_its_type(running: Served) -> None:
    """A browser would not play the clip or not show the picture."""
    for name, media_type in (
        ("clip.flac", "audio/flac"),
        ("clip.opus", "audio/ogg"),
        ("arrays.bin", "application/octet-stream"),
        ("picture.png", "image/png"),
        ("metadata.json", "application/json"),
    ):
        answer = running.get(f"/evidence/{EVIDENCE_ID}/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
        assert answer.content
    document = running.get(f"/api/alert/{ALERT_ID}").json()
    assert document["alert"]["machine"] == "pump-7"
    assert document["pieces"][0]["has_sound"] is True


def test_an_alert_without_a_history_is_shown_by_its_evidence(running: Served) -> None:
    """With history off, a link in a message would lead nowhere."""
    document = running.get(f"/api/alert/{ALERT_ID}").json()
    assert document["alert"]["peak_ratio"] == 2.4
    assert document["alert"]["raised_at"] == "2026-11-23T10:15:30.250Z"
    assert document["alert"]["cleared_at"] is None


def test_the_end_of_an_alert_without_a_history_is_that_of_its_evidence(running: Served) -> None:
    """The page would show for ever that it is open."""
    first = write_piece(running.state_dir).with_suffix(".json")
    ended = json.loads(first.read_text()) | {"moment": "cleared", "at": "2026-11-23T10:20:00.000Z"}
    ended["evidence_id"] = f"{ALERT_ID}-1"
    first.with_name("1-cleared.json").write_text(json.dumps(ended))
    shown = running.get(f"/api/alert/{ALERT_ID}").json()["alert"]
    assert shown["cleared_at"] == "2026-11-23T10:20:00.000Z"
    assert shown["cleared_unix_s"] - shown["raised_unix_s"] == 269.75


@pytest.mark.parametrize(
    ("after_s", "ago_s", "least", "most"),
    [
        (15.0, 3.0, 6.0, 12.0),
        (15.0, 17.0, 0.0, 0.0),  # it is written
        (15.0, 60.0, None, None),
        (15.0, -3600.0, None, None),  # of a recording with a clock of its own
        (None, 3.0, None, None),  # nothing is kept
    ],
)
def test_sound_that_is_still_recorded_is_announced(
    tmp_path: Path, after_s: float | None, ago_s: float, least: float | None, most: float | None
) -> None:
    """Who listens at once would read that no sound is kept, and leave."""
    with served(tmp_path, sound_after_s=after_s) as one:
        store = HistoryStore(one.state_dir / "history.sqlite3")
        raised = alert("raised", time.time() - ago_s, ALERT_ID, machine="pump-7")
        store.write({}, [raised], durable=True)
        store.close()
        left_s = one.get(f"/api/alert/{ALERT_ID}").json()["sound_ready_in_s"]
        assert (left_s is None) == (least is None)
        if least is not None and most is not None:
            assert least <= left_s <= most
        write_piece(one.state_dir)
        document = one.get(f"/api/alert/{ALERT_ID}").json()
        assert document["sound_ready_in_s"] is None
        assert document["pieces"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-", slice(0, None)),
        ("bytes=0-99", slice(0, 100)),
        ("bytes=100-199", slice(100, 200)),
        ("bytes=-50", slice(-50, None)),
        ("bytes=1000-999999999", slice(1000, None)),
    ],
)
def test_a_player_can_seek(running: Served, header: str, expected: slice) -> None:
    """A listener would have to hear the whole clip to reach the fault."""
    whole = running.get(CLIP).content
    part = running.get(CLIP, headers={"Range": header})
    assert part.status_code == 206
    assert part.content == whole[expected]
    first = range(len(whole))[expected][0]
    last = range(len(whole))[expected][-1]
    assert part.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"


@pytest.mark.parametrize(
    "header",
    ["bytes=-", "bytes=5-1", "bytes=1--1", "lines=1-2", "bytes=0-1,5-6", "bytes=", "bytes=x"],
)
def test_a_range_that_is_not_understood_gives_the_whole_file(running: Served, header: str) -> None:
    """A player of another kind would get an error instead of sound."""
    answer = running.get(CLIP, headers={"Range": header})
    assert (answer.status_code, answer.content) == (200, running.get(CLIP).content)


def test_a_range_beyond_the_end_is_refused(running: Served) -> None:
    """A player would wait for bytes that do not exist."""
    length = len(running.get(CLIP).content)
    answer = running.get(CLIP, headers={"Range": f"bytes={length}-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{length}"


@given(st.text(max_size=30), st.integers(0, 1000))
def test_any_range_is_within_the_file(header: str, n_bytes: int) -> None:
    """A wrong header could read outside of the file."""
    for text in (header, f"bytes={header}", "bytes=" + header.replace("a", "9")):
        part = range_of(text, n_bytes)
        assert part is None or 0 <= part[0] <= part[1] <= n_bytes


def test_a_browser_that_has_the_file_gets_no_second_copy(running: Served) -> None:
    """Each visit would load the clip again over a mobile connection."""
    first = running.get(CLIP)
    again = running.get(CLIP, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    old = {"Range": "bytes=0-9", "If-Range": '"another"'}
    assert running.get(CLIP, headers=old).status_code == 200


@pytest.mark.parametrize("accepted", ["gzip", "br, GZIP", "identity", "gzip;q=0"])
def test_arrays_and_scripts_are_compressed_for_who_takes_it(running: Served, accepted: str) -> None:
    """The page of an alert would be heavy, or unreadable for a program without gzip."""
    write_piece(running.state_dir)
    for path in (f"/evidence/{EVIDENCE_ID}/arrays.bin", "/static/chart.js"):
        plain = running.get(path, headers={"Accept-Encoding": "identity"})
        answer = running.get(path, headers={"Accept-Encoding": accepted})
        assert answer.content == plain.content
        is_packed = answer.headers.get("content-encoding") == "gzip"
        assert is_packed is (accepted in {"gzip", "br, GZIP"})
        if is_packed:
            assert int(answer.headers["content-length"]) < len(plain.content)
            known = {"Accept-Encoding": accepted, "If-None-Match": answer.headers["etag"]}
            assert running.get(path, headers=known).status_code == 304


def test_arrays_with_fewer_levels_are_smaller_and_show_the_same(running: Served) -> None:
    """The page of an alert would be heavy on a phone, or its pictures would show something else."""
    write_piece(running.state_dir)
    path = f"/evidence/{EVIDENCE_ID}/arrays.bin"
    whole, reduced = running.get(path), running.get(f"{path}?levels=64")
    sizes = [int(one.headers["content-length"]) for one in (whole, reduced)]
    assert sizes[1] < 0.8 * sizes[0]
    assert list(reduced.content) == [value - value % 4 for value in whole.content]
    known = {"If-None-Match": whole.headers["etag"]}
    assert running.get(f"{path}?levels=64", headers=known).status_code == 200
    assert running.get(f"{path}?levels=0").status_code == 400


def test_head_states_the_size_without_the_file(running: Served) -> None:
    """Players ask for the size first."""
    with running.client() as client:
        answer = client.head(CLIP)
    assert answer.headers["content-length"] == str(len(running.get(CLIP).content))
    assert answer.content == b""


def test_a_range_is_only_for_get(running: Served) -> None:
    """RFC 9110: a player would take the size of the part for that of the clip."""
    with running.client() as client:
        answer = client.head(CLIP, headers={"Range": "bytes=0-9"})
    assert (answer.status_code, "content-range" in answer.headers) == (200, False)


def test_an_empty_part_is_refused(running: Served) -> None:
    """RFC 9110: the last 0 bytes are no part."""
    assert running.get(CLIP, headers={"Range": "bytes=-0"}).status_code == 416


@pytest.mark.parametrize("rate_hz", [16_000, 44_100, 96_000])
def test_a_clip_as_opus_is_small_and_has_its_frequencies(running: Served, rate_hz: int) -> None:
    """A listener at a phone would hear another sound, or none for some microphones."""
    write_piece(running.state_dir, rate_hz, 4.0)
    answer = running.get(f"/evidence/{EVIDENCE_ID}/clip.opus")
    assert answer.status_code == 200
    samples, opus_hz = soundfile.read(io.BytesIO(answer.content))
    spectrum = np.abs(np.fft.rfft(samples))
    assert abs(spectrum.argmax() * opus_hz / len(samples) - TONE_HZ) < 2.0
    assert len(samples) / opus_hz == pytest.approx(4.0, abs=0.05)
    assert len(answer.content) < 4 * 16_000


def test_a_clip_is_converted_once(running: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each listener would start a program."""
    converted: list[Path] = []
    original = Transcoder._converted

    async def counted(self: Transcoder, path: Path, file: OpenFile, band_hz: Band | None) -> bytes:
        converted.append(path)
        return await original(self, path, file, band_hz)

    monkeypatch.setattr(Transcoder, "_converted", counted)
    contents = {running.get(f"/evidence/{EVIDENCE_ID}/clip.opus").content for _ in range(3)}
    assert len(contents) == len(converted) == 1
    monkeypatch.setattr(Transcoder, "MOST_KEPT_BYTES", 10)
    running.get(f"/evidence/{EVIDENCE_ID}/clip.opus")
    assert running.context.transcoder._kept == {}


def diagnosed(state_dir: Path, listen_hz: object) -> None:
    """Add a finding to the metadata of the piece."""
    path = state_dir / "evidence" / ALERT_ID / "0-raised.json"
    finding = {"kind": "impacts", "text": "50 impacts per second", "listen_hz": listen_hz}
    diagnosis = {"findings": [finding], "notes": [], "spectra": [{"level_db": [0.0] * 600}]}
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"diagnosis": diagnosis}))


def test_only_the_frequencies_of_a_finding_can_be_listened_to(running: Served) -> None:
    """A faint fault is not audible beside the hum of the machine."""
    clip = write_piece(running.state_dir)
    samples, rate_hz = soundfile.read(clip)
    faint = 0.001 * np.sin(2 * np.pi * 3000.0 * np.arange(len(samples)) / rate_hz)
    soundfile.write(clip, samples + faint, rate_hz, subtype="PCM_24")
    diagnosed(running.state_dir, [2500.0, 3500.0])
    answer = running.get(f"/evidence/{EVIDENCE_ID}/band.opus?finding=1")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/ogg")
    played, opus_hz = soundfile.read(io.BytesIO(answer.content))
    spectrum = np.abs(np.fft.rfft(played * np.hanning(len(played))))
    hz = np.arange(len(spectrum)) * opus_hz / len(played)
    assert hz[spectrum.argmax()] == pytest.approx(3000.0, abs=5.0)
    assert spectrum[np.abs(hz - TONE_HZ) < 50.0].max() < 0.1 * spectrum.max()
    assert np.abs(played).max() == pytest.approx(0.7, abs=0.1)
    whole = running.get(f"/evidence/{EVIDENCE_ID}/clip.opus").content
    assert whole != answer.content  # both are kept in memory
    assert running.get(f"/evidence/{EVIDENCE_ID}/band.opus?finding=1").content == answer.content


@pytest.mark.parametrize(
    "listen_hz",
    [None, [], [1, 2, 3], ["a", "b"], [3000, 2000], [-5, 100], {"a": 1}, [1, 1e999], [0, 10**400]],
)
def test_a_finding_without_frequencies_has_no_sound(running: Served, listen_hz: object) -> None:
    """Damaged metadata would be an internal error, or an argument of a program."""
    diagnosed(running.state_dir, listen_hz)
    assert running.get(f"/evidence/{EVIDENCE_ID}/band.opus?finding=1").status_code == 404
    assert running.get(f"/evidence/{EVIDENCE_ID}/band.opus?finding=7").status_code == 404
    for number in ("-1", "0", "x", "1e9"):
        answer = running.get(f"/evidence/{EVIDENCE_ID}/band.opus?finding={number}")
        assert answer.status_code in {400, 404}


def test_the_page_of_an_alert_has_findings_without_their_spectra(running: Served) -> None:
    """An open page asks for them again every few seconds."""
    diagnosed(running.state_dir, [2500.0, 3500.0])
    shown = running.get(f"/api/alert/{ALERT_ID}").json()["pieces"][0]["diagnosis"]
    assert shown["findings"][0]["text"] == "50 impacts per second"
    assert "spectra" not in shown
    whole = running.get(f"/evidence/{EVIDENCE_ID}/metadata.json").json()
    assert len(whole["diagnosis"]["spectra"][0]["level_db"]) == 600


def test_a_clip_that_cannot_be_converted_is_said(running: Served) -> None:
    """A damaged clip would be an internal error."""
    clip = running.state_dir / "evidence" / ALERT_ID / "0-raised.flac"
    clip.write_bytes(b"no sound")
    answer = running.get(f"/evidence/{EVIDENCE_ID}/clip.opus")
    assert answer.status_code == 503
    assert "clip.flac" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/evidence/../../etc/passwd/clip.flac",
        "/evidence/..%2f..%2fetc/clip.flac",
        f"/evidence/{ALERT_ID}-00/clip.flac",
        f"/evidence/{ALERT_ID}-0%00/clip.flac",
        f"/evidence/{ALERT_ID.upper()}-0/clip.flac",
        f"/evidence/{EVIDENCE_ID}/0-raised.flac",
        "/healthy/..%2f..%2f/x/clip.flac",
        "/healthy/pump-7/..%2f..%2fx/clip.flac",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/static/../context.py",
        "/static//etc/passwd",
    ],
)
def test_no_address_leads_to_another_file(running: Served, path: str) -> None:
    """Anybody who may look could read the files of the node."""
    with running.client() as client:
        request = client.build_request("GET", running.url)
        request.url = request.url.copy_with(raw_path=path.encode())
        assert client.send(request).status_code == 404


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
@pytest.mark.parametrize("ending", ["flac", "bin", "png", "json"])
def test_only_regular_files_are_evidence(running: Served, ending: str, kind: str) -> None:
    """A program that can write the folder could publish other files, or stop the page."""
    path = running.state_dir / "evidence" / ALERT_ID / f"0-raised.{ending}"
    path.rename(running.state_dir / "moved")
    if kind == "link":
        path.symlink_to(running.state_dir / "moved")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    names = {
        "flac": ["clip.flac", "clip.opus"],
        "bin": ["arrays.bin"],
        "png": ["picture.png"],
        "json": ["metadata.json", "clip.flac", "clip.opus", "arrays.bin", "picture.png"],
    }
    for name in names[ending]:
        assert running.get(f"/evidence/{EVIDENCE_ID}/{name}").status_code == 404, name


def test_a_file_that_is_deleted_while_it_is_sent_is_sent_to_its_end(tmp_path: Path) -> None:
    """A clip that has just reached its age would break off."""
    path = tmp_path / "clip.flac"
    path.write_bytes(b"x" * 300_000)
    file = open_file(path)
    path.unlink()
    received = b""
    while part := file.read(len(received), 300_000):
        assert len(part) <= OpenFile.PART_BYTES
        received += part
    file.close()
    assert received == b"x" * 300_000
