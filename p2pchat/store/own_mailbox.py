"""The own mailboxes at other nodes, and the keys that boxes in them are sealed for (PROTOCOL.md 6.1, 6.7).

Rules:

- A mailbox is here once its holder has granted it, or in the place of one that went with a node key. Contacts are told
  of one that is in use, with a token that the holder honours: of a new one only when it was granted.
- With a contact its mailboxes go: a node that may not know where this one is holds nothing for it.
- With a node key go the mailboxes at nodes that are no contact's: what they know it by is told under no other.
- A clock that was ahead prolongs no life: see :mod:`p2pchat.store.prekeys` and :mod:`p2pchat.store.ahead`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from p2pchat.base.ids import Address, PeerId
from p2pchat.base.limits import MAILBOX_KEYS, MAILBOXES_LEFT, OWN_MAILBOXES, OWN_MAILBOXES_ENDING
from p2pchat.core.crypto import Entropy, KeyPair, ed25519_pair, x25519_pair
from p2pchat.core.params import DAY_S, Params
from p2pchat.core.presence import Mailbox
from p2pchat.store import contact_peers, meta
from p2pchat.store.db import Row, Tx
from p2pchat.store.meta import decode_addresses, encode_addresses

_SELECT: Final = (
    "SELECT id, peer, addresses, contact, chosen, seed, token, earlier_token, earlier_until_s, granted_s, quota, "
    "heard_s, failed_s, ends_s FROM own_mailbox"
)
_AUTO: Final = "mailbox_auto"
_LEFT: Final = "mailbox_left"
_peers: Final = msgspec.msgpack.Decoder(list[bytes])
_HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True)
class OwnMailbox:
    """A mailbox of this node's owner.

    Attributes:
        id: row id; 0 of one that no holder has granted yet.
        peer: the holder.
        addresses: where the holder is dialled; the first is told to contacts.
        contact: whose node the holder is, as far as is known.
        chosen: by the user, not by this node.
        seed: 32 bytes, of the Ed25519 pair made for it.
        token: 32 bytes, which shall admit a deposit.
        earlier_token: one that does so until ``earlier_until_s`` (unix seconds).
        granted_s: when the holder last granted what is said here; None: never.
        quota: bytes of all boxes in it, as the holder says.
        heard_s: when the holder last answered anything.
        failed_s: for so many seconds of this node being online it has not.
        ends_s: it is told of no more, and emptied until then; None: in use.
    """

    id: int
    peer: PeerId
    addresses: tuple[Address, ...] = field(repr=False)
    contact: int | None
    chosen: bool
    seed: bytes = field(repr=False)
    token: bytes = field(repr=False)
    earlier_token: bytes | None = field(default=None, repr=False)
    earlier_until_s: int | None = None
    granted_s: int | None = None
    quota: int | None = None
    heard_s: int | None = None
    failed_s: int = 0
    ends_s: int | None = None

    def owner(self) -> KeyPair:
        """The Ed25519 pair that signs what the holder is asked."""
        return ed25519_pair(self.seed)

    def tokens(self, now_s: int) -> tuple[bytes, ...]:
        """Those that shall admit a deposit at ``now_s`` (unix seconds), the newest first."""
        earlier = self._earlier(now_s)
        return (self.token,) if earlier is None else (self.token, earlier)

    def honoured(self, now_s: int) -> bytes | None:
        """The token that the holder takes, as far as it has said."""
        return self.token if self.granted_s is not None else self._earlier(now_s)

    def _earlier(self, now_s: int) -> bytes | None:
        return self.earlier_token if now_s < (self.earlier_until_s or 0) else None


def make(peer: PeerId, addresses: tuple[Address, ...], entropy: Entropy, *, chosen: bool) -> OwnMailbox:
    """One to ask ``peer`` for, with a key and a token of its own."""
    return OwnMailbox(0, peer, addresses, None, chosen, entropy.bytes(32), entropy.bytes(32))


def keep(tx: Tx, mailbox: OwnMailbox) -> None:
    """A holder has granted ``mailbox``: it is in use from now on, also where it was being given up."""
    tx.execute(
        "INSERT INTO own_mailbox (peer, addresses, chosen, seed, token, granted_s, quota, heard_s) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6) ON CONFLICT (peer) DO UPDATE SET chosen = excluded.chosen, "
        "ends_s = NULL, failed_s = 0, heard_s = excluded.heard_s, "
        "granted_s = iif(token = excluded.token, excluded.granted_s, granted_s)",
        (
            *(bytes(mailbox.peer), encode_addresses(mailbox.addresses), mailbox.chosen, mailbox.seed, mailbox.token),
            *(tx.now_s, mailbox.quota),
        ),
    )
    name_contacts(tx)


def name_contacts(tx: Tx) -> None:
    """Note whose nodes the holders are by now: the mailboxes go with the contact."""
    for known in everyone(tx):
        theirs = contact_peers.of_node(tx, known.peer)
        if theirs and theirs[0].contact != known.contact:
            tx.execute("UPDATE own_mailbox SET contact = ? WHERE id = ?", (theirs[0].contact, known.id))


def everyone(tx: Tx) -> list[OwnMailbox]:
    """All, those that are being given up too, in the order in which they were granted."""
    return [_mailbox(row) for row in tx.all(_SELECT + " ORDER BY id")]


def in_use(tx: Tx) -> list[OwnMailbox]:
    """Those that are not being given up: what answers before what does not, told in this order."""
    rows = tx.all(f"{_SELECT} WHERE ends_s IS NULL ORDER BY failed_s / {_HOUR_S}, id")  # steady: each change is told
    return [_mailbox(row) for row in rows]


def get(tx: Tx, mailbox: int) -> OwnMailbox | None:
    row = tx.one(_SELECT + " WHERE id = ?", (mailbox,))
    return None if row is None else _mailbox(row)


def at(tx: Tx, peer: PeerId) -> OwnMailbox | None:
    """The one at the holder ``peer``."""
    row = tx.one(_SELECT + " WHERE peer = ?", (bytes(peer),))
    return None if row is None else _mailbox(row)


def _mailbox(row: Row) -> OwnMailbox:
    earlier = bytes(row[7]) if row[7] is not None else None
    known = (row[0], PeerId(row[1]), decode_addresses(row[2]), row[3], bool(row[4]), bytes(row[5]), bytes(row[6]))
    return OwnMailbox(*known, earlier, *row[8:])


def told(tx: Tx) -> tuple[Mailbox, ...]:
    """What presences tell: mailboxes in use, with a token that is honoured, at most 2. Source: PROTOCOL.md 3.4, 6.7."""
    found = [
        Mailbox(each.peer, each.addresses[0], token)
        for each in in_use(tx)
        if each.addresses and (token := each.honoured(tx.now_s)) is not None
    ]
    return tuple(found[:OWN_MAILBOXES])


# -- what holders say --------------------------------------------------------------------------------------------------


def granted(tx: Tx, sent: OwnMailbox, quota: int) -> bool:
    """The holder has granted what stood in ``sent``; whether contacts are to be told something new."""
    known = get(tx, sent.id)
    if known is None or known.token != sent.token:
        return False  # given up, or drawn anew, meanwhile
    tx.execute("UPDATE own_mailbox SET granted_s = ?, quota = ? WHERE id = ?", (tx.now_s, quota, sent.id))
    if (known.earlier_until_s or 0) <= tx.now_s:
        tx.execute("UPDATE own_mailbox SET earlier_token = NULL, earlier_until_s = NULL WHERE id = ?", (sent.id,))
    return known.granted_s is None


def refused(tx: Tx, mailbox: int) -> bool:
    """The holder does not renew it: no token is told any more; whether one was."""
    known = get(tx, mailbox)
    if known is None or known.honoured(tx.now_s) is None:
        return False
    tx.execute(
        "UPDATE own_mailbox SET granted_s = NULL, earlier_token = NULL, earlier_until_s = NULL WHERE id = ?", (mailbox,)
    )
    return True


def is_due(mailbox: OwnMailbox, since_s: int, now_s: int, params: Params) -> bool:
    """Whether Grant is: new, a day old, of before ``since_s``, with a token that is over, or of a clock that was ahead.

    Args:
        since_s: when the bundle was made, unix seconds.
    """
    granted_s, until_s = mailbox.granted_s, mailbox.earlier_until_s
    if granted_s is None or granted_s < since_s or (until_s is not None and until_s <= now_s):
        return True
    return not now_s - DAY_S < granted_s <= now_s + params.skew_s


def heard(tx: Tx, mailbox: int) -> None:
    """The holder has answered."""
    tx.execute("UPDATE own_mailbox SET heard_s = ?, failed_s = 0 WHERE id = ?", (tx.now_s, mailbox))


def failed(tx: Tx, mailbox: int, seconds: int) -> None:
    """The holder has not answered for so many seconds more."""
    tx.execute("UPDATE own_mailbox SET failed_s = failed_s + ? WHERE id = ?", (seconds, mailbox))


def set_addresses(tx: Tx, mailbox: int, addresses: tuple[Address, ...]) -> None:
    tx.execute("UPDATE own_mailbox SET addresses = ? WHERE id = ?", (encode_addresses(addresses), mailbox))


# -- what ends ---------------------------------------------------------------------------------------------------------


def give_up(tx: Tx, mailbox: int, params: Params) -> None:
    """Tell of it no more, and empty it for as long as a record that told of it is kept. The oldest beyond the bound go.

    Source: PROTOCOL.md 6.6.
    """
    tx.execute("UPDATE own_mailbox SET ends_s = ? WHERE id = ?", (tx.now_s + params.record_ttl_s, mailbox))
    tx.execute(
        "DELETE FROM own_mailbox WHERE ends_s IS NOT NULL AND id NOT IN "
        "(SELECT id FROM own_mailbox WHERE ends_s IS NOT NULL ORDER BY ends_s DESC, id DESC LIMIT ?)",
        (OWN_MAILBOXES_ENDING,),
    )


def forget(tx: Tx, mailbox: int) -> None:
    tx.execute("DELETE FROM own_mailbox WHERE id = ?", (mailbox,))


def part(tx: Tx, contact: int) -> None:
    """Give up at once what a contact's node holds. Source: PROTOCOL.md 6.6."""
    tx.execute("DELETE FROM own_mailbox WHERE contact = ?", (contact,))


def leave_strangers(tx: Tx, entropy: Entropy) -> None:
    """Under another node key: drop what nodes hold that are no contact's. Where the user chose the node another mailbox
    is wanted, with a key and token of its own; the others are not chosen again.

    Source: PROTOCOL.md 6.7.
    """
    blocked = contact_peers.blocked(tx)
    strangers = [
        each for each in everyone(tx) if each.peer in blocked or not contact_peers.is_of_matched(tx, each.peer)
    ]
    for known in strangers:
        tx.execute("DELETE FROM own_mailbox WHERE id = ?", (known.id,))
        if known.chosen and known.ends_s is None and known.peer not in blocked:
            keep(tx, make(known.peer, known.addresses, entropy, chosen=True))
            tx.execute("UPDATE own_mailbox SET granted_s = NULL, heard_s = NULL WHERE peer = ?", (bytes(known.peer),))
    unchosen = [bytes(each.peer) for each in strangers if not each.chosen]
    if unchosen:
        before = [bytes(peer) for peer in left(tx)]
        peers = list(dict.fromkeys([*unchosen, *before]))[:MAILBOXES_LEFT]
        meta.put(tx, _LEFT, msgspec.msgpack.encode(peers))


def left(tx: Tx) -> list[PeerId]:
    """Holders that this node had chosen under an earlier node key, the last first."""
    stored = meta.get(tx, _LEFT)
    return [PeerId(peer) for peer in _peers.decode(stored)] if stored is not None else []


def prune(tx: Tx, params: Params, *, may_be_behind: bool = False) -> None:
    """Forget what has had its life: keys, and mailboxes that were given up and whose holder was not reached since.

    Args:
        may_be_behind: the clock; then keys that are ahead of it stay.
    """
    now_s, ahead_s = tx.now_s, tx.now_s + params.skew_s
    longest_s = params.record_ttl_s
    tx.execute("DELETE FROM own_mailbox WHERE ends_s <= ?", (now_s - DAY_S,))
    tx.execute("UPDATE own_mailbox SET ends_s = ? WHERE ends_s > ?", (now_s + longest_s, ahead_s + longest_s))
    # a table of one page: what is deleted there has never moved
    oldest_s = now_s - params.mailbox_key_kept_s
    tx.execute("DELETE FROM mailbox_key WHERE made_s <= ?", (oldest_s,))
    if not may_be_behind:
        tx.execute("DELETE FROM mailbox_key WHERE made_s > ?", (ahead_s,))
    tx.execute(
        "DELETE FROM mailbox_key WHERE made_s NOT IN (SELECT made_s FROM mailbox_key ORDER BY made_s DESC LIMIT ?)",
        (MAILBOX_KEYS,),
    )


# -- tokens and keys ---------------------------------------------------------------------------------------------------


def draw_tokens(tx: Tx, entropy: Entropy, kept_s: int) -> None:
    """New tokens; those that are honoured now stay good for ``kept_s`` seconds. Source: PROTOCOL.md 6.7."""
    for known in everyone(tx):
        earlier = known.honoured(tx.now_s) if kept_s else None
        until_s = tx.now_s + kept_s if earlier is not None else None
        tx.execute(
            "UPDATE own_mailbox SET token = ?, granted_s = NULL, earlier_token = ?, earlier_until_s = ? WHERE id = ?",
            (entropy.bytes(32), earlier, until_s, known.id),
        )


def draw_key(tx: Tx, entropy: Entropy, params: Params) -> KeyPair:
    """A new X25519 pair that boxes are sealed for; those before it go on opening what was sealed for them."""
    last = tx.one(
        "SELECT made_s FROM mailbox_key WHERE made_s <= ? ORDER BY made_s DESC LIMIT 1", (tx.now_s + params.skew_s,)
    )
    made_s = max(tx.now_s, 0 if last is None else last[0] + 1)
    secret = entropy.bytes(32)
    tx.execute("INSERT OR REPLACE INTO mailbox_key VALUES (?, ?)", (made_s, secret))
    return x25519_pair(secret)


def newest_key(tx: Tx, entropy: Entropy, params: Params) -> KeyPair:
    """The pair that boxes are to be sealed for; a new one where it is a week old. Source: PROTOCOL.md 1."""
    row = tx.one(
        "SELECT secret FROM mailbox_key WHERE made_s BETWEEN ? AND ? ORDER BY made_s DESC LIMIT 1",
        (tx.now_s - params.mailbox_key_life_s + 1, tx.now_s + params.skew_s),
    )
    return draw_key(tx, entropy, params) if row is None else x25519_pair(bytes(row[0]))


def kept_keys(tx: Tx) -> tuple[KeyPair, ...]:
    """Every pair that a box may be sealed for, the newest first, within the bound."""
    rows = tx.all("SELECT secret FROM mailbox_key ORDER BY made_s DESC LIMIT ?", (MAILBOX_KEYS,))
    return tuple(x25519_pair(bytes(row[0])) for row in rows)


# -- what the user wants -----------------------------------------------------------------------------------------------


def auto(tx: Tx) -> bool:
    """Whether this node chooses mailboxes by itself."""
    return meta.get(tx, _AUTO) is not None


def set_auto(tx: Tx, *, on: bool) -> None:
    if on:
        meta.put(tx, _AUTO, b"\1")
    else:
        meta.forget(tx, _AUTO)
