"""What this node has refused its peers since it was unlocked, counted by kind; no peer is named, nothing is kept."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum, unique


@unique
class Refusal(StrEnum):
    """Why a peer was cut off, or a request of its refused."""

    CONNECTION_CROWDED = "connection.crowded"
    """A connection, for its address, its network or all strangers together have as many as they may."""
    CONNECTION_DISPLACED = "connection.displaced"
    """A stranger's connection was closed for another's, from where fewer come or because nothing went on on it."""
    CONNECTION_SURPLUS = "connection.surplus"
    """A connection was closed, for its peer had made too many; the oldest goes."""
    CONNECTION_OVERFULL = "connection.overfull"
    """A connection, for its peer sent more than this node holds unread."""
    CONNECTION_UNUSED = "connection.unused"
    """A connection of this node's own making was closed, for nothing went on on it and there were too many such."""
    HANDSHAKE_FAILED = "handshake.failed"
    """A connection was closed before its handshake was done: it was none, or the peer had gone."""
    HANDSHAKE_LATE = "handshake.late"
    """One whose handshake was not done in time."""
    HANDSHAKE_DISPLACED = "handshake.displaced"
    """One whose handshake had to make room for a newer one."""
    HANDSHAKE_PACED = "handshake.paced"
    """One had to wait before its handshake began, for there were too many or somebody there had been cut off."""
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
    STREAM_LATE = "stream.late"
    """A stream on which no protocol was agreed on in time."""
    STRANGER_PACED = "stranger.paced"
    """What a stranger brought had to wait, for strangers had brought too much."""
    STRANGER_REFUSED = "stranger.refused"
    """A message stream of a stranger's was reset, for it would have had to wait too long."""
    BUNDLE_REFUSED = "bundle.refused"
    """A request for a bundle was answered with none: it did not prove that it may have one."""
    ENVELOPE_REFUSED = "envelope.refused"
    """An envelope or first flight was answered with a Nack: nothing here opens it."""
    REQUEST_PACED = "request.paced"
    """A request to the DHT, or one of identify or ping, had to wait, for its peer, its network or all together had
    asked too much."""
    RECORD_REFUSED = "record.refused"
    """A record was not kept: it is wrong, too far from here, or there are too many."""
    WATCH_REFUSED = "watch.refused"
    """A watch was not granted, or ended, for there were too many, or its watcher did not take what came."""
    AUTONAT_REFUSED = "autonat.refused"
    """A peer was not told whether it is reached: it asks too often, or about what is not its own."""
    PUNCH_REFUSED = "punch.refused"
    """An invitation to meet half way was not taken: from no contact, or too often."""
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

    @property
    def is_paced(self) -> bool:
        """Whether the peer had to wait, and nothing was refused."""
        return self.value.endswith(".paced")


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
