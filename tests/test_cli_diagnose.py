"""`auscult diagnose`: what it reads, what it prints, and its errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from monitor.domain import FloatArray
from tests.bundles import make_bundle
from tests.command_line import auscult
from tests.diagnosed_sounds import RATE_HZ, healthy_pieces, impacts, machine

SHAFT_HZ = 24.0
OUTER = 3.5848


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bad.wav``, and healthy recordings in ``healthy/``."""
    folder = tmp_path_factory.mktemp("diagnose")
    (folder / "healthy").mkdir()
    for number, samples in enumerate(healthy_pieces(4, 12.0)):
        soundfile.write(folder / "healthy" / f"{number}.flac", samples, RATE_HZ)
    soundfile.write(folder / "bad.wav", bad(), RATE_HZ)
    return folder


def bad() -> FloatArray:
    return machine(12.0, 1) + impacts(12.0, OUTER * SHAFT_HZ, 1, level=0.2)


def test_the_part_is_named_in_json_and_in_text(folder: Path) -> None:
    """A script or a person would not learn what the sound fits."""
    given = ("--shaft-hz", "24", "--bearing", "6205-2RS")
    arguments = ("diagnose", folder / "bad.wav", "--healthy", folder / "healthy", *given)
    document = auscult(*arguments, "--json").json
    first = document["findings"][0]
    assert set(first) >= {"kind", "rate_hz", "rate_uncertainty_hz", "order", "level_db", "fits"}
    assert first["kind"] == "impacts"
    assert first["rate_hz"] == pytest.approx(OUTER * SHAFT_HZ, rel=0.005)
    assert first["order"] == pytest.approx(OUTER, rel=0.005)
    assert first["fits"][0]["cause"] == "outer race of 6205"
    assert document["healthy"] == 4
    assert document["speed"]["hz"] == pytest.approx(SHAFT_HZ, rel=0.002)
    rates = [peak["rate_hz"] for peak in document["envelope_spectrum"]["peaks"]]
    assert any(rate == pytest.approx(OUTER * SHAFT_HZ, rel=0.005) for rate in rates)
    text = auscult(*arguments)
    assert text.status == 0
    assert "fits outer race of 6205 at 24 rev/s within" in text.out
    assert "order spectrum" in text.out


def test_the_configuration_has_the_shaft_and_the_bundle(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`[machine.shaft]` would have no effect, or the healthy sound have to be named again."""
    bundle = make_bundle(tmp_path / "pump.bundle")
    manifest = bundle.path / "bundle.json"
    values = json.loads(manifest.read_text())
    values["provenance"]["recordings"] = [{"name": f"healthy/{n}.flac"} for n in range(4)]
    manifest.write_text(json.dumps(values))
    config = tmp_path / "config.toml"
    config.write_text(
        '[[machine]]\nid = "pump"\nbundle = "pump.bundle"\n[machine.source]\nkind = "simulated"\n'
        '[machine.shaft]\nrpm = 1440\nbearings = ["6205"]\n'
    )
    monkeypatch.chdir(folder)
    document = auscult("diagnose", "bad.wav", "--config", config, "--json").json
    assert document["healthy"] == 4
    assert document["findings"][0]["fits"][0]["cause"] == "outer race of 6205"


def test_healthy_sound_at_another_rate_is_compared(folder: Path, tmp_path: Path) -> None:
    """The missing high frequencies of a recording would be a difference of the machine."""
    twice = np.repeat(machine(12.0, 2), 2)
    soundfile.write(tmp_path / "now.wav", twice, 2 * RATE_HZ)
    outcome = auscult("diagnose", tmp_path / "now.wav", "--healthy", folder / "healthy", "--json")
    assert outcome.json["findings"] == []


def test_without_healthy_sound_it_says_so(folder: Path) -> None:
    """A normal rhythm would be taken for a fault."""
    outcome = auscult("diagnose", folder / "bad.wav")
    assert outcome.status == 0
    assert outcome.out.startswith("impacts: 86.0 impacts per second")
    assert "note: without healthy sound" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["nothing.wav"], 66, "nothing.wav: cannot be opened: No such file or directory"),
        (["bad.wav", "--healthy", "nothing"], 66, "nothing: no such file or folder"),
        (["bad.wav", "--bearing", "6999"], 64, "--bearing: the geometry of bearing '6999' is not"),
        (["bad.wav", "--shaft-hz", "0"], 64, "must be at least 0.1, not 0"),
        (["bad.wav", "--machine", "pump"], 64, "--machine needs --config"),
        (["healthy"], 65, "healthy: not a file; expected"),
        (["bad.wav", "--start", "20"], 65, "bad.wav: is 12.0 s long: --start must be less"),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    says: str,
) -> None:
    """A user would see a traceback, or a script the wrong exit status."""
    monkeypatch.chdir(folder)
    outcome = auscult("diagnose", *arguments)
    assert (outcome.status, outcome.out) == (status, "")
    assert says in outcome.err
    assert outcome.err.count("\n") == 1


def test_the_rest_of_a_recording_can_be_used(folder: Path, tmp_path: Path) -> None:
    """A fault that begins after a minute could not be diagnosed."""
    sound = np.concatenate([machine(70.0, 3), bad()])
    soundfile.write(tmp_path / "long.flac", sound, RATE_HZ)
    arguments = ("diagnose", tmp_path / "long.flac", "--healthy", folder / "healthy", "--json")
    assert auscult(*arguments).json["findings"] == []
    assert auscult(*arguments, "--start", "70").json["findings"][0]["kind"] == "impacts"
