"""What became of every alert: at the subscriber, at the endpoint, and in the evidence."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._chaos.dates import Dates, check_dates
from benchmarks._chaos.evidence import Evidence, check_evidence
from benchmarks._chaos.ledger import Fault, Ledger, Record, read_lines, settle
from benchmarks._chaos.notices import Notices, check_notices
from benchmarks._chaos.world import World


@dataclass
class Outcome:
    """The results, and how the failures were spread."""

    ledger: Ledger
    dates: Dates
    notices: Notices
    evidence: Evidence
    done: dict[str, int]
    problems: list[str]

    def as_json(self) -> dict[str, Any]:
        """All of it for programs."""
        return dataclasses.asdict(self)


def judge(world: World, faults: dict[str, list[Fault]]) -> Outcome:
    """Compare all records. Call it before the disk of the world is removed."""
    witness = read_lines(world.witness)
    messages = [line for line in read_lines(world.brokers.received) if line["event"] == "message"]
    ledger = settle([line for line in witness if line["event"] != "sent"], messages, faults)
    dates = check_dates(witness, messages, world.clock)
    alerts = _alerts(messages, witness)
    on_no_disk = {
        line["event_id"] for line in witness if line["event"] == "returned" and line["in_memory"]
    } - world.historian.event_ids
    notices = check_notices(
        alerts,
        world.companions.hook.received,
        composed=read_lines(world.folder / "composed"),
        on_no_disk=on_no_disk,
        most_repeated=world.done["kill notify"] + world.companions.n_unsure,
    )
    evidence = check_evidence(
        alerts,
        list(_log(world.folder / "daemon.log")),
        world.state / "evidence",
        lost=world.historian.lost_evidence,
        remembered=world.historian.remembered,
        destroyed={*world.historian.event_ids, *on_no_disk} - world.historian.remembered,
    )
    parts = (ledger, dates, notices, evidence)
    problems = [problem for part in parts for problem in part.problems]
    problems += [*world.problems, *world.companions.viewer.failures, *world.space.problems()]
    return Outcome(ledger, dates, notices, evidence, dict(world.done), problems)


def _alerts(messages: list[Record], witness: list[Record]) -> list[Record]:
    """Every alert in the order of its machine, with what its short form leaves out."""
    returned = {line["event_id"]: line for line in witness if line["event"] == "returned"}
    alerts: dict[str, Record] = {}
    for message in messages:
        alert = json.loads(message["payload"])
        alert["machine"] = message["topic"].split("/")[-2]
        known = returned.get(alert["event_id"], {})
        alerts[alert["event_id"]] = known | alerts.get(alert["event_id"], {}) | alert
    return sorted(alerts.values(), key=lambda alert: (alert["machine"], alert["sequence"]))


def _log(path: Path) -> Iterator[Record]:
    for line in path.read_text("utf-8", "replace").splitlines():
        if line.startswith("{"):
            yield json.loads(line)
