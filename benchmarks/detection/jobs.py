"""Evaluate cases in parallel, each in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks.detection.cases import Case, all_cases
from benchmarks.detection.judge import CaseResult, judge


def judge_all(seeds: int, only: str, jobs: int) -> Iterator[tuple[Case, int, CaseResult]]:
    """Every case with ``only`` in its group, with every seed, ``jobs`` at a time, in order."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        work = [
            (case, seed, scratch / f"{seed}_{number}.bundle")
            for seed in range(seeds)
            for number, case in enumerate(all_cases(scratch, seed))
            if only in case.group
        ]
        spawn = get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_one_thread) as pool:
            for (case, seed, _), result in zip(work, pool.map(_judge, work), strict=True):
                yield case, seed, result


def _judge(work: tuple[Case, int, Path]) -> CaseResult:
    return judge(*work)


def _one_thread() -> None:
    """Parallel jobs with one thread each are faster than one job with several."""
    torch.set_num_threads(1)
