"""The process that diagnoses the sound of an alert."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from monitor.diagnosis.child import diagnosis_of, used_part
from tests.diagnosed_sounds import RATE_HZ, healthy_pieces, impacts, machine

OUTER_RACE_HZ = 86.0


def asked(folder: Path, *, n_healthy: int = 4, start_s: float = 0.0, **more: Any) -> dict[str, Any]:
    """The request for 30 s of sound, the second half of it with impacts."""
    healthy = []
    for number, samples in enumerate(healthy_pieces(n_healthy, 10.0)):
        healthy.append(str(folder / f"{number}.flac"))
        soundfile.write(healthy[-1], samples, RATE_HZ)
    samples = machine(30.0, 7)
    samples[15 * RATE_HZ :] += impacts(15.0, OUTER_RACE_HZ, 3)
    soundfile.write(folder / "alert.flac", samples, RATE_HZ)
    sound = str(folder / "alert.flac")
    return {"sound": sound, "start_s": start_s, "gaps": [], "healthy": healthy, "shaft": {}} | more


def test_what_a_page_draws_belongs_to_its_finding(tmp_path: Path) -> None:
    """The marked lines would be beside the peaks."""
    result = diagnosis_of(asked(tmp_path, start_s=15.0))
    assert len(json.dumps(result)) < 60_000
    first = result["findings"][0]
    assert first["rate_hz"] == pytest.approx(OUTER_RACE_HZ, rel=0.005)
    spectrum = result["spectra"][first["spectrum"]]
    assert spectrum["of"] == "envelope"
    assert spectrum["band_hz"] == first["band_hz"]
    assert spectrum["comb_hz"][:2] == pytest.approx([OUTER_RACE_HZ, 2 * OUTER_RACE_HZ], rel=0.005)
    level_db, healthy_db = np.array(spectrum["level_db"]), np.array(spectrum["healthy_db"])
    at = round(spectrum["comb_hz"][0] / spectrum["step_hz"])
    near = slice(at - 2, at + 3)
    assert level_db[near].max() > healthy_db[near].max() + 6.0
    low_hz, high_hz = first["listen_hz"]
    assert low_hz < 3200.0 < high_hz  # where the impacts ring
    assert (result["start_s"], result["seconds"]) == (15.0, 15.0)


def test_with_too_little_healthy_sound_nothing_is_stated(tmp_path: Path) -> None:
    """What is normal for the machine would be named as a fault."""
    result = diagnosis_of(asked(tmp_path, n_healthy=2))
    assert result["findings"] == []
    assert result["spectra"] == []
    assert "too little" in result["notes"][0]


def test_a_gap_is_not_compared() -> None:
    """The edges of lost sound would be impacts."""
    second = 10
    assert used_part(300, second, 0.0, []) == (0, 300)
    assert used_part(300, second, 9.0, []) == (90, 300)
    assert used_part(300, second, 25.0, []) == (0, 300)  # 5 s are too little
    assert used_part(300, second, 5.0, [[10.0, 1.0]]) == (111, 300)
    assert used_part(300, second, 5.0, [[18.0, 1.0], [28.0, 2.0]]) == (50, 180)
    assert used_part(300, second, 0.0, [[0.0, 2.0], [15.0, 0.5]]) == (156, 300)
    assert used_part(0, second, 0.0, []) == (0, 0)
