"""How many files and sockets this process may have open at the same time.

What a process is started with is often 1,024, for the sake of programs that use ``select``; the system allows far more
to who asks. This one asks, as far as it has use for it: below its own bounds on connections a flood on the one side
would leave nothing for the other.
"""

from __future__ import annotations

import resource
from typing import Final

from p2pchat.base import limits

_UNBOUNDED: Final = resource.RLIM_INFINITY


def raise_open_files() -> int:
    """Raise this process's limit to ``OPEN_FILES``, or as far as the system allows; what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = limits.OPEN_FILES if hard == _UNBOUNDED else min(limits.OPEN_FILES, hard)
    if soft == _UNBOUNDED or soft >= allowed:
        return limits.OPEN_FILES if soft == _UNBOUNDED else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
