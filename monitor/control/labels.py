"""What each label of an alert means, and what it changes: the same words in every place."""

from __future__ import annotations

from typing import Literal, NamedTuple

Label = Literal["fault", "false-alarm", "sensor", "ignore"]


class LabelMeaning(NamedTuple):
    """``meaning``: what an operator states about the alert. ``effect``: what follows from it."""

    meaning: str
    effect: str


LABELS: dict[Label, LabelMeaning] = {
    "fault": LabelMeaning(
        "the machine had a fault",
        "Evidence that is kept is among the last to be deleted. "
        "Relearning shows whether a new bundle would raise this alert.",
    ),
    "false-alarm": LabelMeaning(
        "the machine was healthy",
        "The sound is added to the relearning set, if the machine is learned. Alerts change only "
        "when you relearn and accept the new bundle.",
    ),
    "sensor": LabelMeaning(
        "the microphone or its cable was the cause",
        "The sound is not used for learning.",
    ),
    "ignore": LabelMeaning(
        "none of these: leave this alert out of evaluations",
        "The sound is not used for learning.",
    ),
}
