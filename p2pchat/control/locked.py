"""What a locked node answers: the error, and what is left of ``node.hello`` and ``node.status``.

Nothing that stands in the database is known then. It is null, empty or 0, whichever its field can be.
"""

from __future__ import annotations

import time
from typing import Final

import p2pchat
from p2pchat.api import objects, schema
from p2pchat.base.errors import UsageError
from p2pchat.core.access import Mode

_FEATURES: Final = ("events.replay", "idempotency", "consumers", "discover", "config", "events.log")


def locked() -> UsageError:
    """LOCKED, and what to do about it."""
    return UsageError("The node is locked; open it with: p2pchat unlock", name="LOCKED")


def hello(profile: str) -> objects.Hello:
    """``node.hello`` but for the event log."""
    return objects.Hello(
        api=objects.ApiVersion(major=schema.API_MAJOR, minor=schema.API_MINOR),
        node=f"p2pchat/{p2pchat.__version__}",
        profile=profile,
        log=None,
        head=0,
        oldest=0,
        features=list(_FEATURES),
    )


def status(profile: str, started: float, mode: Mode) -> objects.Status:
    """``node.status`` without keys, contacts and network.

    Args:
        started: when the daemon did, on the monotonic clock.
        mode: as it is configured.
    """
    return objects.Status(
        profile=profile,
        number=None,
        name="",
        locked=True,
        uptime_s=int(time.monotonic() - started),
        peer_id="",
        addresses=[],
        peers=0,
        contacts=objects.ContactCounts(matched=0, pending=0, requests=0),
        outbox=0,
        held=0,
        reachability="none",
        clock_ok=True,
        version=p2pchat.__version__,
        replaced_ms=None,
        alone=None,
        proxy=False,
        mode=mode,
        disk=None,
    )
