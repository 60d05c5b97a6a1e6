"""Which channel of a source or recording to use. Settings need it, without numpy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

Channel = Annotated[int, Field(strict=True, ge=0, lt=64)] | Literal["mix"]
"""Which channel to use, counted from 0, or ``"mix"``, the mean of all."""
