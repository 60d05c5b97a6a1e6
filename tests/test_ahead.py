"""A replay that several processes share gives what one process gives, bit for bit."""

from __future__ import annotations

import os
import re
import signal
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock, FloatArray
from monitor.features.log_mel import window_tiles
from monitor.model.bundle import Bundle
from monitor.model.capture import Capture
from monitor.model.network import Network, NetworkOutput
from monitor.offline.ahead import Ahead
from monitor.offline.replay import ReplaySinks, replay_recording
from monitor.pipeline import Pipeline, PipelineOutput
from tests.bundles import machine_sound, make_bundle
from tests.command_line import auscult
from tests.scripted_machines import fault_and_back
from tests.test_long_spans import SPEC, with_channels

RATE_HZ = SPEC.sample_rate_hz


@pytest.fixture(scope="module")
def fine(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with fine spectra and a known recording chain."""
    made = with_channels(make_bundle(tmp_path_factory.mktemp("fine"), spec=SPEC))
    capture = Capture(
        reach_hz=7_000.0,
        scored_bands=SPEC.n_mels,
        low_db=(-100.0,) * SPEC.n_mels,
        high_db=(0.0,) * SPEC.n_mels,
        gap_share=0.004,
    )
    return replace(made, manifest=made.manifest.model_copy(update={"capture": capture}))


def rows_of(output: PipelineOutput) -> list[Any]:
    scores = [*output.scores, *output.channel_scores]
    return [
        *((one.value, one.loss, one.level_db, one.end_sample) for one in scores),
        *(one.band_error.tobytes() for one in scores),
        *((one.kind, one.score, one.at_sample) for one in output.decisions),
        *((one.status, one.reason) for one in output.states),
        *((one.first_sample, one.values_db.tobytes()) for one in output.windows),
    ]


def alone(bundle: Bundle, network: Network, blocks: list[AudioBlock]) -> list[Any]:
    pipeline = Pipeline(bundle, DetectorSettings(), network)
    rows = [row for block in blocks for row in rows_of(pipeline.push(block))]
    return rows + rows_of(pipeline.finish())


def together(ahead: Ahead, blocks: Iterable[AudioBlock]) -> list[Any]:
    shared = ahead.recording()
    pipeline = Pipeline(
        ahead.bundle,
        DetectorSettings(),
        shared,
        transform=shared.windows,
        share=shared.share_of_gaps,
    )
    rows = [row for block in shared.blocks(blocks) for row in rows_of(pipeline.push(block))]
    return rows + rows_of(pipeline.finish())


@dataclass(frozen=True)
class Cut:
    """How the sound is cut into blocks, and what is missing in it."""

    lengths: tuple[int, ...]
    gaps: frozenset[int]
    silent_s: int
    rate_hz: int


def cut(samples: FloatArray, made: Cut) -> list[AudioBlock]:
    """The blocks, of these lengths again and again."""
    blocks: list[AudioBlock] = []
    begin = lost = number = 0
    while begin < len(samples):
        part = samples[begin : begin + made.lengths[number % len(made.lengths)]]
        is_gap = number in made.gaps
        lost += 1000 * is_gap
        blocks.append(AudioBlock(part, made.rate_hz, begin + lost, is_gap))
        begin += len(part)
        number += 1
    return blocks


def plain(seconds: float) -> list[AudioBlock]:
    """Blocks of four seconds without gaps."""
    return cut(machine_sound(seconds, seed=3), Cut((4 * RATE_HZ,), frozenset(), 20, RATE_HZ))


cuts = st.builds(
    Cut,
    lengths=st.lists(st.integers(1_000, 5 * RATE_HZ), min_size=1, max_size=4).map(tuple),
    gaps=st.frozensets(st.integers(1, 12), max_size=2),
    silent_s=st.integers(0, 20),
    rate_hz=st.sampled_from([RATE_HZ, RATE_HZ, 22_050]),
)


@settings(max_examples=12, deadline=None)
@given(made=cuts, jobs=st.integers(1, 3))
def test_the_results_are_those_of_one_process(fine: Bundle, made: Cut, jobs: int) -> None:
    """A threshold that was tested with several processes would not be valid for live sound."""
    samples = machine_sound(24.0, seed=3)
    samples[made.silent_s * RATE_HZ : made.silent_s * RATE_HZ + 12_000] = 0.0
    blocks = cut(samples, made)
    network = Network(fine)
    with Ahead(fine, network, jobs) as ahead:
        for _ in range(2):
            assert together(ahead, blocks) == alone(fine, network, blocks)


def test_windows_that_are_not_scored_are_forgotten(fine: Bundle) -> None:
    """A machine that stops now and then would fill the memory with windows of its pauses."""
    bundle = replace(fine, manifest=fine.manifest.model_copy(update={"capture": None}))
    earlier: list[weakref.ref[FloatArray]] = []
    tiles = window_tiles(SPEC)
    with Ahead(bundle, Network(bundle), 1) as ahead:
        shared = ahead.recording()
        for block in shared.blocks(plain(24.0)):
            assert isinstance(block, AudioBlock)
            windows = shared.windows(tiles.push(block))
            shared.run([windows[-1].values_db])
            assert [one for one in earlier if one() is not None] == []
            earlier += [weakref.ref(window.values_db) for window in windows]
    assert earlier


def test_the_other_processes_do_the_work(fine: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything would be computed twice, and the results would still be right."""
    runs, run = 0, Network.run

    def counted(network: Network, windows_db: FloatArray) -> NetworkOutput:
        nonlocal runs
        runs += 1
        return run(network, windows_db)

    monkeypatch.setattr(Network, "run", counted)
    with Ahead(fine, Network(fine), 2) as ahead:
        runs = 0
        rows = together(ahead, plain(40.0))
    assert len(rows) > 40
    assert runs == 0


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_process_that_is_killed_changes_nothing(
    fine: Bundle, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The replay of a year would hang, or its table would have a hole."""
    network = Network(fine)
    blocks = plain(60.0)
    with Ahead(fine, network, 2) as ahead:
        victim = ahead.processes[0]

        def killing() -> Iterator[AudioBlock]:
            for number, block in enumerate(blocks):
                if number == (0 if when == "before" else 8):
                    os.kill(victim, signal.SIGKILL)
                    os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)
                yield block

        assert together(ahead, killing()) == alone(fine, network, blocks)
    assert "has ended" in caplog.text


def test_the_processes_end_with_the_replay(fine: Bundle) -> None:
    """Each replay would leave processes behind."""
    with Ahead(fine, Network(fine), 2) as ahead:
        processes = ahead.processes
        together(ahead, plain(9.0)[:2])
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_log_mel_is_replayed_as_before(bundle: Bundle, network: Network, tmp_path: Path) -> None:
    """Recordings of log-mel would fail with several processes."""
    path = tmp_path / "a.npy"
    np.save(path, np.random.default_rng(0).normal(-60, 1, (400, SPEC.n_mels)).astype(np.float32))
    rows: list[list[float]] = []
    for jobs in (0, 2):
        scores: list[float] = []
        sinks = ReplaySinks(lambda _file, score: scores.append(score.value), lambda *_: None)  # noqa: B023  # used before the next round
        with Ahead(bundle, network, jobs) as ahead:
            replay_recording(
                path, bundle, network, DetectorSettings(), sinks, machine="m", start_unix_s=0.0,
                ahead=ahead if jobs else None,
            )  # fmt: skip
        rows.append(scores)
    assert rows[0] == rows[1] != []


def test_the_command_writes_the_same_tables(bundle: Bundle, tmp_path: Path) -> None:
    """Two computers with other numbers of cores would disagree."""
    recording = tmp_path / "a.wav"
    soundfile.write(recording, fault_and_back(), RATE_HZ, subtype="FLOAT")
    tables = []
    for jobs in (1, 3):
        names = {name: tmp_path / f"{name}-{jobs}" for name in ("scores", "files", "alerts")}
        options = [f"--{name}={path}" for name, path in names.items()]
        auscult("replay", bundle.path, recording, "--jobs", jobs, *options)
        tables.append([path.read_text() for path in names.values()])
    without_identity = [[_without_ids(one) for one in table] for table in tables]
    assert without_identity[0] == without_identity[1]


def _without_ids(text: str) -> str:
    return re.sub(r'"(event_id|alert_id)": ?"[^"]*"', "", text)
