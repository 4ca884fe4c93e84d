"""What nodes do again and again, done rarely: so that weeks of a network pass in minutes.

Upkeep is no part of the protocol: the constants that both ends share stay as they are (:class:`~p2pchat.core.params.
Params`). What is made rarer is how soon a silent death is noticed and how often tables are looked over.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Final
from unittest.mock import patch

from p2pchat.base import limits
from p2pchat.services import herald, join, link, presence

_HOUR_S: Final = 3_600.0


@contextmanager
def rare_upkeep() -> Generator[None]:
    """Pings every half an hour, and tables looked over every quarter of one, for what is run inside."""
    with ExitStack() as stack:
        for module, name, seconds in (
            (link, "HEARTBEAT_S", _HOUR_S / 2),
            (link, "SILENCE_S", _HOUR_S),
            (limits, "REFRESH_CHECK_S", _HOUR_S / 4),
            (limits, "REFRESH_AFTER_S", 6 * _HOUR_S),
            (join, "ALONE_CHECK_S", _HOUR_S / 6),
            (presence, "_CHECK_S", _HOUR_S / 6),
            (herald, "_CHECK_S", _HOUR_S / 6),
        ):
            stack.enter_context(patch.object(module, name, seconds))
        stack.enter_context(patch.object(link, "_PINGS_A_PROBE", 1))
        yield
