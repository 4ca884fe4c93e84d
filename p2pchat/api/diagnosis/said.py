"""One row of the doctor's table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Said:
    """How bad something is, what is so, and what to do, which is empty where there is nothing to do."""

    state: State
    text: str = field(repr=False)
    advice: str = field(default="", repr=False)
