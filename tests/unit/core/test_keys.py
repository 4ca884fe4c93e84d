"""Certificates and the identity of this node (PROTOCOL.md 1)."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgpack
import nacl.signing
import pytest

from p2pchat.base.errors import Corrupt, DecodeError, HandshakeError
from p2pchat.core.keys import Identity, create_identity, dump_identity, load_identity, open_cert
from p2pchat.testing.entropy import SeededEntropy
from tests.vectors.independent_session import pack

NOW_MS = 1_800_000_000_000


@pytest.fixture
def identity() -> Identity:
    return create_identity(SeededEntropy(1), NOW_MS)


@dataclass
class Forger:
    """Certificates by the independent library, one thing at a time wrong."""

    root: nacl.signing.SigningKey = field(default_factory=lambda: nacl.signing.SigningKey(b"r" * 32))
    device: nacl.signing.SigningKey = field(default_factory=lambda: nacl.signing.SigningKey(b"d" * 32))
    version: object = 1
    epoch_ms: object = NOW_MS
    ik: bytes = b"i" * 32
    root_label: bytes = b"p2pchat/1 device\0"
    device_label: bytes = b"p2pchat/1 member\0"
    extra: tuple[object, ...] = ()

    def cert(self) -> bytes:
        root_public, device_public = bytes(self.root.verify_key), bytes(self.device.verify_key)
        c = pack([self.version, root_public, self.epoch_ms, device_public, self.ik, *self.extra])
        by_root = self.root.sign(self.root_label + c).signature
        by_device = self.device.sign(self.device_label + c).signature
        return pack([c, by_root, by_device])


def test_an_own_cert_opens(identity: Identity) -> None:
    assert open_cert(identity.cert.raw, NOW_MS) == identity.cert
    assert identity.cert.root == identity.root.public
    assert (identity.cert.device, identity.cert.ik) == (identity.device.public, identity.ik.public)
    assert identity.cert.epoch_ms == NOW_MS


def test_an_independent_cert_opens() -> None:
    forger = Forger()
    cert = open_cert(forger.cert(), NOW_MS)
    assert (bytes(cert.root), bytes(cert.device)) == (bytes(forger.root.verify_key), bytes(forger.device.verify_key))
    assert (cert.epoch_ms, cert.ik) == (NOW_MS, b"i" * 32)
    assert msgpack.unpackb(cert.raw)[0] == cert.c


@pytest.mark.parametrize(
    "forger",
    [
        Forger(root_label=b"p2pchat/1 device"),
        Forger(root_label=b"p2pchat/1 member\0"),
        Forger(device_label=b"p2pchat/1 device\0"),
        Forger(device_label=b"dcd1/card\0"),
        Forger(epoch_ms=NOW_MS + 600_001),
    ],
    ids=["root label", "root label of the other", "device label of the other", "device label", "future"],
)
def test_a_cert_is_refused(forger: Forger) -> None:
    with pytest.raises(HandshakeError):
        open_cert(forger.cert(), NOW_MS)


def test_a_clock_may_be_ten_minutes_behind() -> None:
    assert open_cert(Forger(epoch_ms=NOW_MS + 600_000).cert(), NOW_MS).epoch_ms == NOW_MS + 600_000


@pytest.mark.parametrize(
    "forger",
    [
        Forger(version=2),
        Forger(version=True),
        Forger(epoch_ms=0),
        Forger(epoch_ms=-1),
        Forger(epoch_ms=float(NOW_MS)),
        Forger(ik=b"i" * 31),
        Forger(extra=(1,)),
    ],
    ids=["version", "version as bool", "epoch 0", "epoch negative", "epoch float", "short ik", "extra field"],
)
def test_a_malformed_cert_is_refused(forger: Forger) -> None:
    with pytest.raises(DecodeError):
        open_cert(forger.cert(), NOW_MS)


@pytest.mark.parametrize("part", [1, 2])
def test_a_cert_needs_both_signatures(identity: Identity, part: int) -> None:
    parts = msgpack.unpackb(identity.cert.raw)
    parts[part] = parts[3 - part]
    with pytest.raises(HandshakeError):
        open_cert(pack(parts), NOW_MS)


def test_no_bit_of_a_cert_may_change(identity: Identity) -> None:
    raw = identity.cert.raw
    for position in range(len(raw)):
        changed = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        with pytest.raises((DecodeError, HandshakeError)):
            open_cert(changed, NOW_MS)


def test_an_identity_survives_the_disk(identity: Identity) -> None:
    assert load_identity(dump_identity(identity)) == identity


@pytest.mark.parametrize("cut", [0, 1, 50])
def test_a_damaged_identity_is_the_disks_fault(identity: Identity, cut: int) -> None:
    with pytest.raises(Corrupt):
        load_identity(dump_identity(identity)[:cut])


def test_two_identities_differ() -> None:
    entropy = SeededEntropy(1)
    one, two = create_identity(entropy, NOW_MS), create_identity(entropy, NOW_MS)
    secrets = {pair.secret for identity in (one, two) for pair in (identity.root, identity.device, identity.ik)}
    assert len(secrets) == 6
