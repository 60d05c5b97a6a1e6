"""Memory that only the start needed goes back, and what it held still works."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.daemons import ROOT

PROGRAM = """
import re, ssl, sqlite3
from pathlib import Path
import numpy as np, onnxruntime, pydantic_core, soundfile
from monitor.process.memory import _unchanged_program_files, unmap_start_code

def file_kb():
    return int(re.search(r"RssFile:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def results():
    samples = np.sin(np.arange(4096.0))
    return (
        np.fft.rfft(samples).tobytes(),
        (samples.reshape(64, 64) @ samples.reshape(64, 64)).tobytes(),
        onnxruntime.get_available_providers(),
        sqlite3.connect(":memory:").execute("select sum(1.5), upper('a')").fetchall(),
        pydantic_core.from_json('{"a": [1, 2.5]}'),
        len(ssl.create_default_context().get_ciphers()),
        soundfile.available_formats(),
    )

before = results()
writable = [
    tuple(int(at, 16) for at in line.split()[0].split("-"))
    for line in Path("/proc/self/maps").read_text().splitlines()
    if "w" in line.split()[1]
]
for begin, end in _unchanged_program_files():
    assert not any(begin < last and first < end for first, last in writable)
mapped_kb = file_kb()
unmap_start_code()
print(mapped_kb, file_kb())
assert results() == before
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/smaps is Linux's")
def test_code_of_the_start_is_unmapped_and_what_is_needed_again_works() -> None:
    """Without it, the daemon takes 20 MB more; with a wrong page, it would crash."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    before_kb, after_kb = map(int, process.stdout.split())
    assert after_kb < before_kb / 2
