"""What is said of a device that was replaced, wherever it is said."""

from __future__ import annotations

from typing import Final

from p2pchat.api.language import marked

ADVICE: Final = marked(
    "this one neither sends nor receives any more. Use that one, or make this one the newest: "
    "p2pchat backup create FILE, p2pchat wipe, p2pchat backup restore FILE"
)
"""Follows a clause that says that there is a newer one."""
