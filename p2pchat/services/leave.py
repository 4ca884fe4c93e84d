"""Leave one frame for a contact who is away, in a box at a mailbox of theirs (PROTOCOL.md 6.3, 6.5)."""

from __future__ import annotations

from dataclasses import dataclass, field

from p2pchat.base.errors import DecodeError, NetError
from p2pchat.base.ids import PeerId
from p2pchat.core.crypto import blake2b_plain
from p2pchat.core.mailbox import Custody, Deposit, is_custody, seal_box
from p2pchat.core.presence import Mailbox
from p2pchat.core.wire import Frame, encode_frame
from p2pchat.net.mailbox import Visit
from p2pchat.services.context import Context


@dataclass(frozen=True, slots=True)
class Receipt:
    """A holder's word that it keeps a box.

    Attributes:
        holder: whose word it is.
        until_s: unix seconds.
        proof: BLAKE2b-32 of the box ‖ the holder's signature, 96 bytes.
    """

    holder: PeerId
    until_s: int
    proof: bytes = field(repr=False)


async def leave(context: Context, visit: Visit, mailbox: Mailbox, key: bytes, frame: Frame, until_s: int) -> Receipt:
    """Deposit ``frame`` in ``mailbox``, with whose holder ``visit`` is.

    Args:
        key: the owner's X25519 key, 32 bytes.
        until_s: until when it shall be held, in unix seconds.

    Raises:
        NetError: the holder is gone, or refused (:class:`~p2pchat.net.mailbox.MailboxRefused`).
        PeerError: what it said is no custody of this box, or one of less than half the time; or nothing can be sealed
            for this key.

    Source: PROTOCOL.md 6.3.
    """
    box = seal_box(encode_frame(frame), key, context.entropy)
    now_s = int(context.now())
    if until_s <= now_s:
        raise NetError("It took too long.")
    said = await visit.ask(Deposit(mailbox.token, until_s - now_s, box), Custody)
    if not until_s - (until_s - now_s) // 2 <= said.until <= until_s + context.params.skew_s:
        raise DecodeError("a custody that ends when none may")
    if not is_custody(said, box, mailbox.peer_id):
        raise DecodeError("a custody that the holder has not signed")
    return Receipt(mailbox.peer_id, said.until, blake2b_plain(box, 32) + said.signature)
