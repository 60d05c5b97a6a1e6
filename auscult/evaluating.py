"""How well a bundle separates normal sound from anomalous sound."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from auscult.sound import Sound, array_blocks, given_sound
from monitor.audio.recordings import recording_files
from monitor.errors import UsageError
from monitor.model.bundle import Bundle
from monitor.offline.evaluate import Evaluation, evaluation_of, score_labelled
from monitor.text.regular_files import real_path


def evaluate(
    bundle: Bundle,
    normal: Iterable[Sound],
    anomalous: Iterable[Sound],
    sample_rate_hz: int | None = None,
    *,
    jobs: int = 1,
    seed: int = 0,
) -> Evaluation:
    """Figures of a bundle on recordings with known answers, as ``auscult evaluate`` gives them.

    ``normal``, ``anomalous``: recordings that were not used for training, each a file, a folder of
    files, or an array of samples, float, shape ``(n_samples,)``, full scale +-1.
    ``sample_rate_hz``: of the arrays. ``jobs``: as for ``replay``. ``seed``: of the resampling that
    gives the intervals. A recording that cannot be read is in ``Evaluation.refused``, and does not
    count. Raises ``MissingInputError`` for a path that does not exist, ``BadInputError`` for an
    array of another shape or type and if no recording of a label has a score, and ``UsageError``
    for arrays without a rate and for a file that is given with both labels.

    >>> bundle = auscult.load_bundle("pump.bundle")
    >>> normal = [healthy_sound(seed) for seed in range(100, 104)]
    >>> anomalous = [faulty_sound(seed) for seed in range(200, 204)]
    >>> result = auscult.evaluate(bundle, normal, anomalous, sample_rate_hz=16_000)
    >>> result.auc.value, result.pauc.value
    (1.0, 1.0)
    >>> result.auc.interval
    (1.0, 1.0)
    """
    arrays = {}
    groups = []
    for label, sound in (("normal", normal), ("anomalous", anomalous)):
        paths = []
        for path, samples in given_sound(sound, label):
            if samples is None:
                paths += recording_files([path])
            else:
                paths.append(path)
                arrays[path] = list(array_blocks(samples, sample_rate_hz, str(path)))
        groups.append(list(dict.fromkeys(paths)))
    _refuse_both(*groups)
    scored = score_labelled(bundle, *groups, jobs=jobs, arrays=arrays)
    return evaluation_of(bundle, scored, seed=seed)


def _refuse_both(normal: Iterable[Path], anomalous: Iterable[Path]) -> None:
    known = {real_path(path) for path in normal}
    for path in anomalous:
        if real_path(path) in known:
            raise UsageError(f"{path}: is given as normal and as anomalous")
