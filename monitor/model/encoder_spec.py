"""How an encoder is called: a function from outside that gives a vector for each window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from monitor.features.log_mel_spec import LogMelSpec

EncoderInput = Literal["log-mel", "samples"]
EncoderEvidence = Literal["encoder", "both"]
MOST_NUMBERS = 2048
_MOST_AXES = 5


class EncoderSpec(BaseModel):
    """What the run time needs to call the encoder of a bundle.

    ``shape``: of the input for one window, with a batch of 1 where the encoder has one.
    ``transposed``: whether frames come before bands. ``n_numbers``: the length of the vector.
    ``level_db``: every window is brought to this level before, because a change of gain is not a
    fault. ``evidence``: whether the vector is the evidence, or both it and that of Auscult are.
    ``source``: the name of the file that the encoder was read from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: EncoderInput
    shape: tuple[Annotated[int, Field(ge=1, le=2**24)], ...] = Field(
        min_length=1, max_length=_MOST_AXES
    )
    transposed: bool = False
    n_numbers: int = Field(ge=1, le=MOST_NUMBERS)
    level_db: FiniteFloat
    evidence: EncoderEvidence
    source: str = Field(default="", max_length=255)

    @property
    def size(self) -> int:
        """How many numbers the encoder receives."""
        size = 1
        for length in self.shape:
            size *= length
        return size

    def problem(self, spec: LogMelSpec) -> str:
        """Why the input cannot be made of the windows of these features; empty if it can."""
        if self.input == "samples":
            if self.size <= spec.window_samples:
                return ""
            return f"needs {self.size} samples, a window has {spec.window_samples}"
        if self.size == spec.n_mels * spec.window_frames:
            return ""
        return (
            f"takes {self.shape}, a window has {spec.n_mels} bands and {spec.window_frames} frames"
        )


class Layout(BaseModel):
    """A way to give a window to an encoder: see ``EncoderSpec``."""

    model_config = ConfigDict(frozen=True)

    input: EncoderInput
    shape: tuple[int, ...]
    transposed: bool = False


def layout_for(
    axes: Sequence[int | None], spec: LogMelSpec, wanted: EncoderInput | None
) -> Layout | None:
    """The way that fits the input of a model; None if no way does.

    ``axes``: its lengths, None for one that is free. ``wanted``: the kind of input; without it, a
    model with one or two axes takes samples, and one with more log-mel. No way fits a model
    without axes, or with more than five.
    """
    if not 1 <= len(axes) <= _MOST_AXES:
        return None
    kind = wanted or ("samples" if len(axes) <= 2 or _is_one_channel(axes) else "log-mel")
    for layout in _of_samples(axes, spec) if kind == "samples" else _of_log_mel(len(axes), spec):
        if all(axis in {None, length} for axis, length in zip(axes, layout.shape, strict=True)):
            return layout
    return None


def _is_one_channel(axes: Sequence[int | None]) -> bool:
    """Whether it is a batch of one channel of samples: ``(B, 1, n)``."""
    return len(axes) == 3 and axes[1] == 1


def _of_samples(axes: Sequence[int | None], spec: LogMelSpec) -> Iterator[Layout]:
    """The newest samples of a window, or all of them where the length is free."""
    n_samples = axes[-1] or spec.window_samples
    if n_samples <= spec.window_samples:
        yield Layout(input="samples", shape=(*[1] * (len(axes) - 1), n_samples))


def _of_log_mel(n_axes: int, spec: LogMelSpec) -> Iterator[Layout]:
    bands, frames = spec.n_mels, spec.window_frames
    before = (1,) * (n_axes - 2)
    for transposed, size in ((False, (bands, frames)), (True, (frames, bands))):
        if n_axes >= 2:
            yield Layout(input="log-mel", shape=(*before, *size), transposed=transposed)
        if n_axes >= 3:  # with the channel last
            yield Layout(input="log-mel", shape=(*before[1:], *size, 1), transposed=transposed)
