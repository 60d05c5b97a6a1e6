"""The graph of a bundle in ONNX Runtime: batches, and graphs of both forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from monitor.domain import FloatArray
from monitor.errors import BundleError
from monitor.features.log_mel import log_mel_windows
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from tests.bundles import SPEC, machine_sound, make_bundle

N_MELS, N_FRAMES = SPEC.n_mels, SPEC.window_frames


class CountingNetwork(Network):
    """A network that keeps how many windows it runs together."""

    def __init__(self, bundle: Bundle) -> None:
        self.sizes: list[int] = []
        super().__init__(bundle)

    def _rows(self, windows_db: FloatArray) -> FloatArray:
        self.sizes.append(len(windows_db))
        return super()._rows(windows_db)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose graph has an output for each part, as those of earlier versions."""
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def lean(named: Bundle) -> Bundle:
    """The same bundle with one row for each window."""
    return replace(named, model=joined(named.model))


@pytest.fixture(scope="module")
def windows_db() -> FloatArray:
    return log_mel_windows(machine_sound(12.0, seed=3), SPEC)


def joined(model: bytes, nodes: Sequence[onnx.NodeProto] = ()) -> bytes:
    """The graph with ``row`` and ``residual_db`` instead of an output for each part."""
    parts = onnx.load_from_string(model)
    constants = {"one": [-1, 1], "window": [-1, 1, N_MELS, N_FRAMES]}
    parts.graph.initializer.extend(
        numpy_helper.from_array(np.array(value), name) for name, value in constants.items()
    )
    parts.graph.node.extend(
        [
            *nodes,
            helper.make_node("Reshape", ["loss", "one"], ["loss_column"]),
            helper.make_node("Reshape", ["level_db", "one"], ["level_column"]),
            helper.make_node(
                "Concat",
                ["loss_column", "level_column", "band_residual", "evidence"],
                ["row"],
                axis=1,
            ),
            helper.make_node("Reshape", ["reconstruction", "window"], ["reconstructed"]),
            helper.make_node("Sub", ["windows", "reconstructed"], ["residual_db"]),
        ]
    )
    del parts.graph.output[:]
    sizes: dict[str, list[Any]] = {
        "row": ["batch", 2 + 2 * N_MELS],
        "residual_db": ["batch", 1, N_MELS, N_FRAMES],
    }
    parts.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in sizes.items()
    )
    return bytes(parts.SerializeToString())


def with_number_of_windows(model: bytes) -> bytes:
    """The graph with a loss that depends on how many windows are run together."""
    graph = onnx.load_from_string(model)
    for node in graph.graph.node:
        if "loss" in node.output:
            node.output[0] = "own_loss"
    spoiled = [
        helper.make_node("Size", ["level_db"], ["n"]),
        helper.make_node("Cast", ["n"], ["n_float"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["own_loss", "n_float"], ["loss"]),
    ]
    return joined(graph.SerializeToString(), spoiled)


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(0, 40), max_size=4))
def test_any_number_of_windows_gives_the_same_bits(
    lean: Bundle, windows_db: FloatArray, cuts: list[int]
) -> None:
    """A replay, which scores many windows together, differs from live sound."""
    network = Network(lean)
    many_db = np.resize(windows_db, (40, N_MELS, N_FRAMES))
    edges = sorted({0, *cuts, 40})
    parts = [network.run(many_db[a:b]).rows for a, b in pairwise(edges)]
    alone = [network.run([window]).rows for window in many_db]
    np.testing.assert_array_equal(np.concatenate(parts), np.concatenate(alone))


def test_many_windows_are_run_in_batches(lean: Bundle, windows_db: FloatArray) -> None:
    """A replay takes as long as one window at a time."""
    network = CountingNetwork(lean)
    network.run(windows_db[:2])
    network.sizes.clear()
    network.run(np.resize(windows_db, (22, N_MELS, N_FRAMES)))
    assert network.sizes == [16, 4, 1, 1]


def test_a_graph_whose_rows_depend_on_the_batch_is_run_one_by_one(
    named: Bundle, windows_db: FloatArray
) -> None:
    """On a processor that rounds differently in batches, live sound and replay differ."""
    network = CountingNetwork(replace(named, model=with_number_of_windows(named.model)))
    network.run(windows_db[:2])
    network.sizes.clear()
    network.run(np.resize(windows_db, (20, N_MELS, N_FRAMES)))
    assert network.sizes == [1] * 20


def test_a_graph_for_one_window_is_run_one_by_one(named: Bundle, windows_db: FloatArray) -> None:
    """A graph that was made for one window cannot be used."""
    model = onnx.load_from_string(joined(named.model))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    network = CountingNetwork(replace(named, model=model.SerializeToString()))
    assert len(network.run(windows_db[:20]).rows) == len(windows_db[:20])
    network.sizes.clear()
    network.run(windows_db[:20])
    assert set(network.sizes) == {1}


def test_both_forms_of_a_graph_give_the_same(
    named: Bundle, lean: Bundle, windows_db: FloatArray
) -> None:
    """A bundle of an earlier version is scored otherwise than before."""
    earlier, now = CountingNetwork(named), Network(lean)
    before, after = earlier.run(windows_db), now.run(windows_db)
    assert set(earlier.sizes) == {1}
    for name in ("loss", "level_db", "band_residual", "evidence"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name), err_msg=name)
    np.testing.assert_allclose(
        now.reconstruct(windows_db[0]), earlier.reconstruct(windows_db[0]), atol=1e-4
    )


def test_a_row_of_another_length_is_refused(lean: Bundle) -> None:
    """The scores are computed from the wrong numbers of the row."""
    other = replace(lean.head, centres=np.zeros((1, 7)), whitener=np.zeros((7, 7)))
    with pytest.raises(BundleError, match=r"model\.onnx: row .* does not fit head\.npz of 7"):
        Network(replace(lean, head=other))


def test_a_graph_without_a_residual_is_refused(lean: Bundle) -> None:
    """The page of an alert has no reconstruction."""
    model = onnx.load_from_string(lean.model)
    del model.graph.output[1]
    with pytest.raises(BundleError, match="has no output 'residual_db'"):
        Network(replace(lean, model=model.SerializeToString()))
