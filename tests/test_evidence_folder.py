"""Reading the evidence of alerts: ids, files that come and go, and damaged ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evidence.folder import EvidenceFolder
from monitor.evidence.names import healthy_state_of, healthy_stem, piece_of, split_id

ALERT = "019abf2f-5d0a-7c3e-8a53-5f5b3a8e9d02"
METADATA: dict[str, Any] = {
    "evidence_id": f"{ALERT}-0",
    "machine": "pump-7",
    "moment": "raised",
    "at": "2026-11-23T10:15:30.250Z",
    "starts_at": "2026-11-23T10:15:15.250Z",
    "log_mel": {"images": ["log_mel", "reconstruction"], "n_mels": 2, "n_frames": 3},
}


def write(folder: Path, stem: str, metadata: object = METADATA, **files: bytes) -> None:
    """A piece with these files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.json").write_text(json.dumps(metadata))
    for kind, content in files.items():
        (folder / f"{stem}.{kind}").write_bytes(content)


def test_pieces_come_in_their_order_with_their_files(tmp_path: Path) -> None:
    """The page of an alert would show its end before its beginning, or a wrong picture."""
    for number in (10, 2, 0):
        write(tmp_path / ALERT, f"{number}-raised", METADATA | {"number": number})
    write(tmp_path / ALERT, "1-worse", METADATA | {"number": 1}, flac=b"f", png=b"p")
    pieces = EvidenceFolder(tmp_path).pieces(ALERT)
    assert [piece.metadata["number"] for piece in pieces] == [0, 1, 2, 10]
    assert pieces[1].sound_path == tmp_path / ALERT / "1-worse.flac"
    assert pieces[1].picture_path == tmp_path / ALERT / "1-worse.png"
    assert pieces[1].arrays_path is pieces[0].sound_path is None


def test_images_are_read_by_their_names(tmp_path: Path) -> None:
    """The page would show the reconstruction as the sound."""
    write(tmp_path / ALERT, "0-raised", bin=bytes(range(12)))
    piece = EvidenceFolder(tmp_path).piece(f"{ALERT}-0")
    assert piece is not None
    images = {name: bytes(image) for name, image in piece.images().items()}
    assert images == {"log_mel": bytes(range(6)), "reconstruction": bytes(range(6, 12))}


@pytest.mark.parametrize(
    "log_mel",
    [
        None,
        [],
        {},
        {"images": ["log_mel"], "n_mels": 2, "n_frames": 3},
        {"images": ["log_mel", "reconstruction"], "n_mels": 2, "n_frames": "3"},
        {"images": ["log_mel", "reconstruction"], "n_mels": -2, "n_frames": -3},
        {"images": [], "n_mels": 2, "n_frames": 3},
        {"images": "ab", "n_mels": 2, "n_frames": 3},
    ],
)
def test_images_that_do_not_fit_the_file_are_not_shown(log_mel: object, tmp_path: Path) -> None:
    """A damaged file would end the web page with an error, or show noise."""
    write(tmp_path / ALERT, "0-raised", METADATA | {"log_mel": log_mel}, bin=bytes(12))
    piece = EvidenceFolder(tmp_path).piece(f"{ALERT}-0")
    assert piece is not None
    assert piece.images() == {}


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_metadata_with_a_number_that_json_does_not_have_are_no_piece(
    number: str, tmp_path: Path
) -> None:
    """The page would answer with an internal error as long as the piece exists."""
    write(tmp_path / ALERT, "0-raised")
    path = tmp_path / ALERT / "0-raised.json"
    path.write_text(path.read_text()[:-1] + f', "seconds": {number}}}')
    assert EvidenceFolder(tmp_path).pieces(ALERT) == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"machine": 1}', "[" * 100_000, '"text"', "null", "\udcff"]
)
def test_damaged_metadata_are_no_piece(content: str, tmp_path: Path) -> None:
    """One damaged file would hide all evidence of an alert."""
    write(tmp_path / ALERT, "1-cleared")
    (tmp_path / ALERT / "0-raised.json").write_bytes(content.encode(errors="surrogateescape"))
    folder = EvidenceFolder(tmp_path)
    assert folder.piece(f"{ALERT}-0") is None
    assert [piece.metadata for piece in folder.pieces(ALERT)] == [METADATA]


@pytest.mark.parametrize(
    "wrong",
    [
        "../secret-0",
        f"../{ALERT}-0",
        f"{ALERT}/0-raised",
        f"{ALERT}-00",
        f"{ALERT}-+0",
        f"{ALERT}-\u0660",  # a digit of another script
        f"{ALERT}-0\n",
        ALERT.upper() + "-0",
        "",
    ],
)
def test_what_is_not_an_id_names_no_file(wrong: str, tmp_path: Path) -> None:
    """An address of the web page could read any file of the node."""
    write(tmp_path / "secret", "0-raised")
    write(tmp_path / "evidence" / ALERT, "0-raised")
    folder = EvidenceFolder(tmp_path / "evidence")
    assert folder.piece(f"{ALERT}-0") is not None
    assert folder.piece(wrong) is None
    assert folder.pieces(wrong) == []
    assert folder.healthy(f"../{ALERT}", "running") is None
    assert folder.healthy_operations("..") == []


@given(st.text(max_size=60))
def test_no_text_names_a_file_outside(text: str) -> None:
    """The same, for texts that nobody thought of."""
    parts = split_id(text)
    assert parts is None or f"{parts[0]}-{parts[1]}" == text
    assert piece_of(text) is None or "/" not in text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=32))
def test_every_operating_state_has_its_own_file(operation: str) -> None:
    """Healthy sound of one operating state would be shown as that of another one."""
    stem = healthy_stem(operation)
    assert "/" not in stem
    assert len(stem.encode()) < 250 or len(operation.encode()) > 80
    assert healthy_state_of(f"{stem}.flac") == (operation, "flac")


def test_healthy_sound_is_found_by_machine_and_operating_state(tmp_path: Path) -> None:
    """An alert could not be compared with how the machine sounds when it is healthy."""
    folder = EvidenceFolder(tmp_path)
    assert folder.healthy("pump-7", "running 2") is None
    write(tmp_path / "healthy" / "pump-7", healthy_stem("running 2"), flac=b"f")
    write(tmp_path / "healthy" / "pump-7", healthy_stem("../x"), flac=b"g")
    piece = folder.healthy("pump-7", "running 2")
    assert piece is not None
    assert piece.sound_path is not None
    assert piece.sound_path.read_bytes() == b"f"
    assert folder.healthy_operations("pump-7") == ["../x", "running 2"]


def test_a_folder_that_does_not_exist_has_no_evidence(tmp_path: Path) -> None:
    """The web page would fail before the first alert."""
    folder = EvidenceFolder(tmp_path / "evidence")
    assert folder.pieces(ALERT) == []
    assert folder.piece(f"{ALERT}-0") is None
    assert folder.total_bytes() == 0


def test_all_files_count(tmp_path: Path) -> None:
    """A limit of space would not be a limit."""
    write(tmp_path / ALERT, "0-raised", flac=bytes(1000), bin=bytes(100))
    write(tmp_path / "healthy" / "m", "state-running", flac=bytes(10))
    (tmp_path / "foreign").write_bytes(bytes(1))
    metadata = 2 * len(json.dumps(METADATA))
    assert EvidenceFolder(tmp_path).total_bytes() == 1111 + metadata


def test_reading_needs_no_numpy() -> None:
    """The web page and the notifications would need 30 MB more."""
    script = "import sys, monitor.evidence.folder; sys.exit('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == 0
