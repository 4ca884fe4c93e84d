"""Logs: to stderr, JSON unless it is a terminal, and only keys of an allow-list.

An event name is a fixed text of ours; a value is a count, a type name, a place in the code or a reference. Plaintext,
keys, numbers, full ids and addresses have no key here, so a careless call loses its value instead of leaking it.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from p2pchat.base.ids import OpaqueId

ALLOWED: Final = frozenset(
    {"event", "level", "timestamp", "error", "ref", "place", "count", "port", "signal", "version", "protocol", "reason"}
)
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def allow_list(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Drop every key that is not allowed and say that it happened."""
    kept = {key: value for key, value in event.items() if key in ALLOWED or _is_short(key, value)}
    dropped = event.keys() - kept.keys()
    if dropped:
        kept["reason"] = "a key that may not be logged was dropped"
    return kept


def _is_short(key: str, value: object) -> bool:
    """A peer may be named by an id whose text is four hex digits, and in no other form."""
    return key == "peer" and isinstance(value, OpaqueId)


def configure(level: str, style: str) -> None:
    """Set up logging for the process, or change it while it runs.

    Args:
        level: debug, info, warning or error.
        style: text, json, or empty for whatever suits stderr.
    """
    renderer: Processor = structlog.processors.JSONRenderer(default=str)
    if style == "text" or (not style and sys.stderr.isatty()):
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            allow_list,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    # libraries log addresses, peer ids and value bytes: their lines are not ours to promise anything about
    logging.disable(logging.CRITICAL)
