"""What this node has refused its peers since it was unlocked, counted by kind; no peer is named, nothing is kept."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum, unique


@unique
class Refusal(StrEnum):
    """Why a peer was cut off, or a request of its refused."""

    STREAM_MALFORMED = "stream.malformed"
    """A message stream was reset for what is not of the protocol."""
    STREAM_EXCESSIVE = "stream.excessive"
    """A message stream, and its connection, for work without use beyond the peer's allowance."""
    STREAM_SURPLUS = "stream.surplus"
    """A stream of any protocol, for there were too many at once."""
    STREAM_STALLED = "stream.stalled"
    """A message stream whose peer has not read, or acknowledged nothing, for too long."""
    STREAM_UNFINISHED = "stream.unfinished"
    """A message stream of a stranger, for a frame that was not complete in time, or while there were too many such."""
    MAILBOX_MALFORMED = "mailbox.malformed"
    """A stream to this node's mailboxes was reset for what is not of the protocol."""
    MAILBOX_UNFINISHED = "mailbox.unfinished"
    """A stream to them was reset for a request that was not complete in time, or while there were too many such."""
    MAILBOX_REFUSED = "mailbox.refused"
    """A request to them was refused: a wrong signature, an unknown token or owner, or what is not offered."""
    MAILBOX_FULL = "mailbox.full"
    """A box or a mailbox was refused for want of space."""
    MAILBOX_TOO_OFTEN = "mailbox.too_often"
    """A request was refused, for the peer had asked for too much."""
    MAILBOX_EXCESSIVE = "mailbox.excessive"
    """A stream to them, and its connection, for going on nevertheless."""
    RELAY_MALFORMED = "relay.malformed"
    """A request to relay was none."""
    RELAY_REFUSED = "relay.refused"
    """A reservation or a circuit was refused: there are too many, or the one asked for is not to be had."""
    RELAY_TOO_OFTEN = "relay.too_often"
    """A stream was reset, for its peer's network had asked for too much."""
    RELAY_OVERDRAWN = "relay.overdrawn"
    """A circuit was ended at the limits that both of its ends were told."""
    CONNECTION_DENIED = "connection.denied"
    """A connection was refused or closed, for a rule of the user's or the mode."""
    STREAM_DENIED = "stream.denied"
    """A stream, for its protocol is served to contacts alone."""
    CONNECTION_EXCESSIVE = "connection.excessive"
    """A connection, for streams and control frames of Yamux beyond its allowance."""


class Refusals:
    """How often each has happened.

    Args:
        tell: called with a kind and its count each time that has doubled: who provokes many writes few lines.
    """

    def __init__(self, tell: Callable[[Refusal, int], None] | None = None) -> None:
        self._counts = dict.fromkeys(Refusal, 0)
        self._tell = tell

    def note(self, kind: Refusal) -> None:
        """Count one."""
        count = self._counts[kind] = self._counts[kind] + 1
        if self._tell is not None and count & (count - 1) == 0:
            self._tell(kind, count)

    def __getitem__(self, kind: Refusal) -> int:
        return self._counts[kind]

    def counts(self) -> dict[str, int]:
        """By name, those that never happened too."""
        return {kind.value: count for kind, count in self._counts.items()}
