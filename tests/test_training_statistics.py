"""Statistics of healthy evidence: shrinkage, regimes, cross-fitting, the choice of score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from monitor.model.head import Head, distances_of
from monitor.model.reference_match import distances_to_references, match_reference
from tests.tiny_sound import SPEC, simulated_frames
from training.metrics import roc_auc
from training.sound.covariance import DIAGONAL, scatter_of
from training.sound.crossfit import HealthySound, fit_statistics, fold_heads, gather
from training.sound.head import MOST_OF_THE_WAY, healthy_sample, with_references
from training.sound.recording_evidence import RecordingEvidence
from training.sound.recordings import Recording, folds
from training.sound.regimes import find_regimes
from training.sound.score_choice import choose_score

Rows = npt.NDArray[np.float64]
D = 12


def correlated(rng: np.random.Generator, n: int, *, independent: bool = False) -> Rows:
    """Rows that vary mostly along two directions, or along all alike."""
    if independent:
        return rng.normal(size=(n, D))
    mixing = np.random.default_rng(99).normal(size=(2, D))
    return 3.0 * rng.normal(size=(n, 2)) @ mixing + 0.2 * rng.normal(size=(n, D))


def recording_of(row: Rows, rng: np.random.Generator) -> RecordingEvidence:
    """A recording whose evidence flutters around ``row`` ``(D,)``."""
    recording = Recording("r", simulated_frames(0))
    n_windows = len(recording.windows(SPEC))
    evidence = (row + 0.05 * rng.normal(size=(n_windows, D))).astype(np.float32)
    ones = np.ones(n_windows, np.float32)
    return RecordingEvidence.of(recording, SPEC, evidence=evidence, loss=ones, level_db=ones)


def sound_of(rows: Rows, rng: np.random.Generator, references: Sequence[Rows] = ()) -> HealthySound:
    return gather(
        [recording_of(row, rng) for row in rows],
        [[recording_of(row, rng) for row in machine] for machine in references],
        3,
        parts=(),
        seed=0,
    )


@pytest.mark.parametrize("shrinkage", [0.003, 0.3, DIAGONAL])
def test_the_distance_is_that_of_the_shrunk_covariance(shrinkage: float) -> None:
    """The distance is not the Mahalanobis distance of the shrunk covariance."""
    rows = correlated(np.random.default_rng(0), 400)
    whitener = scatter_of([rows - rows.mean(axis=0)]).whitener(shrinkage)
    covariance = np.cov(rows, rowvar=False)
    shrunk = (1 - shrinkage) * covariance + shrinkage * np.diag(np.diag(covariance))
    np.testing.assert_allclose(whitener.T @ whitener, np.linalg.inv(shrunk), rtol=1e-6, atol=1e-9)


def test_a_small_part_has_the_weight_of_a_large_one() -> None:
    """Knocking changes few numbers and is hidden by the chance variation of hundreds."""
    rng = np.random.default_rng(0)
    scatter = scatter_of([rng.normal(size=(4000, 60))])
    well, knocking = rng.normal(size=(500, 60)), rng.normal(size=(500, 60))
    knocking[:, 56:] += 1.0
    labels = np.repeat([0, 1], 500)
    auc, mean = [], []
    for parts in ((), (slice(0, 56), slice(56, 60))):
        whitener = scatter.whitener(0.003, parts)
        squared = np.square(np.concatenate((well, knocking)) @ whitener.T).sum(axis=1)
        auc.append(roc_auc(labels, squared))
        mean.append(squared[:500].mean())
    assert auc[1] > auc[0] + 0.05
    assert mean == pytest.approx([60.0, 60.0], rel=0.05)


def test_full_shrinkage_is_the_diagonal() -> None:
    """The diagonal score uses correlations."""
    rows = correlated(np.random.default_rng(0), 50)
    centred = rows - rows.mean(axis=0)
    expected = np.diag(1.0 / centred.std(axis=0, ddof=1))
    np.testing.assert_allclose(scatter_of([centred]).whitener(DIAGONAL), expected, rtol=1e-9)


def test_a_rare_regime_is_found() -> None:
    """A rare speed of the machine raises an alert each time."""
    rng = np.random.default_rng(0)
    centres = 20.0 * rng.normal(size=(3, D))
    kinds = [0] * 14 + [1] * 12 + [2] * 2
    rows = [centres[kind] + rng.normal(size=(4, D)) for kind in kinds]
    labels = find_regimes(rows)
    assert len({int(label) for label in np.concatenate(labels)}) == 3
    for kind in range(3):
        members = np.concatenate([labels[i] for i, k in enumerate(kinds) if k == kind])
        assert len(set(members.tolist())) == 1


@pytest.mark.parametrize("independent", [False, True])
def test_a_machine_without_separate_groups_has_one_regime(independent: bool) -> None:
    """Needless regimes leave less variation to estimate the covariance from."""
    rng = np.random.default_rng(1)
    rows = [correlated(rng, 4, independent=independent) for _ in range(30)]
    assert set(np.concatenate(find_regimes(rows)).tolist()) == {0}


def test_sound_of_only_one_recording_is_no_regime() -> None:
    """A fault in one training recording becomes a healthy state."""
    rng = np.random.default_rng(2)
    rows = [rng.normal(size=(6, D)) for _ in range(15)]
    rows[4] = rows[4] + 30.0
    assert set(np.concatenate(find_regimes(rows)).tolist()) == {0}


def test_a_left_out_recording_does_not_affect_its_own_statistics() -> None:
    """Thresholds are too low: 90 % false alarms were measured at a nominal 5 %."""
    rng = np.random.default_rng(3)
    rows = correlated(rng, 12)
    fold = folds(12, 4, seed=0)
    changed = rows.copy()
    changed[5] += 100.0
    heads = [
        next(
            h.head
            for h in fold_heads(
                sound_of(r, np.random.default_rng(4)), fold, 0.1, use_references=False
            )
            if not h.inside[5]
        )
        for r in (rows, changed)
    ]
    np.testing.assert_allclose(heads[0].whitener, heads[1].whitener)
    np.testing.assert_allclose(heads[0].centres, heads[1].centres)


def test_cross_fitted_scores_are_like_those_of_new_recordings() -> None:
    """Cross-fitted scores are too low, as in-sample scores are, and so is the threshold."""
    rng = np.random.default_rng(5)
    sound = sound_of(correlated(rng, 20), rng)
    unseen = sound_of(correlated(rng, 200), rng)
    statistics = fit_statistics(sound, np.ones(20, dtype=bool), use_references=False)
    in_sample = np.concatenate(
        [distances_of(h.rows, statistics.head(0.01))[0] for h in sound.recordings]
    )
    fresh = np.concatenate(
        [distances_of(h.rows, statistics.head(0.01))[0] for h in unseen.recordings]
    )
    heads = fold_heads(sound, folds(20, 10, seed=0), 0.01, use_references=False)
    crossed = np.concatenate(
        [
            distances_of(h.rows, next(f.head for f in heads if not f.inside[i]))[0]
            for i, h in enumerate(sound.recordings)
        ]
    )
    assert np.median(in_sample) < 0.9 * np.median(fresh)
    assert 0.85 < np.median(crossed) / np.median(fresh) < 1.3


def test_the_score_depends_on_how_much_varied_sound_there_is() -> None:
    """A covariance from too little sound gives healthy recordings high scores."""
    rng = np.random.default_rng(6)
    rows = correlated(rng, 60)
    assert choose_score(sound_of(rows, rng), 0).kind == "covariance"
    assert choose_score(sound_of(rows[:5], rng), 0).kind == "diagonal"
    assert choose_score(sound_of(rows[:2], rng), 0).kind == "plain"
    assert choose_score(sound_of(rows[:1], rng), 0).kind == "plain"
    alone = sound_of(correlated(rng, 60, independent=True), rng)
    assert choose_score(alone, 0).kind == "diagonal"


def test_references_are_used_only_if_they_help() -> None:
    """Machines of another type change the covariance of this one."""
    rng = np.random.default_rng(7)
    rows = correlated(rng, 10)
    alike = [correlated(rng, 80) + 5.0, correlated(rng, 80) - 5.0]
    strange = [30.0 * rng.normal(size=(80, D))]
    assert choose_score(sound_of(rows, rng, alike), 0).use_references
    many = correlated(rng, 60)
    assert not choose_score(sound_of(many, rng, strange), 0).use_references


def test_a_score_can_be_chosen_and_the_reason_names_the_option() -> None:
    """The bundle does not show that the score was chosen by hand."""
    rng = np.random.default_rng(8)
    sound = sound_of(correlated(rng, 40), rng)
    choice = choose_score(sound, 0, "diagonal")
    assert (choice.kind, choice.shrinkage) == ("diagonal", DIAGONAL)
    assert choice.reason.startswith("chosen with --score; the recordings would give covariance")


def known_from(n_recordings: int, references: Sequence[Rows], seed: int) -> Head:
    """The head of a machine around zero, with these reference machines."""
    rng = np.random.default_rng(seed)
    sound = sound_of(rng.normal(size=(n_recordings, D)), rng, references)
    heads = fold_heads(sound, folds(n_recordings, 10, seed=0), DIAGONAL, use_references=True)
    everything = np.ones(n_recordings, dtype=bool)
    head = fit_statistics(sound, everything, use_references=True).head(DIAGONAL)
    return with_references(head, sound, range(n_recordings), heads, seed=0)


def machine_at(offset: float, seed: int, n: int = 20) -> Rows:
    return offset + np.random.default_rng(1000 + seed).normal(size=(n, D))


def test_the_limit_is_above_the_positions_of_own_sound() -> None:
    """Two machines that sound similar are often confused."""
    apart = known_from(12, [machine_at(6.0, 0)], seed=0)
    assert apart.reference_limits == pytest.approx(MOST_OF_THE_WAY)
    taken = []
    for seed in range(20):
        head = known_from(12, [machine_at(0.0, seed)], seed)
        for row in np.random.default_rng(500 + seed).normal(size=(40, D)):
            distances = distances_to_references(row, head)
            assert distances is not None
            taken.append(distances.positions[0] > head.reference_limits[0])
    assert 0.02 < np.mean(taken) < 0.15


def test_a_reference_machine_with_two_speeds_is_recognised_at_both() -> None:
    """A reference machine is compared by its mean, which is at neither of its speeds."""
    slow, fast = machine_at(8.0, 0), machine_at(8.0, 1)
    fast[:, ::2] -= 16.0
    head = known_from(12, [machine_at(-6.0, 2), np.concatenate((slow, fast))], seed=0)
    assert list(head.reference_machines) == [0, 1, 1]
    for row in (*slow[:5], *fast[:5]):
        distances = distances_to_references(row, head)
        assert distances is not None
        reference_match = match_reference([distances], head)
        assert reference_match is not None
        assert (reference_match.machine, reference_match.is_reference) == (1, True)


def test_two_recordings_are_too_few_for_reference_limits() -> None:
    """A limit is estimated from two recordings."""
    assert not len(known_from(2, [machine_at(6.0, 0)], seed=0).references)
    assert not len(known_from(12, [], seed=0).references)
    rng = np.random.default_rng(5)
    sound = sound_of(rng.normal(size=(8, D)), rng, [machine_at(6.0, 0)])
    head = fit_statistics(sound, np.ones(8, dtype=bool), use_references=False).head(DIAGONAL)
    file = [0] * 4 + [1] * 4
    heads = fold_heads(sound, np.array(file), DIAGONAL, use_references=False)
    assert not len(with_references(head, sound, file, heads, seed=0).references)


def test_the_healthy_sample_is_relative_to_the_regimes() -> None:
    """A known speed of the machine is reported as a shift."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(200, D))
    rows[:40, ::2] += 30.0
    sound = sound_of(rows, rng)
    assert sound.n_regimes == 2
    head = fit_statistics(sound, np.ones(200, dtype=bool), use_references=False).head(DIAGONAL)
    sample = healthy_sample(sound, range(200), head, SPEC)
    assert sample is not None
    assert sample.n == 40
    np.testing.assert_allclose(sample.mean, 0.0, atol=1e-2)
    np.testing.assert_allclose(sample.variance.mean(), 1.0, rtol=0.1)


def test_the_variance_is_corrected_for_estimated_centres() -> None:
    """With two recordings for each speed, every machine is reported as shifted."""
    variances = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(8, D)) + 40.0 * np.repeat(np.eye(4, D), 2, axis=0)
        sound = sound_of(rows, rng)
        pairs = [np.full(len(spans), i // 2) for i, spans in enumerate(sound.span_rows)]
        sound = replace(sound, regime=tuple(pairs))
        head = fit_statistics(sound, np.ones(8, dtype=bool), use_references=False).head(DIAGONAL)
        sample = healthy_sample(sound, range(8), head, SPEC)
        assert sample is not None
        assert sample.n == 2
        variances.append(sample.variance.mean())
        # Only one file has one of the regimes.
        assert healthy_sample(sound, [0, 0, 1, 2, 3, 4, 5, 6], head, SPEC) is None
    assert np.mean(variances) == pytest.approx(1.0, abs=0.15)


def test_sections_of_one_file_are_one_recording() -> None:
    """One hour counts as eight days, and every other day is reported as a change."""
    rng = np.random.default_rng(4)
    days = 3.0 * rng.normal(size=(4, D))
    file = [0, 0, 1, 1, 2, 2, 3]
    sound = sound_of(days[file] + 0.1 * rng.normal(size=(7, D)), rng)
    head = fit_statistics(sound, np.ones(7, dtype=bool), use_references=False).head(DIAGONAL)
    sample = healthy_sample(sound, file, head, SPEC)
    assert sample is not None
    assert sample.n == 4
    np.testing.assert_allclose(sample.variance, days.var(axis=0, ddof=1), rtol=0.3)
    assert healthy_sample(sound, [0, 0, 0, 1, 1, 2, 2], head, SPEC) is None
