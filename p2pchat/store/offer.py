"""For whom this node holds mailboxes, and how much: what its user offers."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from p2pchat.base.limits import MAILBOX_TOTAL_BYTES
from p2pchat.store import meta
from p2pchat.store.db import Tx

OfferedTo = Literal["contacts", "anyone", "nobody"]

_KEY: Final = "mailbox_offer"


class Offer(msgspec.Struct, frozen=True, array_like=True):
    """Nothing, as long as the user says nothing. ``quota``: bytes of all boxes."""

    to: OfferedTo = "nobody"
    quota: int = MAILBOX_TOTAL_BYTES


_offer: Final = msgspec.msgpack.Decoder(Offer)


def load(tx: Tx) -> Offer:
    data = meta.get(tx, _KEY)
    return Offer() if data is None else _offer.decode(data)


def save(tx: Tx, offer: Offer) -> None:
    meta.put(tx, _KEY, msgspec.msgpack.encode(offer))
