"""Measure whether another machine of the same type is recognised as another machine.

    python -m benchmarks.detection.another_machine [--seeds 3]

A bundle is made from a part of one machine's healthy recordings, with or without other machines
as ``--reference``. Then it receives other healthy recordings: of its own machine, from the same
days and from later ones, of the reference machines, and of unknown machines. The check of
``auscult calibrate`` gets all recordings of a machine together, the check of ``auscult selftest``
each alone.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks._page import write_section
from benchmarks.detection.cases import (
    DATA,
    files,
    folders,
    sessions_of,
    shuffled,
    unpack_toycar,
)
from benchmarks.detection.command import run
from monitor.calibration.machine_match import match_recordings, match_sound
from monitor.errors import BadInputError
from monitor.model.network import Network
from monitor.offline.healthy_set import score_healthy
from training.sound.train import AudioRequest, train_audio

NEEDED = ("toycar", "bldc_motor", "uav_propeller", "desk_fan")
OWN, LATER = "the same machine", "the same machine, later"
REFERENCE, STRANGER = "a reference machine", "an unknown machine"
MOST_RECORDINGS = 25
_COLUMNS = (
    "bundle from",
    "sound of",
    "calibrate: refused",
    "calibrate: warned",
    "calibrate: accepted",
    "selftest, one recording: reported",
)
HEADER = (f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|")


@dataclass(frozen=True, slots=True)
class Trial:
    """One bundle to make, and the recordings that it receives, by kind (``OWN`` ...)."""

    case: str
    train: tuple[Path, ...]
    references: tuple[Path, ...]
    given: tuple[tuple[str, tuple[Path, ...]], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The results for one machine: of all its recordings, and how many were reported alone."""

    case: str
    whose: str
    refused: bool
    warned: bool
    alone: int
    recordings: int


def trials(scratch: Path, seed: int) -> Iterator[Trial]:
    """Every bundle of one seed."""
    yield from _motors(seed)
    yield from _cars(scratch, seed)
    yield from _later()


def _motors(seed: int) -> Iterator[Trial]:
    """Halves of a motor's clips, with the other motors as reference and without; all of them."""
    motors = folders(DATA / "bldc_motor" / "healthy")
    for motor in motors:
        clips = files(motor)
        others = tuple(other for other in motors if other != motor)
        known = tuple((REFERENCE, tuple(files(other))) for other in others)
        unknown = tuple((STRANGER, sound) for _, sound in known)
        halves = list(itertools.combinations(clips, len(clips) // 2))
        for index in np.random.default_rng(seed).choice(len(halves), 3, replace=False):
            half = halves[index]
            own = (OWN, tuple(clip for clip in clips if clip not in half))
            yield Trial("motor, 4 recordings and reference", half, others, (own, *known))
            yield Trial("motor, 4 recordings alone", half, (), (own, *unknown))
        yield Trial("motor, 8 recordings alone", tuple(clips), (), unknown)


def _cars(scratch: Path, seed: int) -> Iterator[Trial]:
    """Many and few clips of a car, all other cars but one as reference."""
    cars = [car / "train_normal" for car in folders(unpack_toycar(scratch / "toycar"))]
    for number, car in enumerate(cars):
        clips = shuffled(files(car), seed)
        references = [other for other in cars if other != car]
        stranger = references.pop((seed + number) % len(references))
        given = (
            (OWN, tuple(clips[-MOST_RECORDINGS:])),
            *((REFERENCE, _some(reference, seed)) for reference in references),
            (STRANGER, _some(stranger, seed)),
        )
        for count in (len(clips) - MOST_RECORDINGS, 20):
            case = f"toycar, {count} clips and two references"
            yield Trial(case, tuple(clips[:count]), tuple(references), given)


def _later() -> Iterator[Trial]:
    """The drone's first flights and the fan's first session, and the recordings after them."""
    flights = tuple(files(DATA / "uav_propeller" / "normal"))
    cut = round(len(flights) * 2 / 3)
    yield Trial(f"drone, {cut} first flights", flights[:cut], (), ((LATER, flights[cut:]),))
    sessions = [tuple(session) for session in sessions_of(files(DATA / "desk_fan" / "on"))]
    yield Trial("desk fan, one session", sessions[0], (), ((LATER, sessions[1]),))


def _some(folder: Path, seed: int) -> tuple[Path, ...]:
    return tuple(shuffled(files(folder), seed)[:MOST_RECORDINGS])


def ask(trial: Trial, seed: int, out: Path) -> Iterator[Answer]:
    """Make the bundle and check the recordings of each machine.

    A recording whose chain does not fit, for example because its sound ends at a lower frequency,
    counts as reported.
    """
    request = AudioRequest(trial.train, out, references=trial.references, seed=seed)
    bundle = train_audio(request).bundle
    calibration, names, network = bundle.calibration, bundle.reference_names, Network(bundle)
    for whose, paths in trial.given:
        scored = []
        for path in paths:
            try:
                scored.append(score_healthy(path, bundle, network))
            except BadInputError as error:  # another recording chain: also not this machine
                print(f"not scored: {error}", flush=True)
        if not scored:
            yield Answer(trial.case, whose, True, False, len(paths), len(paths))
            continue
        together = match_recordings(calibration, scored, names, bundle.head.healthy)
        alone = [
            match_sound(calibration, r.whole, r.seconds, r.reference_match, names) for r in scored
        ]
        yield Answer(
            trial.case,
            whose,
            refused=not together.matches,
            warned=together.matches and bool(together.complaint),
            alone=sum(not one.matches for one in alone) + len(paths) - len(scored),
            recordings=len(paths),
        )


def row(answers: list[Answer]) -> str:
    """The results of one case for one kind of machine."""
    refused, warned = sum(a.refused for a in answers), sum(a.warned for a in answers)
    recordings = sum(a.recordings for a in answers)
    return (
        f"| {answers[0].case} | {answers[0].whose} | {refused} | {warned} "
        f"| {len(answers) - refused - warned} "
        f"| {sum(a.alone for a in answers)} of {recordings} |"
    )


def measure(seeds: int) -> None:
    """Run every seed, print the table and write it to the documentation."""
    torch.set_num_threads(1)
    answers: list[Answer] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            for number, trial in enumerate(trials(Path(folder), seed)):
                for answer in ask(trial, seed, Path(folder) / f"{seed}_{number}.bundle"):
                    print(f"seed {seed}: {answer}", flush=True)
                    answers.append(answer)
    kinds = [OWN, LATER, REFERENCE, STRANGER]
    answers.sort(key=lambda a: (a.case, kinds.index(a.whose)))
    groups = itertools.groupby(answers, key=lambda a: (a.case, a.whose))
    text = "\n".join([*HEADER, *(row(list(members)) for _, members in groups)])
    print(text)
    write_section("another machine", f"{seeds} seeds.\n\n{text}")


if __name__ == "__main__":
    run(__doc__, NEEDED, measure)
