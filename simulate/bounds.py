"""Bounds of what nodes hold for others, low enough that weeks of a few people reach them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from unittest.mock import patch

from p2pchat.services import depositors, desk

OWNER_BYTES: Final = 1 << 20
"""Of the boxes in one mailbox: two of the largest."""

_ONE_BYTES: Final = 3 << 18  # of one prefix in it, so that there is room for somebody else


@contextmanager
def small_mailboxes() -> Generator[None]:
    """For what is run inside."""
    with (
        patch.object(desk, "MAILBOX_OWNER_BYTES", OWNER_BYTES),
        patch.object(depositors, "MAILBOX_PREFIX_BYTES", _ONE_BYTES),
    ):
        yield
