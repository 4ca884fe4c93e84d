"""Leave what waits for a contact that is away in boxes at its mailboxes (PROTOCOL.md 6.5)."""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.services.context import Context


async def leave_acks(context: Context, contact: int, acks: Sequence[tuple[bytes, bytes]]) -> None:
    """Placeholder until the depositor's side is there: the acks are lost, and the contact's repetition is answered."""
    del context, contact, acks
