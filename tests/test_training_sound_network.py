"""The sound network and its graph: level, loss, evidence, and equal results in ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from monitor.domain import FloatArray
from monitor.errors import BundleError, UsageError
from tests.tiny_sound import SPEC, simulated_frames
from training.sound.evidence_graph import EvidenceGraph
from training.sound.network import SoundAutoencoder, SoundNetworkSpec
from training.sound.onnx_export import OUTPUTS, export_onnx
from training.sound.recordings import Recording

pytestmark = pytest.mark.slow


def make_graph(n_mels: int = 24, n_frames: int = 16) -> EvidenceGraph:
    torch.manual_seed(3)
    spec = SoundNetworkSpec(n_mels, n_frames, channels=(4, 8), bottleneck=4)
    network = SoundAutoencoder(spec)
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


def test_onnx_agrees_with_torch_for_any_batch() -> None:
    """The run time computes other scores than the training."""
    n_mels, n_frames = 21, 13  # neither divides by the strides
    graph = make_graph(n_mels, n_frames)
    rng = np.random.default_rng(0)
    windows_db = rng.normal(-40.0, 5.0, (4, n_mels, n_frames)).astype(np.float32)
    session = onnxruntime.InferenceSession(export_onnx(graph, windows_db))
    for count in (1, 3, 4):
        actual = session.run(list(OUTPUTS), {"windows": windows_db[:count, None]})
        with torch.no_grad():
            expected = graph(torch.from_numpy(windows_db[:count, None]))
        for name, ours, theirs in zip(OUTPUTS, actual, expected, strict=True):
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=2e-4, err_msg=name)


def test_a_model_names_no_file_of_the_computer_that_made_it() -> None:
    """A bundle shows the folders of its user, and the same training gives another hash."""
    model = export_onnx(make_graph(), some_windows())
    assert str(Path.cwd()).encode() not in model
    assert b".py" not in model
    assert export_onnx(make_graph(), some_windows()) == model


@pytest.mark.parametrize("scored_bands", [None, 17])
def test_onnx_agrees_with_torch_for_bands_and_layers(scored_bands: int | None) -> None:
    """Bands that are not scored change a score, or a deeper network is exported wrongly."""
    spec = SoundNetworkSpec(21, 13, channels=(4, 6, 8), bottleneck=3, scored_bands=scored_bands)
    torch.manual_seed(1)
    network = SoundAutoencoder(spec)
    windows_db = np.random.default_rng(1).normal(-40.0, 5.0, (6, 21, 13)).astype(np.float32)
    network.train()(torch.from_numpy(windows_db[:, None]))  # running means other than 0
    network.band_mean_db.copy_(torch.linspace(-3.0, 3.0, 21))
    graph = EvidenceGraph(network).eval()
    session = onnxruntime.InferenceSession(export_onnx(graph, windows_db))
    actual = session.run(list(OUTPUTS), {"windows": windows_db[:, None]})
    with torch.no_grad():
        expected = graph(torch.from_numpy(windows_db[:, None]))
    for name, ours, theirs in zip(OUTPUTS, actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=2e-4, err_msg=name)


def test_an_unknown_layer_is_not_left_out() -> None:
    """A new layer of the network is missing in the bundle, and every score is wrong."""
    graph = make_graph()
    graph.network.decoder.append(nn.Tanh())
    with pytest.raises(TypeError, match="Tanh"):
        export_onnx(graph, some_windows())


def test_a_bottleneck_is_smaller_than_the_window() -> None:
    """A network that can copy its input reconstructs every fault."""
    with pytest.raises(UsageError, match="no bottleneck"):
        SoundNetworkSpec(4, 4, bottleneck=16)


def test_a_network_spec_is_read_back() -> None:
    """The training of a bundle cannot be continued, or continues with another network."""
    spec = SoundNetworkSpec(24, 16, channels=(4, 8), bottleneck=4)
    assert SoundNetworkSpec.from_dict(spec.to_dict()) == spec
    with pytest.raises(BundleError, match="not the description"):
        SoundNetworkSpec.from_dict({"n_mels": 24})
