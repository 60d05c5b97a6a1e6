"""Inputs that once caused a crash, and other extreme inputs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.fuzz import messages, pcm, recordings
from benchmarks.fuzz.guard import try_one
from benchmarks.fuzzing import PARTS
from monitor.config.settings import load_config
from monitor.errors import BundleError, ConfigError
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.network import Network
from monitor.model.scorer import run_selftest
from tests.daemons import ROOT

DEEP = "[" * 100_000
LONG = "9" * 10_000


@pytest.fixture(scope="module")
def original(bundle: Bundle) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in bundle.path.iterdir()}


Rewritten = Callable[[str, bytes], Path]


@pytest.fixture
def rewritten(tmp_path: Path, original: dict[str, bytes]) -> Rewritten:
    """A bundle in which one file is replaced, with a correct hash."""

    def write(name: str, content: bytes) -> Path:
        files = original | {name: content}
        if name != "bundle.json":
            manifest = json.loads(files["bundle.json"])
            manifest["files"][name] = hashlib.sha256(content).hexdigest()
            files["bundle.json"] = json.dumps(manifest).encode()
        for file, written in files.items():
            (tmp_path / file).write_bytes(written)
        return tmp_path

    return write


def npz(**members: bytes) -> bytes:
    """An archive of ``.npy`` files with any content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(header: str, body: bytes = b"") -> bytes:
    """A ``.npy`` file with any header."""
    text = header.encode("latin1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body


@pytest.mark.parametrize("text", [f"x = {DEEP}", f"x = {LONG}", f'mqtt = {{ host = {DEEP}"a"'])
def test_endless_toml_is_refused(tmp_path: Path, text: str) -> None:
    """`auscult check` would end with a traceback of Python's parser."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(path, {})


@pytest.mark.parametrize("value", [DEEP, f"[{LONG}]", '{"a": ' * 50_000])
def test_endless_json_in_the_environment_is_refused(tmp_path: Path, value: str) -> None:
    """The daemon would not name the variable with the mistake."""
    path = tmp_path / "config.toml"
    path.write_text("")
    with pytest.raises(ConfigError, match="AUSCULT_MACHINE: not valid JSON"):
        load_config(path, {"AUSCULT_MACHINE": value})


@pytest.mark.parametrize(
    "value", [10**9, 10**400, -1, 1e300, True, "128", None, [128]], ids=lambda x: repr(x)[:12]
)
@pytest.mark.parametrize("field", ["n_mels", "n_fft", "window_frames"])
def test_a_bundle_of_a_billion_bands_is_refused_before_anything_is_allocated(
    original: dict[str, bytes], rewritten: Rewritten, field: str, value: object
) -> None:
    """A bundle of a few kilobytes could fill the memory of a node before it is refused."""
    manifest = json.loads(original["bundle.json"])
    manifest["features"][field] = value
    path = rewritten("bundle.json", json.dumps(manifest).encode())
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=field):
            load_bundle(path)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


HEADERS = {
    "brackets that never close": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (((\n"),
    "no Python at all": npy("\x7f\xff\x00|\n"),
    "a shape beyond all memory": npy(
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n"
    ),
    "a negative shape": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 8), }\n"),
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", b"cos\nsystem\n."),
    "text": npy("{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }\n", b"x" * 16),
    "nothing": b"",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("name", ["head.npz", "selftest.npz"])
def test_damaged_arrays_are_refused(rewritten: Rewritten, name: str, header: bytes) -> None:
    """A damaged array would end in one of numpy's own exceptions."""
    names = ("centres", "whitener", "windows_db", "loss", "evidence", "score")
    path = rewritten(name, npz(**dict.fromkeys(names, header)))
    with pytest.raises(BundleError, match=name) as caught:
        load_bundle(path)
    assert "\n" not in str(caught.value)


def test_arrays_that_unpack_to_more_than_a_node_has_are_refused(rewritten: Rewritten) -> None:
    """A few kilobytes of zip could fill the memory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("centres.npy", b"")
        archive.infolist()[0].file_size = 1 << 30
    path = rewritten("head.npz", buffer.getvalue())
    with pytest.raises(BundleError, match="unpacks to more than"):
        load_bundle(path)


@pytest.mark.parametrize("content", [b"", b"\x08\x07", b"\xff" * 500, b"<html>", b"\x3a\xff\xff"])
def test_a_damaged_model_is_refused_without_standard_output(
    rewritten: Rewritten, capfd: pytest.CaptureFixture[str], content: bytes
) -> None:
    """ONNX Runtime would print to standard output, where `--json` has one document."""
    bundle = load_bundle(rewritten("model.onnx", content))
    with pytest.raises(BundleError, match=r"model\.onnx"):
        Network(bundle)
    assert capfd.readouterr().out == ""


def test_a_model_that_loads_and_cannot_run_is_refused(
    original: dict[str, bytes], rewritten: Rewritten
) -> None:
    """The daemon would end with an exception of ONNX Runtime instead of naming the bundle."""
    model = onnx.load_from_string(original["model.onnx"])
    loss = next(node for node in model.graph.node if node.output[0] == "loss")
    loss.output[0] = "all losses"
    beyond = numpy_helper.from_array(np.array([10**6], np.int64), "beyond")
    model.graph.initializer.append(beyond)
    model.graph.node.append(helper.make_node("Gather", ["all losses", "beyond"], ["loss"], axis=0))
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    bundle = load_bundle(rewritten("model.onnx", model.SerializeToString()))
    with pytest.raises(BundleError, match=r"model\.onnx: cannot be run"):
        run_selftest(bundle, Network(bundle))


def test_a_burst_of_birth_messages_is_answered_once() -> None:
    """Any client of the broker could make the daemon publish without limit."""
    burst = messages._CONNACK + messages.publish(b"online") * 300
    assert try_one(messages.target, burst).found is None


@pytest.mark.parametrize(
    "packet",
    [b"\x30\xff\xff\xff\xff\xff", b"\x20\x00", b"\x30\xff\xff\xff\x7f", b"\x30\x02\xff\xff"],
)
def test_a_packet_that_is_not_mqtt_ends_the_connection_only(packet: bytes) -> None:
    """A faulty broker would end the thread that delivers alerts."""
    outcome = try_one(messages.target, messages._CONNACK + packet)
    assert outcome.found is None
    assert outcome.refused == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38])
def test_samples_that_are_not_sound_never_become_a_score(value: float) -> None:
    """One NaN would make every later score NaN."""
    sound = np.zeros(4000, "<f4")
    sound[2000] = value
    content = pcm._HEADER.pack(2, 1, 1_000, 7) + sound.tobytes()
    assert try_one(pcm.target, content).found is None


@pytest.mark.parametrize("bits", [0, 1, 8, 9, 64, 0xFFFF])
@pytest.mark.parametrize("offset", [20, 22, 24, 28, 32, 34, 40])
def test_a_header_of_extremes_is_read_or_refused(offset: int, bits: int) -> None:
    """A damaged recording would end the program that reads the folder."""
    wav = bytearray(recordings.seeds()[0])
    wav[offset : offset + 2] = bits.to_bytes(2, "little")
    folder_outcome = try_one(recordings.target, bytes(wav))
    assert folder_outcome.found is None


@pytest.mark.slow
def test_a_short_run_of_all_parts_finds_nothing(tmp_path: Path) -> None:
    """The fuzzing would not run, or a part would fail on wrong input."""
    command = [sys.executable, "-m", "benchmarks.fuzzing", "--seconds", "0.1", "--seed", "7"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(part.name in done.stdout for part in PARTS)
