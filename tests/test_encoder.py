"""``--encoder``: an ONNX model from outside is evidence, and one that cannot be used is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from onnx import TensorProto, helper

from monitor.cli import run_command
from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock
from monitor.errors import BadInputError, BundleError, SourceFault, UsageError
from monitor.features.log_mel_spec import LogMelSpec
from monitor.model.bundle import Bundle, load_bundle
from monitor.model.encoder_spec import layout_for
from monitor.model.hash_check import sha256_of
from monitor.model.network import Network
from monitor.model.scorer import run_selftest
from monitor.offline.healthy_set import score_healthy
from monitor.pipeline import Pipeline
from tests import encoders
from tests.bundles import machine_sound
from tests.daemons import daemon, documents
from tests.mosquitto import Mosquitto, Subscriber
from tests.tiny_sound import SETTINGS, SPEC
from tests.waiting import wait_for
from training.sound.bundle import network_of
from training.sound.encoder_file import begin_encoding, read_encoder
from training.sound.report import write_report
from training.sound.settings import AudioSettings
from training.sound.train import AudioRequest, AudioResult, train_audio

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_bootstraps")]

EXAMPLES = Path(__file__).parent.parent / "examples" / "networks"
TINY = "dcase_dense:tiny"
N_MELS, N_FRAMES = SPEC.n_mels, SPEC.window_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoder")


@pytest.fixture(scope="module")
def recordings(folder: Path) -> Path:
    own = folder / "own"
    own.mkdir()
    for seed in range(8):
        sf.write(own / f"{seed}.wav", machine_sound(6.0, seed=seed), SPEC.sample_rate_hz)
    return own


def settings(**training: Any) -> AudioSettings:
    return SETTINGS.model_copy(
        update={"training": SETTINGS.training.model_copy(update={"epochs": 1, **training})}
    )


def trained(recordings: Path, out: Path, **training: Any) -> AudioResult:
    request = AudioRequest(
        (recordings,), out, settings=settings(**training), device="cpu", keep_outliers=True
    )
    return train_audio(request)


@pytest.fixture(scope="module")
def both(recordings: Path, folder: Path) -> Iterator[AudioResult]:
    """The network of the example and an encoder of log-mel, both as evidence."""
    model = encoders.of_log_mel(folder / "log-mel.onnx", N_MELS, N_FRAMES)
    before = list(sys.path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(EXAMPLES)
        yield trained(recordings, folder / "both", network=TINY, encoder=model, day_variation=False)
    sys.path[:] = before


@pytest.fixture(scope="module")
def alone(recordings: Path, folder: Path) -> AudioResult:
    """An encoder of samples as the only evidence."""
    model = encoders.of_samples(folder / "samples.onnx")
    return trained(recordings, folder / "alone", encoder=model, evidence="encoder")


def of_kind(kind: str, request: pytest.FixtureRequest) -> AudioResult:
    result: AudioResult = request.getfixturevalue(kind)
    return result


def scores_of(bundle: Bundle, sound: Any, size: int) -> list[float]:
    """The scores of a stream that is cut into blocks of a size."""
    pipeline = Pipeline(bundle, DetectorSettings())
    scores: list[float] = []
    for first in range(0, len(sound), size):
        block = AudioBlock(sound[first : first + size], SPEC.sample_rate_hz, first)
        scores += [score.value for score in pipeline.push(block).scores]
    return scores


def test_the_manifest_and_the_report_name_the_encoder(
    both: AudioResult, alone: AudioResult, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody would know what the evidence of a bundle is."""
    encoder = both.bundle.manifest.encoder
    assert encoder is not None
    assert (encoder.input, encoder.shape, encoder.evidence) == ("log-mel", (1, 1, 24, 16), "both")
    assert (encoder.n_numbers, encoder.source) == (encoders.N_NUMBERS, "log-mel.onnx")
    own = 2 * both.bundle.manifest.network.get("scored_bands", N_MELS)
    assert both.bundle.head.centres.shape[1] > own + encoders.N_NUMBERS
    assert alone.bundle.head.centres.shape[1] == encoders.N_NUMBERS
    names = {control.name.partition(",")[0] for control in both.controls}
    assert names == {
        *("network and encoder", "network alone", "encoder alone", "plain error", "no network")
    }
    assert "The encoder" in both.network_benefit
    page = write_report(both).read_text()
    assert "Network: dcase_dense:tiny in dcase_dense.py." in page
    assert "Encoder: log-mel.onnx, from log-mel to 6 numbers" in page
    assert run_command(["inspect", str(alone.bundle.path)]) == 0
    assert "samples.onnx: samples to 6 numbers, alone" in capsys.readouterr().out


def test_a_bundle_names_the_code_of_its_network(both: AudioResult) -> None:
    """Nobody would know which code made a bundle."""
    described = both.bundle.manifest.network
    assert (described["kind"], described["source"]) == ("module", TINY)
    code = (EXAMPLES / "dcase_dense.py").read_bytes()
    assert (described["file"], described["file_sha256"]) == ("dcase_dense.py", sha256_of(code))
    assert 1 <= described["bottleneck"] <= 4 * (N_FRAMES - 4)


def test_a_bundle_does_not_decide_which_code_is_run(both: AudioResult) -> None:
    """A bundle from elsewhere would run any code of this computer."""
    with pytest.raises(BundleError, match="name it with --network module:function"):
        network_of(both.bundle)
    assert sum(one.numel() for one in network_of(both.bundle, TINY).parameters())


@pytest.mark.parametrize("kind", ["both", "alone"])
def test_training_and_run_time_give_the_same_scores(
    kind: str, recordings: Path, request: pytest.FixtureRequest
) -> None:
    """The threshold would be that of other scores."""
    bundle = load_bundle(of_kind(kind, request).bundle.path)
    network = Network(bundle)
    run_selftest(bundle, network)
    path = recordings / "3.wav"
    sound, _ = sf.read(path, dtype="float32")
    whole, pieces = scores_of(bundle, sound, len(sound)), scores_of(bundle, sound, 777)
    assert pieces == whole
    healthy = score_healthy(path, bundle, network)
    np.testing.assert_allclose(healthy.scores, whole[: len(healthy.scores)], rtol=1e-6)


@pytest.mark.parametrize("kind", ["both", "alone"])
def test_a_gain_does_not_change_the_score(kind: str, request: pytest.FixtureRequest) -> None:
    """A change of gain would be reported as a fault, because an encoder receives the level."""
    bundle = of_kind(kind, request).bundle
    sound = machine_sound(6.0, seed=50)
    loud, quiet = (scores_of(bundle, sound * np.float32(gain), 4096) for gain in (1.0, 0.5))
    np.testing.assert_allclose(loud, quiet, rtol=0.02)


def test_the_daemon_raises_alerts_with_both(
    both: AudioResult, alone: AudioResult, tmp_path: Path
) -> None:
    """A network and an encoder from outside would work in the training only."""
    healthy = machine_sound(12.0, seed=60)
    faulty = machine_sound(20.0, seed=61, fault=0.2)
    with (
        Mosquitto(tmp_path / "broker") as broker,
        Subscriber(broker) as subscriber,
        daemon(tmp_path, broker) as watched,
    ):
        for name, result in (("both", both), ("alone", alone)):
            watched.feed(name, result.bundle.path, np.concatenate((healthy, faulty)))
        watched.write()
        watched.start()
        for name in ("both", "alone"):
            wait_for(lambda name=name: subscriber.payloads(f"/{name}/alert"), 30)  # type: ignore[misc]  # of a loop
            (raised, *_) = documents(subscriber, f"/{name}/alert")
            assert raised["kind"] == "raised"
            assert raised["ratio"] > 1.0


def test_log_mel_is_no_sound(alone: AudioResult) -> None:
    """An encoder of samples would receive something else."""
    bundle = alone.bundle
    with pytest.raises(SourceFault, match="needs sound"):
        Network(bundle).run(bundle.selftest.windows_db)


def test_nan_in_live_sound_is_a_fault_of_the_source_and_never_a_score(
    both: AudioResult, tmp_path: Path
) -> None:
    """A machine would be scored NaN, which is above no threshold."""
    weights = np.eye(N_MELS, encoders.N_NUMBERS, dtype=np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["bands"]),
        helper.make_node("Add", ["bands", "much"], ["more"]),
        helper.make_node("Sqrt", ["more"], ["y"]),
    ]
    constants = {
        "axes": np.array([1, 3], np.int64),
        "weights": weights,
        "much": np.array(200.0, np.float32),
    }
    path = tmp_path / "roots.onnx"
    encoders.write_model(path, nodes, [1, 1, N_MELS, N_FRAMES], constants)
    bundle = with_encoder(both.bundle, path)
    network = Network(bundle)
    windows_db = bundle.selftest.windows_db.copy()
    assert np.isfinite(network.run(windows_db).rows).all()
    windows_db[-1, 0] -= 1000.0
    with pytest.raises(SourceFault, match=r"encoder\.onnx: the encoder gives NaN"):
        network.run(windows_db)


def nan_at_run_time(path: Path) -> Path:
    """Square roots of the level: NaN for all usual windows."""
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("Sqrt", ["mean"], ["y"]),
    ]
    constants = {"axes": np.array([1, 3], np.int64)}
    return encoders.write_model(path, nodes, [1, 1, N_MELS, N_FRAMES], constants)


def identity(path: Path, shape: list[int | str], kind: int = TensorProto.FLOAT) -> Path:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    return encoders.write_model(path, nodes, shape, {}, kind=kind)


def random_numbers(path: Path) -> Path:
    nodes = [helper.make_node("RandomNormal", [], ["y"], shape=[1, 4])]
    unused = [helper.make_node("Identity", ["x"], ["same"])]
    return encoders.write_model(path, [*nodes, *unused], [1, 1, N_MELS, N_FRAMES], {})


def constant(path: Path) -> Path:
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["y"]),
    ]
    constants = {"axes": np.array([1, 3], np.int64), "nothing": np.array(0, np.float32)}
    return encoders.write_model(path, nodes, [1, 1, N_MELS, N_FRAMES], constants)


UNUSABLE = {
    "NaN": (nan_at_run_time, "gives NaN or infinite numbers"),
    "a grid": (
        lambda path: identity(path, [1, 1, N_MELS, N_FRAMES]),
        r"gives the shape \(1, 1, 24, 16\) for a window; an encoder must give one vector",
    ),
    "other features": (
        lambda path: identity(path, ["batch", 1, 64, 96]),
        r"its input has the shape \(any, 1, 64, 96\), but a window has 24 mel bands, 16 frames",
    ),
    "too many samples": (
        lambda path: identity(path, [1, 16_000]),
        r"has the shape \(1, 16000\), but a window has .* 8704 samples",
    ),
    "float64": (
        lambda path: identity(path, [1, 1, N_MELS, N_FRAMES], TensorProto.DOUBLE),
        "takes x: tensor.double.; an encoder must take one input of float32 numbers",
    ),
    "random": (random_numbers, "gives another vector when it is called again"),
    "constant": (constant, "gives almost the same vector for all healthy sound"),
    "endless": (
        lambda path: encoders.endless(path, N_MELS, N_FRAMES),
        "the encoder has no result for a window after 0.5 s: use a faster encoder",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_encoder_that_cannot_be_used_is_refused_in_the_training(
    name: str, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle would have scores that mean nothing, or the training would never end."""
    monkeypatch.setattr("monitor.model.encoder.LIMIT_S", 0.5)
    make, reason = UNUSABLE[name]
    path = make(tmp_path / "encoder.onnx")
    with pytest.raises(BadInputError, match=f"^--encoder {path}: .*{reason}") as refused:
        trained(recordings, tmp_path / "out", encoder=path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("scale", "middle", "reason"),
    [
        (1.0, 0.0, ""),
        (1e-4, 0.0, "vary by only 0.0001 in healthy sound, at least 0.001 is needed: multiply"),
        (1e-4, 1.0, "almost the same vector"),
        (0.0, 0.0, "almost the same vector"),
    ],
)
def test_small_numbers_are_not_the_same_numbers(
    scale: float, middle: float, reason: str, tmp_path: Path
) -> None:
    """Vectors of length 1 with many numbers would be taken for a wrong input."""
    path = encoders.of_log_mel(tmp_path / "encoder.onnx", N_MELS, N_FRAMES)
    file = read_encoder(path, SPEC, None, "both")
    encoding = begin_encoding(file, SPEC, encoders.N_NUMBERS, np.zeros(1, np.float32))
    rows = middle + scale * np.random.default_rng(0).normal(size=(1000, encoders.N_NUMBERS))
    if not reason:
        assert encoding.least_variance(rows) == pytest.approx(0.01, rel=0.1)
        return
    with pytest.raises(BadInputError, match=reason):
        encoding.least_variance(rows)


def test_what_is_not_a_model_is_refused(recordings: Path, tmp_path: Path) -> None:
    """A user who gave another file would get a traceback of ONNX Runtime."""
    path = tmp_path / "encoder.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(BadInputError, match=f"^--encoder {path}: cannot be loaded"):
        trained(recordings, tmp_path / "out", encoder=path)
    with pytest.raises(UsageError, match="--encoder-input and --evidence need --encoder"):
        trained(recordings, tmp_path / "out", evidence="both")


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        (["--network", "no_such_module:dense"], 64, "--network no_such_module:dense: there is no"),
        (["--network", "json"], 64, "--network json: write it as module:function"),
        (["--encoder", "missing.onnx"], 66, "--encoder missing.onnx: No such file"),
        (["--evidence", "encoder"], 64, "--encoder-input and --evidence need --encoder"),
    ],
)
def test_a_wrong_option_is_one_line(
    options: list[str],
    status: int,
    reason: str,
    *,
    recordings: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A mistake would be a traceback, or would be found after the recordings were read."""
    out = tmp_path / "out"
    assert run_command(["train", "audio", str(recordings), "--out", str(out), *options]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"auscult: {reason}")
    assert not out.exists()


def with_encoder(bundle: Bundle, model: Path) -> Bundle:
    """The bundle with another encoder, as somebody made it with other tools."""
    content = model.read_bytes()
    files = {**bundle.manifest.files, "encoder.onnx": sha256_of(content)}
    manifest = bundle.manifest.model_copy(update={"files": files})
    return replace(bundle, encoder=content, manifest=manifest)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (UNUSABLE["NaN"][0], "gives NaN"),
        (UNUSABLE["a grid"][0], "gives the shape"),
        (UNUSABLE["endless"][0], "no result for a window after 0.5 s"),
        (
            lambda path: encoders.of_log_mel(path, N_MELS, N_FRAMES, n_numbers=5),
            "gives 5 numbers for a window, the bundle has statistics of 6",
        ),
    ],
)
def test_a_bundle_with_an_encoder_that_cannot_be_used_is_refused(
    make: Any, reason: str, both: AudioResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon would hang when it loads the bundle, or score NaN."""
    monkeypatch.setattr("monitor.model.encoder.LIMIT_S", 0.5)
    broken = with_encoder(both.bundle, make(tmp_path / "encoder.onnx"))
    with pytest.raises(BundleError, match=reason) as refused:
        Network(broken)
    assert str(refused.value).startswith(f"{both.bundle.path}/encoder.onnx: ")


@pytest.mark.parametrize(
    ("axes", "wanted", "shape", "transposed"),
    [
        ([None, 1, 128, 32], None, (1, 1, 128, 32), False),
        ([None, None, None, None], None, (1, 1, 128, 32), False),
        ([1, 32, 128], None, (1, 32, 128), True),
        ([None, 32, 128, 1], None, (1, 32, 128, 1), True),
        ([128, 32], "log-mel", (128, 32), False),
        ([None, 15_600], None, (1, 15_600), False),
        ([None], None, (16_896,), False),
        ([None, 1, None], None, (1, 1, 16_896), False),
        ([None, 64, 96], None, None, False),
        ([None, 20_000], None, None, False),
        ([], None, None, False),
        ([None] * 6, None, None, False),
    ],
)
def test_the_input_is_found_from_its_shape(
    axes: list[int | None], wanted: Any, shape: tuple[int, ...] | None, transposed: bool
) -> None:
    """A user would have to describe the input of every usual encoder."""
    layout = layout_for(axes, LogMelSpec(), wanted)
    assert (layout.shape if layout else None) == shape
    if layout is not None:
        assert layout.transposed == transposed
        assert (layout.input == "samples") == (max(shape or ()) > 1000)
