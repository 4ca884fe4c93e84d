"""The router that leads out of here, as Linux tells it."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final

_ROUTES: Final = Path("/proc/net/route")
_GATEWAY_FLAG: Final = 2


def default_gateway() -> str | None:
    """The IPv4 literal of the default route's gateway; None: there is none, or this is not Linux."""
    try:
        return parse_routes(_ROUTES.read_text("ascii"))
    except (OSError, UnicodeDecodeError):
        return None


def parse_routes(text: str) -> str | None:
    """The gateway of the default route with the least metric in what ``/proc/net/route`` holds.

    Columns: interface, destination, gateway, flags, references, uses, metric, mask, …; addresses in hexadecimal, in the
    machine's order of bytes, which is little-endian wherever this runs.
    """
    best: tuple[int, str] | None = None
    for line in text.splitlines()[1:]:
        columns = line.split()
        if len(columns) < 8:
            continue
        try:
            destination, gateway, flags, mask = (int(columns[index], 16) for index in (1, 2, 3, 7))
            metric, host = int(columns[6]), str(ipaddress.IPv4Address(gateway.to_bytes(4, "little")))
        except (ValueError, OverflowError):
            continue  # no line of this kind
        if destination == mask == 0 and flags & _GATEWAY_FLAG:
            best = min(best or (metric, host), (metric, host))
    return None if best is None else best[1]
