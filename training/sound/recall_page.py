"""The section of the report about the injected faults that raise an alert."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.model.manifest import Calibration
from monitor.offline.html_page import Html, paragraph, table
from monitor.text.wording import counted
from training.sound.budget_recall import BudgetRecall, budget_table

_OF_SAMPLES = (
    "Faults were mixed into healthy recordings, which were then scored with statistics that do not "
    "contain them. Impacts excite a resonance 40 to 120 times a second. A line is one tone. A rub "
    "is noise that swells once in each turn of a shaft. The level is relative to that of the "
    "recording: at -6 dB a fault has half of its amplitude, at -24 dB a sixteenth."
)
_OF_LOG_MEL = (
    "The recordings are log-mel without samples. So small changes of log-mel stand for faults: a "
    "new tone, a shifted resonance and knocking, each in three sizes. The changed recordings were "
    "scored with statistics that do not contain them."
)
_ABOUT_SPANS = (
    "The first table shows the share that raises an alert at the budget of the bundle. A strong "
    "fault raises it by a score over the first span, a faint one only by a score over more sound. "
    "Every column includes the columns to its left. At most 20 s of sound is used. Where a span is "
    "longer, its score is that of this sound. A fault that lasts is detected at least as often."
)
_ABOUT_BUDGETS = (
    "The share depends on the budget of false alarms: a lower budget needs a higher threshold. "
    "The table shows the share of all these faults. Where the same sounds raise alerts without a "
    "fault, the budget is too high. A real fault may be stronger or fainter."
)
_ABOUT_MORE = (
    "More recordings lower the thresholds. The table shows the share with as many recordings as "
    "now, and with more. It assumes that other days are like these. If the machine changes from "
    "day to day, fewer faults are detected than the table shows."
)


def recall_parts(recall: BudgetRecall, calibration: Calibration, n_files: int) -> list[Html]:
    """The tables by span, by budget and by number of recordings, with their explanation."""
    about = _OF_SAMPLES if recall.faults.of_samples else _OF_LOG_MEL
    each = f"Each share is that of {counted(recall.n_sounds, 'sound')}."
    parts = [
        paragraph(f"{about} {each}"),
        paragraph(_ABOUT_SPANS),
        table(
            ("fault", "level", *(f"within {span}" for span in recall.spans)),
            _spans(recall, calibration),
        ),
        paragraph(_ABOUT_BUDGETS),
        table(
            (
                "false alarms a week",
                "faults that raise an alert",
                "the same sounds without a fault that do",
            ),
            budget_table(recall, calibration),
        ),
    ]
    if not recall.with_more:
        return parts
    numbers = [n_files, *(times * n_files for times in recall.with_more)]
    header = ("fault", "level", *(counted(number, "recording") for number in numbers))
    return [*parts, paragraph(_ABOUT_MORE), table(header, _more(recall, calibration))]


def _spans(recall: BudgetRecall, calibration: Calibration) -> Sequence[Sequence[str]]:
    return [
        (kind, level, *(f"{share:.0%}" for share in shares.values()))
        for kind, levels in recall.by_span(calibration).items()
        for level, shares in levels.items()
    ]


def _more(recall: BudgetRecall, calibration: Calibration) -> Sequence[Sequence[str]]:
    each = [recall.by_kind(one) for one in (calibration, *recall.with_more.values())]
    return [
        (kind, level, *(f"{shares[kind][level]:.0%}" for shares in each))
        for kind, levels in each[0].items()
        for level in levels
    ]
