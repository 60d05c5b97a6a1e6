"""Reading sets of images: IDX files, downloads with checksums, folders, noise."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monitor.errors import BadInputError, MissingInputError, ServiceUnavailableError, UsageError
from tests.conftest import shared_data
from tests.tiny_images import CLASS_NAMES, bars, idx_bytes, write_frames, write_idx_folder
from training.images import datasets
from training.images.folder import read_image_folder, split_frames
from training.images.idx import read_idx
from training.images.image_set import add_noise, split_validation

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("gzipped", [True, False])
def test_idx_files_are_read_gzipped_or_not(tmp_path: Path, gzipped: bool) -> None:
    """Gzipped or plain IDX files could not be read."""
    content = idx_bytes(ARRAY)
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if gzipped else content)
    np.testing.assert_array_equal(read_idx(path), ARRAY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not begin"),
        (b"PK\x03\x04", "does not begin"),
        (idx_bytes(ARRAY)[:-1], "needs 24 bytes, the file has 23"),
        (idx_bytes(ARRAY) + b"x", "the file has 25"),
        (idx_bytes(ARRAY)[:9], "truncated"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00\x00\x00\x00", "type 0x0d"),
        (b"\x00\x00\x08\x02" + b"\xff" * 8, "must have 1 to"),
        (b"\x00\x00\x08\x01" + b"\x00" * 4, "must have 1 to"),
        (b"\x00\x00\x08\x00", "0 dimensions"),
        (b"\x00\x00\x08\xff" + b"\x00\x00\x00\x01" * 255 + b"x", "255 dimensions, more than 8"),
        (gzip.compress(idx_bytes(ARRAY), mtime=0)[:-9], "damaged gzip"),
    ],
)
def test_a_malformed_idx_file_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    """A damaged file would be trained on, end in a traceback, or fill the memory."""
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=reason) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """It would fill the memory."""
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(ARRAY))
    os.truncate(path, 2**40)
    with pytest.raises(BadInputError, match=f"images: {2**40} bytes; an IDX file has at most"):
        read_idx(path)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Write no log."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve a folder of IDX files over HTTP."""
    folder = write_idx_folder(tmp_path / "published")
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


@pytest.fixture
def origin(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace MNIST by the small set, with correct checksums."""
    published = {
        path.stem: hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
        for path in (tmp_path / "published").glob("*.gz")
    }
    tiny = datasets.Origin((server,), published, CLASS_NAMES)
    monkeypatch.setitem(datasets.ORIGINS, "mnist", tiny)


@pytest.mark.usefixtures("origin")
def test_a_download_is_kept_and_verified(tmp_path: Path, server: str) -> None:
    """The set would be downloaded at every run, or a damaged copy would be used."""
    cache = tmp_path / "cache"
    first = datasets.load_dataset("mnist", cache=cache)
    assert (len(first.train), len(first.test)) == (300, 80)
    again = datasets.load_dataset("mnist", cache=cache, urls=["http://127.0.0.1:9/"])
    np.testing.assert_array_equal(first.train.pixels, again.train.pixels)
    damaged = cache / "mnist" / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-20])
    datasets.load_dataset("mnist", cache=cache, urls=["http://127.0.0.1:9/", server])
    assert len(datasets.load_dataset("mnist", cache=cache).train) == 300


@pytest.mark.usefixtures("origin")
def test_a_download_with_another_checksum_is_refused(tmp_path: Path) -> None:
    """Images that were exchanged during the download would be trained on."""
    other = tmp_path / "published" / "t10k-labels-idx1-ubyte.gz"
    other.write_bytes(gzip.compress(idx_bytes(np.zeros(80, dtype=np.uint8))))
    with pytest.raises(ServiceUnavailableError, match=r"SHA-256.*--data DIR"):
        datasets.load_dataset("mnist", cache=tmp_path / "cache")
    assert not (tmp_path / "cache" / "mnist" / other.name).exists()


def test_a_folder_without_the_files_names_the_missing_one(tmp_path: Path) -> None:
    """A user would not know which file to add."""
    with pytest.raises(MissingInputError, match="train-images-idx3-ubyte"):
        datasets.load_dataset("mnist", tmp_path)


class _CutShort(_Quiet):
    def do_GET(self) -> None:
        """Send less than the announced length, like a broken connection."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 10)


def test_a_download_that_breaks_off_is_named(tmp_path: Path) -> None:
    """A broken connection would end in a traceback, or half a file would be kept."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _CutShort) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{running.server_port}/"
        with pytest.raises(ServiceUnavailableError, match="could not be downloaded"):
            datasets.load_dataset("mnist", cache=tmp_path, urls=[url])
        running.shutdown()
        thread.join()
    assert not list(tmp_path.rglob("*ubyte*"))


@pytest.mark.usefixtures("origin")
def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A cache on a read-only disk would end in a traceback."""
    (tmp_path / "cache").write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(MissingInputError, match="XDG_CACHE_HOME"):
        datasets.load_dataset("mnist", cache=tmp_path / "cache")


@pytest.mark.usefixtures("origin")
@pytest.mark.parametrize("gzipped", [True, False])
def test_the_other_data_set_is_not_taken_for_the_one_asked_for(
    tmp_path: Path, gzipped: bool
) -> None:
    """Figures of digits would be reported as figures of clothes."""
    folder = write_idx_folder(tmp_path / "digits", gzipped=gzipped)
    assert datasets.load_dataset("mnist", folder).name == "mnist"
    with pytest.raises(UsageError, match="contains mnist, not fashion-mnist"):
        datasets.load_dataset("fashion-mnist", folder)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "mnist"), ("fashion-mnist", "fashion_mnist")]
)
def test_the_checksums_are_those_of_the_published_files(name: str, folder: str) -> None:
    """Every real download would be refused."""
    place = shared_data(folder)
    for stem, expected in datasets.ORIGINS[name].sha256.items():  # type: ignore[index]  # both are names
        content = gzip.decompress((place / f"{stem}.gz").read_bytes())
        assert hashlib.sha256(content).hexdigest() == expected


def test_a_folder_of_colour_frames_is_read_in_order(tmp_path: Path) -> None:
    """Frames would lose their names or their colours."""
    folder = write_frames(tmp_path / "frames", 4, colour=True)
    frames = read_image_folder(folder)
    assert frames.shape == (3, 12, 12)
    assert frames.names == tuple(str(folder / f"{i:03}.png") for i in range(4))
    with Image.open(folder / "002.png") as image:
        np.testing.assert_array_equal(frames.pixels[2].transpose(1, 2, 0), np.asarray(image))
    train, test = split_frames(frames, 0)
    assert sorted(train.names + test.names) == list(frames.names)


def test_a_grey_frame_among_colour_ones_becomes_colour(tmp_path: Path) -> None:
    """A folder with grey and colour frames would fail."""
    folder = write_frames(tmp_path / "frames", 2, colour=True)
    Image.new("L", (12, 12), 80).save(folder / "grey.png")
    frames = read_image_folder(folder)
    assert frames.shape == (3, 12, 12)
    assert (frames.pixels[2] == 80).all()


def test_grey_frames_of_sixteen_bits_keep_their_shades(tmp_path: Path) -> None:
    """Frames of a scientific camera would all be white."""
    shades = np.linspace(0, 65535, 144).reshape(12, 12).astype(np.uint16)
    Image.fromarray(shades).save(tmp_path / "deep.png")
    frames = read_image_folder(tmp_path)
    np.testing.assert_array_equal(frames.pixels[0, 0], shades >> 8)


def test_a_file_that_is_not_an_image_is_named(tmp_path: Path) -> None:
    """A broken frame would end in a traceback."""
    folder = write_frames(tmp_path / "frames", 2)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(BadInputError, match=r"broken\.jpg"):
        read_image_folder(folder)
    with pytest.raises(MissingInputError, match="no PNG or JPEG"):
        read_image_folder(write_idx_folder(tmp_path / "idx"))


def test_a_validation_split_shares_no_image(tmp_path: Path) -> None:
    """The epoch would be chosen on images that were trained on."""
    del tmp_path
    train, validation = split_validation(bars(50, 0), 0.2, seed=3)
    assert len(validation) == 10
    assert {*train.names}.isdisjoint(validation.names)


def test_noise_has_its_deviation_and_stays_in_range() -> None:
    """Figures of denoising would be those of another noise."""
    grey = np.full((200, 1, 20, 20), 0.5, dtype=np.float32)
    noisy = add_noise(grey, 0.1, np.random.default_rng(0))
    assert noisy.std() == pytest.approx(0.1, rel=0.02)
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    with pytest.raises(UsageError, match="sigma"):
        add_noise(grey, 0.0, np.random.default_rng(0))
