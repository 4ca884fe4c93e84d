"""What a device that was replaced refuses: whatever changes anything or needs the network (PROTOCOL.md 5.3)."""

from __future__ import annotations

import time

from p2pchat.api.replaced import ADVICE
from p2pchat.base.errors import UsageError


def refuse_if_replaced(replaced_ms: int | None) -> None:
    """Nothing, unless there is a newer device, made at ``replaced_ms`` (unix ms).

    Raises:
        UsageError: FORBIDDEN, and what to do about it.
    """
    if replaced_ms is None:
        return
    raise UsageError(in_words(replaced_ms), name="FORBIDDEN", data={"replaced_ms": replaced_ms})


def in_words(replaced_ms: int) -> str:
    """What has happened, and what to do."""
    return f"A newer device of yours is in use since {date_of(replaced_ms)}; {ADVICE}"


def date_of(replaced_ms: int) -> str:
    """When that was, as it is said."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(replaced_ms / 1000))
