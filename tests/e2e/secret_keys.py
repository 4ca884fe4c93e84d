"""All secret key material of a profile, read from its store by the project's own code while its daemon runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from p2pchat.core.crypto import hmac_sha256
from p2pchat.core.keys import load_identity
from p2pchat.core.pair import load_pair
from p2pchat.core.prekeys import load_prekey
from p2pchat.core.ratchet_state import RatchetState
from p2pchat.core.session import load_session
from p2pchat.store import meta
from p2pchat.store.db import Tx
from p2pchat.store.erasable import value_of
from p2pchat.store.keyfile import read_key
from p2pchat.store.sqlite import connect

Named = Iterator[tuple[str, bytes]]


def secret_keys(profile: Path, passphrase: bytes | None = None) -> dict[bytes, str]:
    """Every secret of the profile in ``profile`` at this moment, with its name. The database key is not among them."""
    connection = connect(profile / "p2pchat.db", read_key(profile / "key", passphrase))
    try:
        tx = Tx(connection, 0)
        return {secret: name for part in _PARTS for name, secret in part(tx)}
    finally:
        connection.close()


def data_key(profile: Path, passphrase: bytes | None = None) -> bytes:
    """The database key: in plain in the key file of a profile without a passphrase, and nowhere else."""
    return read_key(profile / "key", passphrase)


def _own(tx: Tx) -> Named:
    profile = meta.load_profile(tx)
    identity = load_identity(profile.identity)
    yield "the root's seed", identity.root.secret
    yield "the device's seed", identity.device.secret
    yield "ik", identity.ik.secret
    yield "the node's seed", profile.node_seed
    yield "ask32", profile.ask
    for (secret,) in tx.all("SELECT secret FROM idsec"):
        yield "idsec", bytes(secret)
    for (secret,) in tx.all("SELECT ask FROM contact_peer WHERE ask IS NOT NULL"):
        yield "a contact's ask32", bytes(secret)


def _pairs(tx: Tx) -> Named:
    for (root,) in tx.all("SELECT root FROM pair_root"):
        yield "R", bytes(root)
    for state, idsec in tx.all("SELECT s.state, i.secret FROM pair_slot s JOIN idsec i ON i.era = s.era"):
        pair = load_pair(bytes(state), bytes(idsec))
        yield "R", pair.root
        yield "kenc", pair.slot.kenc
        yield "the gate's seed", pair.slot.gate.secret
        yield "the writer's seed", pair.own.writer.secret
        yield "eph", pair.own.eph.secret


def _prekeys(tx: Tx) -> Named:
    for (secret,) in tx.all("SELECT secret FROM spk"):
        yield "spk", bytes(secret)
    for (dumped,) in tx.all("SELECT secret FROM prekey"):
        prekey = load_prekey(value_of(dumped))
        yield "spk", prekey.spk.secret
        yield "the KEM's seed", prekey.kem_seed
        if prekey.opk is not None:
            yield "opk", prekey.opk.secret


def _proofs(tx: Tx) -> Named:
    for (key,) in tx.all("SELECT key FROM proof WHERE key IS NOT NULL"):
        yield "the key of an SMS code", bytes(key)


def _sessions(tx: Tx) -> Named:
    for core, skipped in tx.all("SELECT core, skipped FROM session"):
        yield from _ratchet(load_session(value_of(core), bytes(skipped)).ratchet)


def _ratchet(state: RatchetState) -> Named:
    yield "rk", state.rk
    yield "dhs", state.dhs.secret
    yield "nhks", state.nhks
    yield "nhkr", state.nhkr.key
    for chain in (state.sending, state.receiving):
        if chain is not None:
            yield "a header key", chain.header.key
            yield "a chain key", chain.key
            yield "a message key", hmac_sha256(chain.key, b"\x01")
    if state.sending is not None and state.sending.kem_seed is not None:
        yield "a KEM step's seed", state.sending.kem_seed
    for skipped in state.skipped:
        yield "a skipped key", skipped.key


_PARTS = (_own, _pairs, _prekeys, _proofs, _sessions)
