"""The operators of the networks: windows without their level to their reconstruction, in dB."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import nn

from training.layers import CutToSize
from training.sound.band_network import BandAutoencoder
from training.sound.grid_network import GridAutoencoder
from training.sound.module_export import module_graph
from training.sound.module_network import ModuleAutoencoder
from training.sound.network import SoundAutoencoder
from training.sound.onnx_nodes import Array, GraphNodes, gain_and_offset, numbers_of


def reconstruction(out: GraphNodes, level_free: str, network: SoundAutoencoder) -> str:
    """The output of the decoder. Shape: ``(B, 1, n_scored, n_frames)``, both.

    Raises ``TypeError`` for an unknown network or layer.
    """
    match network:
        case BandAutoencoder():
            return _of_bands(out, level_free, network)
        case GridAutoencoder():
            return _of_grid(out, level_free, network)
        case ModuleAutoencoder():
            return _of_module(out, level_free, network)
    raise TypeError(f"{type(network).__name__} has no operators here")


def _of_bands(out: GraphNodes, level_free: str, network: BandAutoencoder) -> str:
    """Standardisation and batch normalisation are in the weights."""
    deviation_db, means_db = _standardisation(network)
    values, below_db = level_free, means_db
    layers = iter(network.encoder)
    for number, (convolution, normalisation, activation, step) in enumerate(
        zip(layers, layers, layers, network.steps, strict=True)
    ):
        kernel, offset = _normalised(convolution, normalisation)
        if not isinstance(activation, nn.ReLU):
            raise TypeError(f"{type(activation).__name__} has no operator here")
        if number == 0:
            kernel = kernel / deviation_db
            offset = offset - np.einsum("obk,b->o", kernel, below_db)
            # The bands are the height of the kernel: as channels, they would have to be padded
            # to a multiple of 16.
            kernel = kernel[:, None]
        else:
            kernel = kernel[:, :, None]
        values = out.op("Relu", out.convolution(values, kernel, offset, strides=(1, step.stride)))
    squeeze = network.squeeze
    kernel = numbers_of(squeeze.weight)[:, :, None]
    latent = out.convolution(values, kernel, numbers_of(squeeze.bias))

    # A row that is always 1 adds the bias in the same product.
    width, positions = network.spec.channels[0], network.steps[0].positions
    expand: Array = np.pad(numbers_of(network.expand.weight), ((0, positions), (0, 0)))
    bias: Array = np.concatenate((numbers_of(network.expand.bias), np.ones(positions)))
    expanded = out.op("Relu", out.convolution(latent, expand[:, :, None, None], bias))
    code = out.op("Reshape", expanded, [-1, 1, width + 1, positions])
    weight, bias = numbers_of(network.decoder.weight)[:, :, 0], numbers_of(network.decoder.bias)
    decoder: Array = np.concatenate(
        (weight * deviation_db, (bias * deviation_db + means_db)[:, None]), axis=1
    )
    decoded = out.op("MatMul", out.constant(decoder), code)
    return out.op("MatMul", decoded, out.constant(numbers_of(network.spread)))


def _of_grid(out: GraphNodes, level_free: str, network: GridAutoencoder) -> str:
    deviation_db, means_db = _standardisation(network)
    scale, middle = out.constant(np.array(deviation_db)), out.constant(means_db[:, None])
    values = out.op("Div", out.op("Sub", level_free, middle), scale)
    n_scored, n_mels = network.spec.n_scored, network.spec.n_mels
    if n_scored < n_mels:
        values = out.op("Pad", values, [0] * 6 + [n_mels - n_scored, 0])
    values = _layers(out, values, [*network.encoder, network.squeeze])
    values = _layers(out, values, [network.expand, *network.decoder])
    values = out.op("Slice", values, [0], [n_scored], [2])
    return out.op("Add", out.op("Mul", values, scale), middle)


def _of_module(out: GraphNodes, level_free: str, network: ModuleAutoencoder) -> str:
    deviation_db, means_db = _standardisation(network)
    scale, middle = out.constant(np.array(deviation_db)), out.constant(means_db[:, None])
    values = out.op("Div", out.op("Sub", level_free, middle), scale)
    size = (network.spec.n_scored, network.spec.n_frames)
    values = out.include(module_graph(network.module, size, network.origin.name), values)
    return out.op("Add", out.op("Mul", values, scale), middle)


def _standardisation(network: SoundAutoencoder) -> tuple[float, Array]:
    """The deviation, and the mean of each scored band."""
    means_db = numbers_of(network.band_mean_db)[: network.spec.n_scored]
    return float(network.deviation_db), means_db


def _normalised(convolution: nn.Module, normalisation: nn.Module) -> tuple[Array, Array]:
    """Kernel and bias of a convolution with its batch normalisation."""
    if not isinstance(convolution, nn.Conv1d) or not isinstance(normalisation, nn.BatchNorm1d):
        raise TypeError(f"{type(convolution).__name__} has no operator here")
    gain, offset = gain_and_offset(normalisation)
    return numbers_of(convolution.weight) * gain[:, None, None], offset


def _layers(out: GraphNodes, values: str, modules: Iterable[nn.Module]) -> str:
    """One layer after the other. Batch normalisation becomes part of its convolution."""
    found = list(modules)
    for module, following in zip(found, [*found[1:], None], strict=True):
        values = _layer(out, values, module, following)
    return values


def _layer(out: GraphNodes, values: str, module: nn.Module, following: nn.Module | None) -> str:
    """One layer in evaluation. Raises ``TypeError`` for one that is not known."""
    match module:
        case nn.Conv2d() | nn.ConvTranspose2d():
            return _convolution(out, values, module, following)
        case nn.BatchNorm2d():  # in the weights of the convolution before it
            return values
        case nn.GELU(approximate="none"):
            return out.op("Gelu", values)
        case nn.Upsample(mode="nearest", scale_factor=factor):
            scales = out.constant(np.array([1.0, 1.0, factor, factor]))
            return out.op(
                "Resize",
                *(values, "", scales),
                mode="nearest",
                nearest_mode="floor",
                coordinate_transformation_mode="asymmetric",
            )
        case nn.PixelShuffle(upscale_factor=factor):
            return out.op("DepthToSpace", values, blocksize=factor, mode="CRD")
        case CutToSize(size=(height, width)):
            return out.op("Slice", values, [0, 0], [height, width], [2, 3])
    raise TypeError(f"{type(module).__name__} has no operators here")


def _convolution(
    out: GraphNodes,
    values: str,
    module: nn.Conv2d | nn.ConvTranspose2d,
    following: nn.Module | None,
) -> str:
    weight = numbers_of(module.weight)
    n_out_axis = 1 if isinstance(module, nn.ConvTranspose2d) else 0
    bias = np.zeros(weight.shape[n_out_axis]) if module.bias is None else numbers_of(module.bias)
    if isinstance(following, nn.BatchNorm2d):
        gain, offset = gain_and_offset(following)
        weight = weight * np.expand_dims(gain, [axis for axis in range(4) if axis != n_out_axis])
        bias = bias * gain + offset
    return out.convolution(
        values,
        weight,
        bias,
        strides=module.stride,
        padding=int(module.padding[0]),
        kind="Conv" if isinstance(module, nn.Conv2d) else "ConvTranspose",
    )
