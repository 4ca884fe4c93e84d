"""Trio's order of runnable tasks, made to follow a seed."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import trio._core._run as trio_run

_ALLOW: Final = "_ALLOW_DETERMINISTIC_SCHEDULING"


@contextmanager
def fixed_schedule(seed: int) -> Generator[None]:
    """Make trio's order of runnable tasks follow ``seed`` for what is run inside; it is random otherwise."""
    # trio keeps this behind private names for its own tests and Hypothesis.
    generator: random.Random = trio_run._r  # pyright: ignore[reportPrivateUsage]
    allowed, state = getattr(trio_run, _ALLOW), generator.getstate()
    setattr(trio_run, _ALLOW, True)
    generator.seed(seed)
    try:
        yield
    finally:
        setattr(trio_run, _ALLOW, allowed)
        generator.setstate(state)
