"""How errors that nobody expected are logged: a reference, the type and the place, never a value.

An exception's text and a traceback's locals may hold plaintext, keys or numbers; file and line do not.
"""

from __future__ import annotations

import traceback
from secrets import token_hex
from typing import cast

import structlog

log = structlog.get_logger()


def cause(error: BaseException) -> str:
    """The type name of the first real exception in ``error``."""
    return type(innermost(error)).__name__


def report_defect(error: BaseException) -> str:
    """Log a defect of ours; returns the reference under which it stands in the log."""
    error = innermost(error)
    reference = token_hex(4)
    frames = traceback.extract_tb(error.__traceback__)
    place = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames[-6:]))
    log.error("defect", ref=reference, error=type(error).__name__, place=place)
    return reference


def innermost(error: BaseException) -> BaseException:
    """The first real exception in ``error``, whatever groups are around it."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return innermost(group.exceptions[0])
    return error
