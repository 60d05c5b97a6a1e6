"""``auscult web`` or ``auscult notify``, with a clock that can be set.

What `auscult notify` makes messages of is written to ``FOLDER/composed``.

python -m benchmarks._chaos.companion FOLDER notify --config config.toml
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks._chaos.clocks import use_clock


def main() -> None:
    """Run ``auscult`` with the clock of ``FOLDER``."""
    folder = Path(sys.argv.pop(1))
    use_clock(folder)
    # Imported after this, because functions of the program keep the clock they were made with.
    from monitor.cli import main as auscult

    if sys.argv[1] == "notify":
        _attend(folder / "composed")
    auscult()


def _attend(path: Path) -> None:
    """Write down each message with its alerts: one about several alerts does not name them."""
    from monitor.notify.incident import Incident
    from monitor.notify.wording import Message, Wording

    compose = Wording.message

    def parts(one: Incident) -> list[str]:
        return [*([] if one.is_sent else ["begin"]), *(["end"] if one.has_ended else [])]

    def watched(
        self: Wording, incidents: Sequence[Incident], left_out: Mapping[str, int]
    ) -> Message:
        message = compose(self, incidents, left_out)
        about = [
            {"alert_id": one.key, "machine": one.machine, "parts": parts(one)} for one in incidents
        ]
        line = {"title": message.title, "message": message.body, "incidents": about}
        with path.open("a") as file:
            file.write(json.dumps({"event": "composed", **line}) + "\n")
        return message

    setattr(Wording, "message", watched)  # noqa: B010  # a method cannot be assigned to


if __name__ == "__main__":
    main()
