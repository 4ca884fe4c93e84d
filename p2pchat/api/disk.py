"""The states of ``Status.disk`` in words, each with what follows from it."""

from __future__ import annotations

from typing import Final

ADVICE: Final = {
    "slow": "the disk is slow: everything is stored, but late",
    "full": "the disk is full: nothing new is taken on until there is room; what there is stays",
    "read_only": "the disk can only be read: nothing new is taken on until it can be written",
    "failing": "the disk refuses what is written: nothing new is taken on; look into the system's log",
    "damaged": "the database is damaged: the daemon ends; see what can be saved with: p2pchat doctor --fix",
}
"""``ok`` has none."""
