"""Single values: who this node is and where it listened."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from p2pchat.base.errors import Corrupt
from p2pchat.base.ids import Address
from p2pchat.store.db import Tx


class Profile(msgspec.Struct, frozen=True, array_like=True):
    """What ``init`` makes and nothing but a new identity changes. Secrets are kept encrypted with the database.

    Args:
        name: what the owner calls themselves; shown to nobody yet.
        number: E.164, or empty for a node without one.
        region: two letters for local forms of numbers, or empty.
        identity: as :func:`p2pchat.core.keys.dump_identity` made it.
        node_seed: 32-byte Ed25519 seed of the libp2p key.
        ask: ask32 of PROTOCOL.md 4.1.
        store_id: 8 random bytes in front of every local message id.
    """

    name: str
    number: str
    region: str
    identity: bytes
    node_seed: Annotated[bytes, Meta(min_length=32, max_length=32)]
    ask: Annotated[bytes, Meta(min_length=32, max_length=32)]
    store_id: Annotated[bytes, Meta(min_length=8, max_length=8)]

    def __repr__(self) -> str:
        return "Profile(…)"


class Before(msgspec.Struct, frozen=True, array_like=True):
    """What the devices of this root before this one had: the highest epoch_ms that anybody may have seen (0: there was
    none), and the highest number of an own presence that any contact may hold.

    ``given_up_ms``: epoch_ms of those that this profile itself has replaced, since a clock that was ahead dated them.
    """

    epoch_ms: int = 0
    presence_n: int = 0
    given_up_ms: tuple[int, ...] = ()


_before: Final = msgspec.msgpack.Decoder(Before)
_epoch_ms: Final = msgspec.msgpack.Decoder(int)
_profile: Final = msgspec.msgpack.Decoder(Profile)
_listening: Final = msgspec.msgpack.Decoder(tuple[bytes, bytes])
_addresses: Final = msgspec.msgpack.Decoder(list[bytes])


def get(tx: Tx, key: str) -> bytes | None:
    row = tx.one("SELECT value FROM meta WHERE key = ?", (key,))
    return None if row is None else bytes(row[0])


def put(tx: Tx, key: str, value: bytes) -> None:
    tx.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value))


def forget(tx: Tx, key: str) -> None:
    tx.execute("DELETE FROM meta WHERE key = ?", (key,))


def save_profile(tx: Tx, profile: Profile) -> None:
    put(tx, "profile", msgspec.msgpack.encode(profile))


def load_profile(tx: Tx) -> Profile:
    """Raises: Corrupt: the database holds none, so ``init`` never finished or the file is damaged."""
    data = get(tx, "profile")
    if data is None:
        raise Corrupt("The database holds no profile.")
    return _profile.decode(data)


def save_before(tx: Tx, before: Before) -> None:
    put(tx, "before", msgspec.msgpack.encode(before))


def load_before(tx: Tx) -> Before:
    data = get(tx, "before")
    return Before() if data is None else _before.decode(data)


def save_replaced(tx: Tx, epoch_ms: int) -> None:
    """Note that a newer device of the same root is in use, and its epoch_ms (PROTOCOL.md 5.3)."""
    put(tx, "replaced", msgspec.msgpack.encode(epoch_ms))


def load_replaced(tx: Tx) -> int | None:
    """epoch_ms of the device that has replaced this one, None as long as it is the newest."""
    data = get(tx, "replaced")
    return None if data is None else _epoch_ms.decode(data)


def save_listening(tx: Tx, asked: tuple[Address, ...], bound: tuple[Address, ...]) -> None:
    """Remember what was bound when ``asked`` was asked for: Reach names the port, so a restart must have it again."""
    put(tx, "listening", msgspec.msgpack.encode((encode_addresses(asked), encode_addresses(bound))))


def forget_listening(tx: Tx) -> None:
    """Listen anew where the system chose."""
    forget(tx, "listening")


def load_listening(tx: Tx, asked: tuple[Address, ...]) -> tuple[Address, ...]:
    """What was bound last, if the same was asked for; else nothing."""
    data = get(tx, "listening")
    if data is None:
        return ()
    known, bound = _listening.decode(data)
    return decode_addresses(bound) if decode_addresses(known) == asked else ()


def save_relays(tx: Tx, circuits: tuple[Address, ...]) -> None:
    """Remember through whom this node is reached, by the addresses of the circuits."""
    put(tx, "relays", encode_addresses(circuits))


def forget_relays(tx: Tx) -> None:
    """Find others next time."""
    forget(tx, "relays")


def load_relays(tx: Tx) -> tuple[Address, ...]:
    """The circuits that were remembered last."""
    data = get(tx, "relays")
    return () if data is None else decode_addresses(data)


def encode_addresses(addresses: tuple[Address, ...]) -> bytes:
    return msgspec.msgpack.encode([bytes(address) for address in addresses])


@lru_cache(maxsize=4_096)  # contacts' nodes, and those that were known before, are read again and again
def decode_addresses(data: bytes) -> tuple[Address, ...]:
    return tuple(Address(address) for address in _addresses.decode(data))
