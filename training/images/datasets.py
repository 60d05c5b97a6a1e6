"""MNIST and Fashion-MNIST: read from a folder of IDX files, or downloaded once and verified."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import logging
import os
import urllib.request
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from monitor.errors import BadInputError, MissingInputError, ServiceUnavailableError, UsageError
from training.images.idx import read_idx_images
from training.images.image_set import ImageSet
from training.progress import download_bar

logger = logging.getLogger(__name__)

DatasetName = Literal["mnist", "fashion-mnist"]
_MAX_BYTES = 64 * 2**20
_CHUNK_BYTES = 2**18
_TIMEOUT_S = 30.0
_FILES = (
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


@dataclass(frozen=True, slots=True)
class ImageData:
    """A data set with its official split."""

    name: str
    train: ImageSet
    test: ImageSet


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a data set is published, and the SHA-256 of each IDX file, uncompressed.

    The checksums are those of the content, because mirrors have different gzip files.
    """

    urls: tuple[str, ...]
    sha256: Mapping[str, str]
    class_names: tuple[str, ...]


ORIGINS: dict[DatasetName, Origin] = {
    "mnist": Origin(
        urls=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        sha256={
            "t10k-labels-idx1-ubyte": (
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
            ),
            "train-labels-idx1-ubyte": (
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
            ),
            "t10k-images-idx3-ubyte": (
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
            ),
            "train-images-idx3-ubyte": (
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
            ),
        },
        class_names=tuple("0123456789"),
    ),
    "fashion-mnist": Origin(
        urls=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        sha256={
            "t10k-labels-idx1-ubyte": (
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
            ),
            "train-labels-idx1-ubyte": (
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
            ),
            "t10k-images-idx3-ubyte": (
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
            ),
            "train-images-idx3-ubyte": (
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
            ),
        },
        class_names=(
            "T-shirt", "trouser", "pullover", "dress", "coat",
            "sandal", "shirt", "sneaker", "bag", "boot",
        ),
    ),
}  # fmt: skip


def default_cache() -> Path:
    """Return the folder for downloads, below ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "auscult"


def load_dataset(
    name: DatasetName,
    folder: Path | None = None,
    *,
    cache: Path | None = None,
    urls: Sequence[str] | None = None,
) -> ImageData:
    """Read data set ``name`` from ``folder``, or download it to ``cache`` and read it from there.

    The IDX files in ``folder`` can be gzipped (``.gz``) or not. They need not be the published
    ones, but those of the other data set are refused (UsageError). ``urls`` are tried in order
    instead of the published addresses. Also raises MissingInputError, BadInputError and
    ServiceUnavailableError.
    """
    origin = ORIGINS[name]
    if folder is None:
        folder = (cache or default_cache()) / name
        for file_name in (file_name for pair in _FILES for file_name in pair):
            _fetch(file_name, folder, origin, urls or origin.urls)
    train, test = (
        read_idx_images(_find(folder, images), _find(folder, labels), origin.class_names)
        for images, labels in _FILES
    )
    if train.shape != test.shape:
        raise BadInputError(f"{folder}: training images {train.shape}, test images {test.shape}")
    _refuse_another_set(name, folder)
    return ImageData(name, train, test)


def has_idx_files(folder: Path) -> bool:
    """Return whether ``folder`` contains any IDX file of a data set."""
    return any(any(folder.glob(f"{name}*")) for pair in _FILES for name in pair)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise MissingInputError(f"{folder}: {name} or {name}.gz is missing")


def _refuse_another_set(name: DatasetName, folder: Path) -> None:
    """Raise UsageError if ``folder`` contains another known data set than ``name``."""
    labels = "t10k-labels-idx1-ubyte"
    content = _find(folder, labels).read_bytes()
    found = {_content_sha256(content), hashlib.sha256(content).hexdigest()}
    for other, origin in ORIGINS.items():
        if other != name and origin.sha256[labels] in found:
            raise UsageError(f"{folder} contains {other}, not {name}; use --dataset {other}")


def _fetch(name: str, folder: Path, origin: Origin, urls: Sequence[str]) -> None:
    """Download ``folder/name.gz`` unless it is there, and verify it."""
    target = folder / f"{name}.gz"
    if target.is_file() and _content_sha256(target.read_bytes()) == origin.sha256[name]:
        return
    reasons: list[str] = []
    for base in urls:
        url = f"{base.rstrip('/')}/{name}.gz"
        logger.info("downloading %s", url)
        try:
            content = _download(url)
        except (http.client.HTTPException, OSError) as error:
            reasons.append(f"{url}: {error}")
            continue
        found = _content_sha256(content)
        if found != origin.sha256[name]:
            reasons.append(f"{url}: SHA-256 {found[:12]}..., not {origin.sha256[name][:12]}...")
            continue
        _keep(content, target)
        return
    raise ServiceUnavailableError(
        f"{name}.gz could not be downloaded ({'; '.join(reasons)}); "
        "if you have the IDX files, use --data DIR"
    )


def _download(url: str) -> bytes:
    """Download ``url`` with a progress bar; at most one byte more than ``_MAX_BYTES`` is read."""
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 - addresses are constants or the caller's
        size = int(response.headers.get("Content-Length") or 0)
        with download_bar(url.rsplit("/", 1)[-1], size or None) as advance:
            content = bytearray()
            while part := response.read(min(_CHUNK_BYTES, _MAX_BYTES + 1 - len(content))):
                content += part
                advance(len(part))
    return bytes(content)


def _keep(content: bytes, target: Path) -> None:
    """Write ``target`` atomically."""
    unfinished = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        unfinished.replace(target)
    except OSError as error:
        raise MissingInputError(
            f"{target}: cannot be written ({error.strerror}); set XDG_CACHE_HOME to another folder "
            "for downloads"
        ) from error


def _content_sha256(packed: bytes) -> str:
    try:
        return hashlib.sha256(gzip.decompress(packed)).hexdigest()
    except (OSError, EOFError, zlib.error):
        return "not a gzip file"
