"""``--network``: a torch module from outside is checked and exported.

``test_encoder.py`` trains one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from monitor.errors import UsageError
from training.sound.evidence_graph import EvidenceGraph
from training.sound.module_network import ModuleAutoencoder
from training.sound.network import SoundNetworkSpec
from training.sound.network_import import import_network
from training.sound.network_kinds import new_network
from training.sound.onnx_export import export_onnx, outputs_of

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent.parent / "examples" / "networks"
N_BANDS, N_FRAMES = 24, 16
SIZE = N_BANDS * N_FRAMES


@pytest.fixture(scope="module", autouse=True)
def in_the_folder_of_the_example() -> Iterator[None]:
    """The current directory is the one with the network, as a user has it."""
    before = list(sys.path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(EXAMPLES)
        yield
    sys.path[:] = before


def made_by(module: nn.Module, monkeypatch: pytest.MonkeyPatch) -> ModuleAutoencoder:
    """The network of a function that returns ``module``."""
    monkeypatch.setattr(sys.modules[__name__], "function", lambda *_: module, raising=False)
    network = new_network(SoundNetworkSpec(N_BANDS, N_FRAMES), f"{__name__}:function")
    assert isinstance(network, ModuleAutoencoder)
    return network


def autoencoder(width: int) -> nn.Module:
    """Dense layers through ``width`` numbers."""
    layers = [nn.Flatten(), nn.Linear(SIZE, width), nn.Tanh(), nn.Linear(width, SIZE)]
    return nn.Sequential(*layers, nn.Unflatten(1, (1, N_BANDS, N_FRAMES)))


@pytest.mark.parametrize("width", [3, 90])
def test_a_bottleneck_is_measured(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network with a bottleneck would be refused, or its size would be wrong."""
    torch.manual_seed(0)
    assert made_by(autoencoder(width), monkeypatch).spec.bottleneck == width


class Skipping(nn.Module):
    """A bottleneck with a connection around it, which has no effect before the training."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.through = autoencoder(3)
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, windows: Tensor) -> Tensor:
        reconstructed: Tensor = self.through(windows)
        return reconstructed + self.gain * windows


class Hiding(nn.Module):
    """Copies its input without a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, windows: Tensor) -> Tensor:
        return self.scale * windows.detach()


@pytest.mark.parametrize("module", [autoencoder(SIZE // 2), Skipping(0.1), nn.Conv2d(1, 1, 1)])
def test_a_network_that_can_copy_is_refused(
    module: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network without a bottleneck would reconstruct every fault."""
    with pytest.raises(UsageError, match=r"--network tests.*: has no bottleneck: more than 96 "):
        made_by(module, monkeypatch)


@pytest.mark.parametrize(("module", "reason"), [(Skipping(0.0), "more than 96"), (Hiding(), "err")])
def test_a_network_that_learned_to_copy_is_refused(
    module: nn.Module, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection around the bottleneck that begins at 0 would not be found."""
    network = made_by(module, monkeypatch)
    if isinstance(module, Skipping):
        module.gain.data.fill_(0.9)
    with pytest.raises(UsageError, match=f"has no bottleneck: .*{reason}"):
        network.measure(torch.randn(1, 1, N_BANDS, N_FRAMES), is_trained=True)


class Across(nn.Module):
    """Uses the other windows of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.through = autoencoder(3)

    def forward(self, windows: Tensor) -> Tensor:
        reconstructed: Tensor = self.through(windows)
        return reconstructed + windows.mean(dim=0)


class Random(Across):
    """Uses random numbers."""

    def forward(self, windows: Tensor) -> Tensor:
        return windows + torch.randn_like(windows)


class Kinked(Across):
    """Has no gradient, because it takes the root of 0."""

    def forward(self, windows: Tensor) -> Tensor:
        reconstructed: Tensor = self.through(windows)
        return reconstructed + (windows * 0.0).sqrt()


class Written(Across):
    """Has no gradient, because it writes into what the gradient needs."""

    def forward(self, windows: Tensor) -> Tensor:
        root = self.through(windows).exp()
        result: Tensor = root * 1.0
        root += 1.0
        return result


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Kinked(), "its gradient has NaN or infinite numbers"),
        (Written(), "its gradient cannot be computed: RuntimeError: "),
        (nn.Identity(), "has no parameters"),
        (nn.Conv2d(1, 2, 1), r"returns the shape \(3, 2, 24, 16\) for windows of \(3, 1, 24, 16\)"),
        (nn.Linear(15, 16), r"raised RuntimeError: .* line \d+"),
        (nn.GRU(16, 16), "returns tuple|raised"),
        (Across(), "depends on the other windows"),
        (Random(), "gives other values when it is called again"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused(
    module: nn.Module, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training would fail later, or the scores would be meaningless."""
    with pytest.raises(UsageError, match=f"--network tests.*{reason}") as refused:
        made_by(module, monkeypatch)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dcase_dense", "write it as module:function"),
        ("no_such_module:dense", "there is no module no_such_module"),
        ("json.no_such_module:dense", "there is no module json.no_such_module"),
        ("dcase_dense:missing", "dcase_dense has no function missing"),
        ("dcase_dense:HIDDEN", "dcase_dense has no function HIDDEN"),
    ],
)
def test_a_wrong_name_is_refused(name: str, reason: str) -> None:
    """A mistake in the option would be a traceback, after the recordings were read."""
    with pytest.raises(UsageError, match=f"--network {name}: {reason}"):
        import_network(name)


@pytest.mark.parametrize("name", ["math:sqrt", "string:capwords"])
def test_a_function_in_c_is_a_network_too(name: str) -> None:
    """Its origin has no source file; looking for one would end the training with a traceback."""
    origin = import_network(name).origin
    assert origin.name == name
    assert bool(origin.sha256) is bool(origin.file) is (name == "string:capwords")


def test_the_example_has_the_layers_of_the_baseline() -> None:
    """The example would be another network than the one it names."""
    network = import_network("dcase_dense:dense").make(128, 32)
    widths = [layer.out_channels for layer in network.modules() if isinstance(layer, nn.Conv1d)]
    assert widths == [128, 128, 128, 128, 8, 128, 128, 128, 128]
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv1d))
    assert first.in_channels * first.kernel_size[0] == 640


def test_onnx_agrees_with_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run time would compute other scores than the training."""
    torch.manual_seed(0)
    network = made_by(autoencoder(5), monkeypatch)
    network.deviation_db.fill_(4.0)
    graph = EvidenceGraph(network).eval()
    windows_db = np.random.default_rng(1).normal(-40, 5, (6, N_BANDS, N_FRAMES)).astype(np.float32)
    session = onnxruntime.InferenceSession(export_onnx(graph, windows_db))
    actual = outputs_of(session, windows_db[:, None], graph.layout.length)
    with torch.no_grad():
        expected = graph(torch.from_numpy(windows_db[:, None]))
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-3)
