"""Whether sound is that of the bundle's own machine or of a reference machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monitor.model.head import DistanceHead, Head
from monitor.model.reference_match import (
    ReferenceDistances,
    distances_to_references,
    match_reference,
)

D = 6
LIMITS = np.array([0.7, 0.8, 0.9])


def head_of(seed: int, n_references: int = 3) -> Head:
    """One centre, some references around it, any covariance."""
    rng = np.random.default_rng(seed)
    whitener = rng.normal(size=(D, D)) + 3.0 * np.eye(D)
    centre, references = rng.normal(size=(1, D)), 3.0 * rng.normal(size=(n_references, D))
    machines = np.array([5, 7, 9])[:n_references]
    return DistanceHead(centre, whitener, references, machines, LIMITS[:n_references])


def distances_of(evidence: np.ndarray, head: Head) -> ReferenceDistances:
    taken = distances_to_references(evidence, head)
    assert taken is not None
    return taken


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), share=st.floats(-1.0, 2.0), aside=st.floats(0.0, 5.0))
def test_the_position_is_the_share_of_the_distance(seed: int, share: float, aside: float) -> None:
    """Other differences of a sound change its position between the machines."""
    head = head_of(seed, 1)
    towards = head.references[0] - head.centres[0]
    across = np.random.default_rng(seed + 1).normal(size=D)
    metric = head.whitener.T @ head.whitener
    across -= towards * (across @ metric @ towards) / (towards @ metric @ towards)
    evidence = head.centres[0] + share * towards + aside * across
    assert distances_of(evidence, head).positions[0] == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_both_machines_are_equally_likely_at_the_middle(seed: int) -> None:
    """Sound is attributed to the less likely machine."""
    head = head_of(seed, 1)
    covariance = np.linalg.inv(head.whitener.T @ head.whitener)
    for evidence in 3.0 * np.random.default_rng(seed).normal(size=(50, D)):
        own = stats.multivariate_normal.logpdf(evidence, head.centres[0], covariance)
        other = stats.multivariate_normal.logpdf(evidence, head.references[0], covariance)
        assert (distances_of(evidence, head).positions[0] > 0.5) == (other > own)


def test_the_nearest_reference_is_named_with_its_limit() -> None:
    """The wrong machine is named, or the limit of another one is used."""
    head = head_of(0)
    for index, reference in enumerate(head.references):
        reference_match = match_reference([distances_of(reference, head)], head)
        assert reference_match is not None
        assert (reference_match.machine, reference_match.limit) == (5 + 2 * index, LIMITS[index])
        assert reference_match.position == pytest.approx(1.0)
        assert reference_match.is_reference
        own = match_reference([distances_of(head.centres[0], head)], head)
        assert own is not None
        assert not own.is_reference


def test_the_nearest_operating_state_counts() -> None:
    """A machine at its second speed is treated as another machine."""
    head = head_of(1, 1)
    second = head.references[0] + 0.3 * (head.references[0] - head.centres[0])
    two = replace(head, centres=np.stack([head.centres[0], second]))
    assert distances_of(second, head).positions[0] > 1.0
    assert distances_of(second, two).positions[0] == pytest.approx(0.0)


def test_a_reference_machine_may_change_its_speed_within_a_recording() -> None:
    """A recording with two speeds is near neither of them."""
    regimes = np.array([[8.0, 6.0], [8.0, -6.0], [30.0, 0.0]])
    machines, limits = np.array([0, 0, 1]), np.array([0.5, 0.9, 0.6])
    head = DistanceHead(np.zeros((1, 2)), np.eye(2), regimes, machines, limits)
    reference_match = match_reference(
        [distances_of(regimes[0], head), distances_of(regimes[1], head)], head
    )
    assert reference_match is not None
    assert (reference_match.machine, reference_match.is_reference) == (0, True)
    assert reference_match.position == pytest.approx(1.0)
    assert reference_match.limit == pytest.approx(0.7)


def test_the_pieces_of_a_recording_are_averaged() -> None:
    """One unusual piece decides for a whole recording."""
    head = head_of(2, 1)
    own = distances_of(head.centres[0], head)
    odd = distances_of(head.references[0], head)
    together = match_reference([own, own, own, odd], head)
    assert together is not None
    assert together.position == pytest.approx(0.25)


def test_without_references_there_is_no_match() -> None:
    """A bundle without reference machines names one."""
    head = head_of(0)
    assert distances_to_references(np.zeros(D), DistanceHead(head.centres, head.whitener)) is None
    assert match_reference([], head) is None
