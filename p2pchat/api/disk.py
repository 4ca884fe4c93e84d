"""The states of ``Status.disk`` in words, each with what follows from it."""

from __future__ import annotations

from typing import Final

from p2pchat.api.language import marked

ADVICE: Final = {
    "slow": marked("the disk is slow: everything is stored, but late"),
    "full": marked("the disk is full: nothing new is taken on until there is room; what there is stays"),
    "read_only": marked("the disk can only be read: nothing new is taken on until it can be written"),
    "failing": marked("the disk refuses what is written: nothing new is taken on; look into the system's log"),
    "damaged": marked("the database is damaged: the daemon ends; see what can be saved with: p2pchat doctor --fix"),
}
"""``ok`` has none."""
