"""Whose sound is it: the machine's own, or that of a reference machine?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monitor.model.head import Head
from monitor.model.reference_match import Bearings, likeness_of, take_bearings

D = 6
LIMITS = np.array([0.7, 0.8, 0.9])


def head_of(seed: int, n_references: int = 3) -> Head:
    """One centre, some references around it, any covariance."""
    rng = np.random.default_rng(seed)
    whitener = rng.normal(size=(D, D)) + 3.0 * np.eye(D)
    centre, references = rng.normal(size=(1, D)), 3.0 * rng.normal(size=(n_references, D))
    machines = np.array([5, 7, 9])[:n_references]
    return Head(centre, whitener, references, machines, LIMITS[:n_references])


def bearings_of(evidence: np.ndarray, head: Head) -> Bearings:
    taken = take_bearings(evidence, head)
    assert taken is not None
    return taken


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), share=st.floats(-1.0, 2.0), aside=st.floats(0.0, 5.0))
def test_the_way_is_the_share_of_the_way(seed: int, share: float, aside: float) -> None:
    """What else is different about a sound would be taken for another machine's."""
    head = head_of(seed, 1)
    towards = head.references[0] - head.centres[0]
    across = np.random.default_rng(seed + 1).normal(size=D)
    metric = head.whitener.T @ head.whitener
    across -= towards * (across @ metric @ towards) / (towards @ metric @ towards)
    evidence = head.centres[0] + share * towards + aside * across
    assert bearings_of(evidence, head).ways[0] == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_halfway_is_where_both_machines_are_as_likely(seed: int) -> None:
    """The side that a sound lies on would not be that of the likelier machine."""
    head = head_of(seed, 1)
    covariance = np.linalg.inv(head.whitener.T @ head.whitener)
    for evidence in 3.0 * np.random.default_rng(seed).normal(size=(50, D)):
        own = stats.multivariate_normal.logpdf(evidence, head.centres[0], covariance)
        other = stats.multivariate_normal.logpdf(evidence, head.references[0], covariance)
        assert (bearings_of(evidence, head).ways[0] > 0.5) == (other > own)


def test_the_nearest_reference_is_named_with_its_limit() -> None:
    """The wrong machine would be named, or held to another one's limit."""
    head = head_of(0)
    for index, reference in enumerate(head.references):
        likeness = likeness_of([bearings_of(reference, head)], head)
        assert likeness is not None
        assert (likeness.machine, likeness.limit) == (5 + 2 * index, LIMITS[index])
        assert likeness.way == pytest.approx(1.0)
        assert likeness.is_the_references
        home = likeness_of([bearings_of(head.centres[0], head)], head)
        assert home is not None
        assert not home.is_the_references


def test_of_several_regimes_the_nearest_counts() -> None:
    """A machine in its second speed would pass for another machine."""
    head = head_of(1, 1)
    second = head.references[0] + 0.3 * (head.references[0] - head.centres[0])
    two = replace(head, centres=np.stack([head.centres[0], second]))
    assert bearings_of(second, head).ways[0] > 1.0
    assert bearings_of(second, two).ways[0] == pytest.approx(0.0)


def test_a_reference_machine_may_change_its_speed_within_a_recording() -> None:
    """Half a recording at each of its speeds would lie near neither."""
    regimes = np.array([[8.0, 6.0], [8.0, -6.0], [30.0, 0.0]])
    machines, limits = np.array([0, 0, 1]), np.array([0.5, 0.9, 0.6])
    head = Head(np.zeros((1, 2)), np.eye(2), regimes, machines, limits)
    likeness = likeness_of([bearings_of(regimes[0], head), bearings_of(regimes[1], head)], head)
    assert likeness is not None
    assert (likeness.machine, likeness.is_the_references) == (0, True)
    assert likeness.way == pytest.approx(1.0)
    assert likeness.limit == pytest.approx(0.7)


def test_pieces_speak_together() -> None:
    """One odd stretch would decide for a whole recording."""
    head = head_of(2, 1)
    own = bearings_of(head.centres[0], head)
    odd = bearings_of(head.references[0], head)
    together = likeness_of([own, own, own, odd], head)
    assert together is not None
    assert together.way == pytest.approx(0.25)


def test_without_references_nothing_is_said() -> None:
    """A bundle that knows one machine would name another."""
    head = head_of(0)
    assert take_bearings(np.zeros(D), Head(head.centres, head.whitener)) is None
    assert likeness_of([], head) is None
