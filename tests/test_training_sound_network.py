"""The sound network and its graph: level, loss, evidence, and equal results in ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from monitor.domain import FloatArray
from monitor.errors import BundleError, UsageError
from tests.tiny_sound import SPEC, simulated_frames
from training.sound.band_network import BandAutoencoder, steps_of
from training.sound.evidence_graph import EvidenceGraph, WindowEvidence
from training.sound.grid_network import GridAutoencoder
from training.sound.network import SoundAutoencoder, SoundNetworkSpec
from training.sound.network_kinds import described_network, description_of
from training.sound.onnx_export import export_onnx, outputs_of
from training.sound.recordings import Recording

pytestmark = pytest.mark.slow


def make_graph(n_mels: int = 24, n_frames: int = 16) -> EvidenceGraph:
    torch.manual_seed(3)
    spec = SoundNetworkSpec(n_mels, n_frames, channels=(4, 8), bottleneck=4)
    network = BandAutoencoder(spec)
    network.band_mean_db.copy_(torch.linspace(5.0, -5.0, n_mels))
    network.deviation_db.fill_(3.0)
    network.train()
    network(torch.randn(8, 1, n_mels, n_frames) * 3.0)
    return EvidenceGraph(network).eval()


def some_windows() -> FloatArray:
    return Recording("healthy", simulated_frames(0)).windows(SPEC)[:5]


@pytest.mark.parametrize("gain_db", [-6.0, 6.0])
def test_a_gain_changes_only_the_level(gain_db: float) -> None:
    """A change of gain is reported as a fault."""
    graph = make_graph()
    windows = torch.from_numpy(some_windows()[:, None])
    with torch.no_grad():
        before, after = graph(windows), graph(windows + gain_db)
    assert torch.allclose(after.evidence, before.evidence, atol=1e-4)
    assert torch.allclose(after.loss, before.loss, atol=1e-4)
    assert torch.allclose(after.band_residual, before.band_residual, atol=1e-4)
    assert torch.allclose(after.level_db, before.level_db + gain_db, atol=1e-4)
    assert torch.allclose(after.reconstruction, before.reconstruction + gain_db, atol=1e-3)


def test_loss_is_the_mean_squared_error_of_the_reconstruction() -> None:
    """The loss of every score is not the mean squared error."""
    graph = make_graph()
    windows_db = torch.from_numpy(some_windows()[:, None])
    with torch.no_grad():
        output = graph(windows_db)
    error_db = output.reconstruction - windows_db.squeeze(1)
    expected = (error_db / graph.network.deviation_db).square().mean(dim=(1, 2))
    assert torch.allclose(output.loss, expected, rtol=1e-3)


def test_evidence_is_the_mean_residual_the_spectrum_and_the_flutter() -> None:
    """An alert names the wrong bands."""
    graph = make_graph()
    windows_db = torch.from_numpy(some_windows()[:, None])
    with torch.no_grad():
        output = graph(windows_db)
    residual_db = windows_db.squeeze(1) - output.reconstruction
    expected = residual_db.mean(dim=2) / graph.network.deviation_db
    assert output.evidence.shape == (5, graph.layout.length)
    assert torch.allclose(output.evidence[:, graph.layout.residual], expected, atol=1e-4)
    spectrum = output.evidence[:, graph.layout.spectrum]
    assert torch.allclose(spectrum.std(dim=0), spectrum.std(dim=0).clamp(max=1.0), atol=1.0)


def require_parity(graph: EvidenceGraph, windows_db: FloatArray) -> None:
    session = onnxruntime.InferenceSession(export_onnx(graph, windows_db))
    for count in (1, len(windows_db)):
        actual = outputs_of(session, windows_db[:count, None], graph.layout.length)
        with torch.no_grad():
            expected = graph(torch.from_numpy(windows_db[:count, None]))
        for name, ours, theirs in zip(WindowEvidence._fields, actual, expected, strict=True):
            np.testing.assert_allclose(
                ours.numpy(), theirs.numpy(), rtol=1e-5, atol=2e-4, err_msg=name
            )


@pytest.mark.parametrize("scored_bands", [None, 17])
@pytest.mark.parametrize("n_frames", [3, 13, 32])
@pytest.mark.parametrize("channels", [(5,), (4, 6, 8)])
@pytest.mark.parametrize("kind", [BandAutoencoder, GridAutoencoder])
def test_onnx_agrees_with_torch(
    kind: type[SoundAutoencoder],
    channels: tuple[int, ...],
    n_frames: int,
    scored_bands: int | None,
) -> None:
    """The run time computes other scores than the training."""
    spec = SoundNetworkSpec(21, n_frames, channels, bottleneck=3, scored_bands=scored_bands)
    torch.manual_seed(1)
    network = kind(spec)
    windows_db = np.random.default_rng(1).normal(-40.0, 5.0, (6, 21, n_frames)).astype(np.float32)
    network.train()(torch.from_numpy(windows_db[:, None]))  # running means other than 0
    network.band_mean_db.copy_(torch.linspace(-3.0, 3.0, 21))
    network.deviation_db.fill_(4.0)
    graph = EvidenceGraph(network).eval()
    graph.residual_mean.fill_(0.5)
    graph.residual_deviation.fill_(0.25)
    require_parity(graph, windows_db)


@settings(max_examples=20, deadline=None)
@given(n_windows=st.integers(2, 33))
def test_the_number_of_windows_does_not_change_a_bit(n_windows: int) -> None:
    """Live sound, one window at a time, gives other scores than a replay."""
    model = export_onnx(make_graph(), some_windows())
    session = onnxruntime.InferenceSession(model)
    windows_db = np.random.default_rng(2).normal(-40.0, 9.0, (33, 1, 24, 16)).astype(np.float32)
    alone = [session.run(["row"], {"windows": one[None]})[0] for one in windows_db[:n_windows]]
    (together,) = session.run(["row"], {"windows": windows_db[:n_windows]})
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_the_kernels_cover_every_frame() -> None:
    """A fault in the last frames of a window does not change the latent."""
    for n_frames in range(1, 70):
        steps = steps_of(SoundNetworkSpec(24, n_frames, channels=(4, 4, 4), bottleneck=1))
        length = n_frames
        for step in steps:
            assert step.kernel >= step.stride >= 1
            assert (step.positions - 1) * step.stride + step.kernel == length
            length = step.positions


def test_a_model_names_no_file_of_the_computer_that_made_it() -> None:
    """A bundle shows the folders of its user, and the same training gives another hash."""
    model = export_onnx(make_graph(), some_windows())
    assert str(Path.cwd()).encode() not in model
    assert b".py" not in model
    assert export_onnx(make_graph(), some_windows()) == model


def test_a_bottleneck_is_smaller_than_the_window() -> None:
    """A network that can copy its input reconstructs every fault."""
    with pytest.raises(UsageError, match="no bottleneck"):
        SoundNetworkSpec(4, 4, bottleneck=16)


def test_an_unknown_layer_is_not_left_out() -> None:
    """A new layer of the network is missing in the bundle, and every score is wrong."""
    graph = make_graph()
    assert isinstance(graph.network, BandAutoencoder)
    graph.network.encoder[2] = nn.Tanh()
    with pytest.raises(TypeError, match="Tanh"):
        export_onnx(graph, some_windows())


@pytest.mark.parametrize("kind", [BandAutoencoder, GridAutoencoder])
def test_a_network_is_made_again_from_its_description(kind: type[SoundAutoencoder]) -> None:
    """The training of a bundle cannot be continued, or continues with another network."""
    spec = SoundNetworkSpec(24, 16, channels=(4, 8), bottleneck=4, scored_bands=20)
    network = kind(spec)
    again = described_network(description_of(network))
    assert type(again) is kind
    assert again.spec == spec
    again.load_state_dict(network.state_dict())


def test_a_network_without_a_kind_is_that_of_an_earlier_version() -> None:
    """The training of a bundle of an earlier version cannot be continued."""
    earlier = {"n_mels": 128, "n_frames": 32, "channels": [8, 16, 32, 32], "bottleneck": 8}
    assert isinstance(described_network(earlier), GridAutoencoder)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"n_mels": 24}, "not the description"),
        ({"n_mels": 24, "n_frames": 2, "channels": [4], "bottleneck": 99}, "no bottleneck"),
        ({"n_mels": 24, "n_frames": 16, "channels": [-4], "bottleneck": 4}, "at least 1"),
        ({"n_mels": 24, "n_frames": 16, "channels": [], "bottleneck": 4}, "at least one is"),
        ({"n_mels": 24, "n_frames": 16, "channels": [4], "bottleneck": True}, "at least 1"),
        ({"n_mels": 24, "n_frames": 16, "channels": ["x"], "bottleneck": 4}, "at least 1"),
        ({"n_mels": 24, "n_frames": 16, "channels": [4], "kind": "later"}, "kind is 'later'"),
    ],
)
def test_an_unknown_description_is_refused(description: dict[str, Any], message: str) -> None:
    """A bundle of a later version is continued with another network, or there is a traceback."""
    with pytest.raises(BundleError, match=message):
        described_network(description)
