"""Precomputed log-mel: read as it was written, and everything else is refused."""

from __future__ import annotations

import contextlib
import itertools
import os
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audio.log_mel_files import read_log_mel_blocks
from monitor.domain import FloatArray, SourceStatus
from monitor.errors import AuscultError, BadInputError, MissingInputError
from monitor.sources.settings import LogMelSettings
from tests.source_reader import SourceReader


def frames(n_frames: int, n_mels: int = 128, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(-40, 5, (n_frames, n_mels)).astype(np.float32)


@pytest.mark.parametrize("block_frames", [1, 7, 512])
def test_frames_are_read_as_they_were_written(block_frames: int, tmp_path: Path) -> None:
    """Precomputed features would get wrong scores."""
    np.save(tmp_path / "a.npy", frames(600), allow_pickle=False)
    blocks = list(read_log_mel_blocks(tmp_path / "a.npy", block_frames=block_frames))
    assert np.array_equal(np.concatenate([b.frames_db for b in blocks]), frames(600))
    ends = itertools.accumulate(len(b.frames_db) for b in blocks)
    assert [b.first_frame for b in blocks[1:]] == list(ends)[:-1]


def test_double_precision_is_read_as_single(tmp_path: Path) -> None:
    """Features from numpy's own functions, which are in double precision, would be refused."""
    np.save(tmp_path / "a.npy", frames(600).astype(np.float64), allow_pickle=False)
    blocks = list(read_log_mel_blocks(tmp_path / "a.npy"))
    assert all(block.frames_db.dtype == np.float32 for block in blocks)
    assert np.array_equal(np.concatenate([b.frames_db for b in blocks]), frames(600))


BAD: dict[str, tuple[npt.NDArray[np.generic], str]] = {
    "three axes": (frames(8).reshape(2, 4, 128), "shape"),
    "one axis": (frames(8).ravel(), "shape"),
    "no frames": (frames(0), "shape"),
    "too many bands": (frames(2, 5_000), "shape"),
    "integers": (frames(8).astype(np.int16), "float32"),
    "other byte order": (frames(8).astype(">f4"), "float32"),
    "columns first": (np.asfortranarray(frames(8)), "Fortran"),
    "NaN": (np.full((8, 128), np.nan, np.float32), "NaN"),
    "infinity": (np.full((8, 128), -np.inf, np.float32), "infinity"),
    "power, not dB": (np.full((8, 128), 1e6, np.float32), "levels in dB"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_log_mel_is_refused(name: str, tmp_path: Path) -> None:
    """Values that are not levels would be scored."""
    array, said = BAD[name]
    np.save(tmp_path / "a.npy", array, allow_pickle=False)
    with pytest.raises(BadInputError, match=said) as raised:
        list(read_log_mel_blocks(tmp_path / "a.npy"))
    assert str(tmp_path / "a.npy") in str(raised.value)


def test_pickles_text_and_half_files_are_refused(tmp_path: Path) -> None:
    """A recording could run a program, or be scored in part."""
    path = tmp_path / "a.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(BadInputError):
        list(read_log_mel_blocks(path))
    path.write_text("frames\n")
    with pytest.raises(BadInputError, match=r"not an \.npy file"):
        list(read_log_mel_blocks(path))
    np.save(path, frames(100), allow_pickle=False)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(BadInputError, match="truncated"):
        list(read_log_mel_blocks(path))
    path.write_bytes(2 * whole)
    with pytest.raises(BadInputError, match="several arrays in one file"):
        list(read_log_mel_blocks(path))
    path.unlink()
    os.mkfifo(path)  # nothing may wait for a writer
    with pytest.raises(BadInputError, match=r"not an \.npy file"):
        list(read_log_mel_blocks(path))
    with pytest.raises(MissingInputError):
        list(read_log_mel_blocks(tmp_path / "b.npy"))


@given(content=st.binary(max_size=300), whole=st.booleans())
def test_any_bytes_give_frames_or_one_clear_error(
    content: bytes, whole: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A damaged header could crash the daemon or make it allocate without limit."""
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    head = b"" if whole else b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', "
    path.write_bytes(head + content)
    with contextlib.suppress(AuscultError):
        for block in read_log_mel_blocks(path):
            assert np.isfinite(block.frames_db).all()


def test_a_header_with_a_huge_shape_needs_no_memory(tmp_path: Path) -> None:
    """A file of 128 bytes could fill the memory."""
    path = tmp_path / "a.npy"
    np.save(path, frames(2, 10), allow_pickle=False)
    content = path.read_bytes().replace(b"(2, 10), }" + b" " * 11, b"(999999999999, 10), }")
    path.write_bytes(content)
    with pytest.raises(BadInputError, match="truncated"):
        list(read_log_mel_blocks(path))


@pytest.mark.parametrize(
    "header",
    [
        "-" * 4_000 + "1",
        "(" * 4_000,
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 10), 'more': 1}",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 10)}",
        "{'descr': ('<f4', (2,), 3), 'fortran_order': False, 'shape': (2, 10)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 10)}" + " " * 5_000,
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, True)}",
    ],
)
def test_an_unusual_header_is_refused(header: str, tmp_path: Path) -> None:
    """A header that only the parser of Python accepts could end the daemon."""
    path = tmp_path / "a.npy"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    path.write_bytes(content + bytes(8))
    with pytest.raises(BadInputError):
        list(read_log_mel_blocks(path))


def test_a_header_is_read_no_further_than_its_limit(tmp_path: Path) -> None:
    """A file whose header claims to be its whole content would be read into memory at once."""
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        file.write(b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little"))
        file.truncate(2**31 + 12)
    tracemalloc.start()
    try:
        with pytest.raises(BadInputError, match="header"):
            list(read_log_mel_blocks(path))
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


def test_a_folder_is_read_file_by_file_and_bad_files_are_skipped(tmp_path: Path) -> None:
    """One bad file would end the source, or different files would be joined."""
    np.save(tmp_path / "a.npy", frames(100), allow_pickle=False)
    np.save(tmp_path / "b.npy", frames(100, 64), allow_pickle=False)
    np.save(tmp_path / "c.npy", frames(50), allow_pickle=False)
    with SourceReader(LogMelSettings(path=tmp_path)) as reader:
        reader.wait_for_end()
    blocks = reader.log_mel_blocks()
    assert [(b.first_frame, b.discontinuous) for b in blocks] == [(0, False), (100, True)]
    assert [s.status for s in reader.states()] == [SourceStatus.UNAVAILABLE, SourceStatus.OK]
    assert "b.npy: has 64 mel bands, 128 are expected" in reader.states()[0].detail
