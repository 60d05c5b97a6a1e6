"""The section of the report about changes between days."""

from __future__ import annotations

from monitor.offline.html_page import Html, paragraph, table
from training.sound.variation_choice import VariationChoice

_ABOUT = (
    "A machine sounds a little different on other days. A few seconds of some recordings were "
    "altered in this way. A change was added to the healthy variation if held-out recordings "
    "became more likely by it, by more than chance. A size in dB of noise or reverberation is "
    "relative to the machine. Log-likelihood: per value of the evidence, each change after those "
    "above it."
)


def variation_parts(variation: VariationChoice) -> list[Html]:
    """Which changes were added, how large they are and why."""
    if not variation.kept and not variation.left_out:
        return [paragraph(f"Not added: {variation.reason}.")]
    rows = [
        (kept.change.name, f"{kept.change.size:g} {kept.change.unit}", f"{kept.gain:+.4f}")
        for kept in variation.kept
    ]
    rows += [(name, "not added", "not certainly higher") for name in variation.left_out]
    return [
        paragraph(f"{_ABOUT} Here: {variation.reason}."),
        table(("change", "size", "held-out log-likelihood"), rows),
    ]
