"""A line on the terminal for what takes long: that it goes on, for how long, and how far it is.

Rules:

- It is on stderr, only if that is a terminal, and only after a second: what is quick says nothing.
- It is rewritten in place without any escape sequence, and gone when the work is done.

Used by the commands and by the daemon's program, which both block.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from gettext import gettext as _
from typing import Final

from p2pchat.api.text import columns

FIRST_S: Final = 1.0
"""What takes less says nothing."""

_EVERY_S: Final = 0.5


@contextmanager
def waiting(doing: str, far: Callable[[], str] | None = None, *, visible: bool = True) -> Iterator[None]:
    """Say while the block lasts that ``doing`` goes on.

    Args:
        doing: such as ``Reading the backup``.
        far: how far it is, in a few words; called in a thread of its own.
        visible: False for who wants to read nothing.

    Concurrency: one at a time; the thread has ended when the block has.
    """
    if not visible or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    ended = threading.Event()
    teller = threading.Thread(target=_tell, args=(doing, far, ended), name="waiting", daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def _tell(doing: str, far: Callable[[], str] | None, ended: threading.Event) -> None:
    began = time.monotonic()
    shown = ""
    pause_s = FIRST_S
    while not ended.wait(pause_s):
        pause_s = _EVERY_S
        parts = [
            _("{doing}: {seconds} s").format(doing=doing, seconds=f"{time.monotonic() - began:.0f}"),
            *([far()] if far is not None else []),
        ]
        line = ", ".join(part for part in parts if part)
        sys.stderr.write(f"\r{line}{' ' * (columns(shown) - columns(line))}")
        sys.stderr.flush()
        shown = line
    if shown:
        sys.stderr.write(f"\r{' ' * columns(shown)}\r")
        sys.stderr.flush()
