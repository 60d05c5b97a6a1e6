"""Recordings with damaged headers and bodies, read as every command reads them."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import soundfile
from hypothesis import strategies as st

from benchmarks.fuzz.edits import edited
from monitor.audio.channels import HIGHEST_SAMPLE
from monitor.audio.files import read_blocks
from monitor.domain import AudioBlock
from monitor.sources.registry import open_source
from monitor.sources.settings import FileSettings

_RATE_HZ = 8_000
_MADE = {
    ("WAV", "PCM_16"): ".wav",
    ("WAV", "PCM_24"): ".wav",
    ("WAV", "FLOAT"): ".wav",
    ("WAV", "ULAW"): ".wav",
    ("WAV", "IMA_ADPCM"): ".wav",
    ("WAVEX", "PCM_32"): ".wav",
    ("RF64", "PCM_16"): ".wav",
    ("FLAC", "PCM_16"): ".flac",
    ("FLAC", "PCM_24"): ".flac",
    ("OGG", "VORBIS"): ".ogg",
    ("MP3", "MPEG_LAYER_III"): ".mp3",
}


def seeds() -> list[bytes]:
    """A short stereo recording in every format that is read."""
    rng = np.random.default_rng(0)
    samples = rng.uniform(-0.5, 0.5, (1600, 2)).astype(np.float32)
    made = []
    for format_name, subtype in _MADE:
        if subtype in soundfile.available_subtypes(format_name):
            buffer = io.BytesIO()
            soundfile.write(buffer, samples, _RATE_HZ, subtype=subtype, format=format_name)
            made.append(buffer.getvalue())
    return made


def inputs() -> st.SearchStrategy[bytes]:
    """Edited recordings, and what never was one."""
    made = seeds()
    return st.one_of(edited(made), edited(made, most=1), st.binary(max_size=200))


def target(content: bytes, folder: Path) -> None:
    """Everything that is read is sound, and source and reader give the same length."""
    path = folder / "recording.mp3"  # the one name under which any content is tried
    path.write_bytes(content)
    blocks = open_source(FileSettings(path=path)).blocks(threading.Event())
    sound = [block for block in blocks if isinstance(block, AudioBlock)]
    n_samples = sum(len(block.samples) for block in sound)
    for block in sound:
        if not np.abs(block.samples).max() <= HIGHEST_SAMPLE:
            raise ValueError("samples that are no sound")
    if n_samples != sum(len(block.samples) for block in read_blocks(path)):
        raise ValueError("read twice, and another length each time")
