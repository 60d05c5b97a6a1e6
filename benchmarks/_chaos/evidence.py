"""Whether the evidence that alerts name is there, or is reported as lost or deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks._chaos.ledger import Record
from monitor.evidence.flac import read_flac
from monitor.evidence.folder import EvidenceFolder, Piece
from monitor.evidence.names import split_id

_NEAR_HZ = 100.0


@dataclass
class Evidence:
    """The pieces that alerts name, by what became of them.

    ``whole``, ``partial``, ``noted``: in the folder; with all of its sound, with the reason why it
    is incomplete, or with the reason why it is lost. ``deleted``: because of a limit, by the log.
    ``lost``: by the log or the history. ``forgotten``: nothing is known of them, and the messages
    that named them were destroyed: the history was damaged after it had them, or no disk accepted
    them. ``unnamed``: alerts without evidence. ``checked``: clips in which the tone of
    the fault was found.
    """

    named: int = 0
    whole: int = 0
    partial: int = 0
    noted: int = 0
    deleted: int = 0
    lost: int = 0
    forgotten: int = 0
    unnamed: int = 0
    checked: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def check_evidence(
    alerts: Sequence[Record],
    log: Sequence[Record],
    folder: Path,
    *,
    lost: Collection[str],
    remembered: Collection[str],
    destroyed: Collection[str] = (),
) -> Evidence:
    """``alerts``: as published. ``log``: of the daemon. ``lost``: ids of evidence by the history.

    ``remembered``: ids of the messages that are in the history; ``destroyed``: of those that were
    in it, or in no file.
    """
    found = Evidence()
    reasons: Counter[str] = Counter()
    deleted = {
        _id_of_files(str(line["evidence"]))
        for line in log
        if line["message"].startswith("evidence deleted") and "evidence" in line
    }
    logged = [line for line in log if line["message"].startswith("evidence is lost: ")]
    reported = {*lost, *(str(line["evidence"]) for line in logged)}
    reasons.update(line["message"].removeprefix("evidence is lost: ") for line in logged)
    pieces = EvidenceFolder(folder)
    named: dict[str, Record] = {}
    traceable: set[str] = set()
    gone: set[str] = set()
    for alert in alerts:
        evidence_id = (alert.get("evidence") or {}).get("id")
        if evidence_id is not None:
            named.setdefault(evidence_id, alert)
            if alert.get("event_id") in remembered:
                traceable.add(evidence_id)
            if alert.get("event_id") in destroyed:
                gone.add(evidence_id)
        elif not alert.get("short"):
            found.unnamed += 1
    found.named = len(named)
    for evidence_id, alert in named.items():
        piece = pieces.piece(evidence_id)
        if piece is not None and piece.metadata.get("lost"):
            found.noted += 1
        elif piece is not None:
            found.partial += bool(piece.metadata.get("incomplete"))
            found.whole += not piece.metadata.get("incomplete")
            _check_sound(piece, alert, found)
        elif evidence_id in deleted:
            found.deleted += 1
        elif evidence_id in reported:
            found.lost += 1
        elif evidence_id in gone - traceable:
            found.forgotten += 1
        else:
            found.problems.append(f"{alert['machine']}: nothing is known of evidence {evidence_id}")
    found.reasons = dict(reasons)
    return found


def _id_of_files(name: str) -> str:
    """``<alert_id>/0-raised`` as the id of the piece."""
    folder, _, stem = name.partition("/")
    return f"{folder}-{stem.partition('-')[0]}"


def _check_sound(piece: Piece, alert: Record, found: Evidence) -> None:
    """The sound of the beginning of an alert must contain the tone of the fault."""
    parts = split_id(piece.evidence_id)
    if parts is None or piece.metadata["moment"] != "raised" or not alert.get("bands_hz"):
        return
    if piece.sound_path is None:
        found.problems.append(f"{piece.evidence_id} has no sound")
        return
    samples, rate_hz = read_flac(piece.sound_path)
    power = np.abs(np.fft.rfft(samples)) ** 2
    tone_hz = float(np.argmax(power) * rate_hz / len(samples))
    if any(low - _NEAR_HZ < tone_hz < high + _NEAR_HZ for low, high in alert["bands_hz"]):
        found.checked += 1
    else:
        found.problems.append(f"{piece.evidence_id} contains {tone_hz:.0f} Hz, not the fault")
