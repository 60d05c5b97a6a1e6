"""Sound in parts that are too short for an alert."""

from __future__ import annotations

import pytest

from monitor.detection.settings import DetectorSettings
from monitor.domain import AudioBlock
from monitor.model.bundle import Bundle
from monitor.model.network import Network
from monitor.pipeline import Pipeline
from tests.bundles import SPEC, machine_sound

RATE_HZ = SPEC.sample_rate_hz


def parts(pipeline: Pipeline, part_s: float, n_parts: int) -> list[str]:
    """Push so many parts with a gap before each, in two blocks; the warnings then."""
    n_samples = round(part_s * RATE_HZ)
    sound = machine_sound(part_s, seed=3, fault=0.1)
    cut = n_samples // 3
    for part in range(n_parts):
        at = part * 1_000_000
        pipeline.push(AudioBlock(sound[:cut], RATE_HZ, at, discontinuous=part > 0))
        pipeline.push(AudioBlock(sound[cut:], RATE_HZ, at + cut))
    return [one.name for one in pipeline.warnings]


@pytest.mark.parametrize(("of_needed", "warned"), [(0.25, True), (0.9, True), (1.1, False)])
def test_parts_that_are_too_short_for_an_alert_are_a_warning(
    bundle: Bundle, network: Network, of_needed: float, warned: bool
) -> None:
    """A folder of recordings of 2 s is `warming` for ever, and no fault is ever reported."""
    pipeline = Pipeline(bundle, DetectorSettings(), network)
    names = parts(pipeline, of_needed * pipeline.watch.needs_s, 12)
    assert ("short_parts" in names) is warned
    assert pipeline.watch.raised is not warned


def test_a_few_gaps_are_no_warning_and_a_long_part_ends_it(
    bundle: Bundle, network: Network
) -> None:
    """The warning comes with every reconnection of a camera, or stays for ever."""
    pipeline = Pipeline(bundle, DetectorSettings(), network)
    assert parts(pipeline, 2.0, 9) == []
    pipeline = Pipeline(bundle, DetectorSettings(), network)
    assert parts(pipeline, 2.0, 12) == ["short_parts"]
    sound = machine_sound(pipeline.watch.needs_s + 1)
    pipeline.push(AudioBlock(sound, RATE_HZ, 90_000_000, discontinuous=True))
    assert not pipeline.warnings
