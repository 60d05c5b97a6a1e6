"""Output of a command source: any bytes in any pieces, also NaN and infinity."""

from __future__ import annotations

import random
import struct
import tempfile
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
from hypothesis import strategies as st

from benchmarks.fuzz.bundles import original
from monitor.audio.channels import HIGHEST_SAMPLE
from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.network import Network
from monitor.pipeline import Pipeline
from monitor.sources.pcm import PcmStream
from monitor.sources.settings import SampleFormat

_HEADER = struct.Struct("<BBIB")
_FORMATS: tuple[SampleFormat, ...] = get_args(SampleFormat)
_RATES_HZ = (1_000, 8_000, 11_025, 16_000, 44_100, 192_000, 768_000)


def streams() -> st.SearchStrategy[bytes]:
    """The format of the samples, and the bytes."""
    header = st.builds(
        _HEADER.pack,
        st.sampled_from(range(len(_FORMATS))),
        st.sampled_from([1, 1, 2, 3, 64]),
        st.sampled_from(_RATES_HZ),
        st.integers(0, 255),
    )
    odd = [float("nan"), float("inf"), -float("inf"), 1e38, 1e-45, -0.0, 65.0, 0.0, 1.0, -1.0]
    floats = st.lists(st.sampled_from(odd) | st.floats(width=32), max_size=40)
    part = st.one_of(
        st.binary(max_size=100),
        floats.map(lambda some: struct.pack(f"<{len(some)}f", *some)),
        st.builds(_noise, st.integers(0, 1 << 30), st.integers(1, 20_000), st.floats(0, 2)),
        st.builds(
            lambda byte, length: bytes([byte]) * length, st.integers(0, 255), st.integers(1, 9999)
        ),
    )
    body = st.lists(part, max_size=6).map(b"".join)
    return st.builds(lambda head, rest: head + rest, header, body)


def target(content: bytes, _folder: Path) -> None:
    """All blocks and scores are finite and in order."""
    if len(content) < _HEADER.size:
        return
    which, channels, rate_hz, seed = _HEADER.unpack_from(content)
    channels, rate_hz = 1 + (channels - 1) % 64, min(max(rate_hz, 1_000), 768_000)
    stream = PcmStream(rate_hz, channels, _FORMATS[which % len(_FORMATS)], "mix")
    bundle, network = _bundle()
    pipeline = Pipeline(bundle, DetectorSettings(), network)
    position = 0
    for piece in _pieces(content[_HEADER.size :], seed):
        for block in stream.push(piece):
            if not isinstance(block, AudioBlock):
                continue
            in_order = block.first_sample == position or (
                block.discontinuous and block.first_sample > position
            )
            if not in_order or not np.abs(block.samples).max(initial=0.0) <= HIGHEST_SAMPLE:
                raise ValueError(f"not sound in order: {block}")
            position = block.first_sample + len(block.samples)
            for score in pipeline.push(block).scores:
                if not (np.isfinite(score.value) and np.isfinite(score.loss) and score.value >= 0):
                    raise ValueError(f"not a score: {score}")
    if position > (len(content) - _HEADER.size) // stream.frame_bytes:
        raise ValueError("more samples than were written")


@cache
def _bundle() -> tuple[Bundle, Network]:
    with tempfile.TemporaryDirectory() as folder:
        for name, file in original().items():
            (Path(folder) / name).write_bytes(file)
        bundle = load_bundle(Path(folder))
    return bundle, Network(bundle)


def _noise(seed: int, length: int, level: float) -> bytes:
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(length)).astype("<f4").tobytes()


def _pieces(data: bytes, seed: int) -> list[bytes]:
    rng = random.Random(seed)  # noqa: S311  # repeatable, not a secret
    pieces = []
    while data:
        size = rng.choice([1, 3, 7, 100, 4096, 65_536])
        pieces.append(data[:size])
        data = data[size:]
        if len(pieces) > 200:
            return [*pieces, data]
    return pieces
