"""core against the vectors of PROTOCOL.md 6, and of mailboxes in 3.4 and 3.5, which a second implementation made."""

from __future__ import annotations

import builtins
import json
from typing import Any, cast

import pytest

from p2pchat.base.errors import DecodeError, DecryptionError, HandshakeError, PeerError, UsageError
from p2pchat.base.ids import Address, PeerId, RootKey
from p2pchat.core import mailbox
from p2pchat.core.codec import encode
from p2pchat.core.crypto import KeyPair, blake2b_plain, ed25519_pair, sign, x25519_pair
from p2pchat.core.mailbox_link import Holder, decode_mailbox_link, encode_mailbox_link
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import open_bundle
from p2pchat.core.presence import Mailbox, Presence, decode_presence, encode_presence
from p2pchat.testing.entropy import SeededEntropy
from tests.vectors import independent_mailbox
from tests.vectors.independent_discovery import NOW

Case = dict[str, Any]
VECTORS: dict[str, list[Case]] = json.loads(independent_mailbox.PATH.read_text(encoding="utf-8"))
OWNER = ed25519_pair(bytes.fromhex(VECTORS["at"][0]["owner"]))
CHALLENGE = bytes.fromhex(VECTORS["at"][0]["challenge"])
HOLDER = PeerId(bytes.fromhex(VECTORS["at"][0]["holder"]))
KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        mailbox.Challenge, mailbox.Grant, mailbox.Deposit, mailbox.List, mailbox.Fetch, mailbox.Ack, mailbox.Bundle,
        mailbox.End, mailbox.Granted, mailbox.Custody, mailbox.Listed, mailbox.Fetched, mailbox.Acked, mailbox.BundleIs,
        mailbox.Ended, mailbox.Refused,
    )
}  # fmt: skip
ROWS: dict[str, Any] = {"Listed": mailbox.Listing, "Fetched": mailbox.Boxed}
OWNERS = (mailbox.Grant, mailbox.List, mailbox.Fetch, mailbox.Ack, mailbox.End)


class Fixed(SeededEntropy):
    """Entropy that gives one secret, once."""

    def __init__(self, secret: bytes) -> None:
        super().__init__(0)
        self._left = [secret]

    def bytes(self, n: int) -> builtins.bytes:
        assert n == 32
        return self._left.pop()


def cases(kind: str) -> list[Any]:
    found = [(f"{case.get('kind', '')} {case.get('name', i)}", case) for i, case in enumerate(VECTORS[kind])]
    return [pytest.param(case, id=name) for name, case in found]


def form(case: Case) -> object:
    """What the fields of a case say, in our own types."""

    def value(said: object) -> object:
        if isinstance(said, str):
            return bytes.fromhex(said)
        if not isinstance(said, list):
            return said
        rows = cast("list[object]", said)
        if case["kind"] in ROWS:
            return tuple(ROWS[case["kind"]](*map(value, cast("list[object]", row))) for row in rows)
        return tuple(map(value, rows))

    return KINDS[case["kind"]](*map(value, case["fields"]))


def frame_of(case: Case) -> bytes:
    return bytes.fromhex(case["frame"]) if "frame" in case else bytes([case["byte"]]) * case["length"]


def pair_of(case: Case) -> KeyPair:
    return x25519_pair(bytes.fromhex(case["secret"]))


def test_the_file_is_what_the_second_implementation_makes() -> None:
    assert independent_mailbox.make() == VECTORS


# -- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("request"))
def test_a_request(case: Case) -> None:
    request, raw = form(case), bytes.fromhex(case["frame"])
    assert encode(request) == raw
    assert mailbox.REQUEST.decode(raw) == request
    if isinstance(request, OWNERS):
        assert mailbox.is_signed(request, CHALLENGE, HOLDER)
        assert mailbox.signed(request, OWNER, CHALLENGE, HOLDER) == request


@pytest.mark.parametrize("case", cases("answer"))
def test_an_answer(case: Case) -> None:
    raw = bytes.fromhex(case["frame"])
    assert encode(form(case)) == raw
    assert mailbox.ANSWER.decode(raw) == form(case)


@pytest.mark.parametrize("case", cases("challenge"))
def test_a_challenge(case: Case) -> None:
    raw = bytes.fromhex(case["frame"])
    assert encode(form(case)) == raw
    assert mailbox.CHALLENGE.decode(raw) == form(case)


@pytest.mark.parametrize("case", cases("request_refused"))
def test_what_is_no_request(case: Case) -> None:
    with pytest.raises(DecodeError):
        mailbox.REQUEST.decode(bytes.fromhex(case["frame"]))


@pytest.mark.parametrize("case", cases("answer_refused"))
def test_what_is_no_answer(case: Case) -> None:
    with pytest.raises(DecodeError):
        mailbox.ANSWER.decode(bytes.fromhex(case["frame"]))


@pytest.mark.parametrize("case", cases("challenge_refused"))
def test_what_is_no_challenge(case: Case) -> None:
    with pytest.raises(DecodeError):
        mailbox.CHALLENGE.decode(bytes.fromhex(case["frame"]))


@pytest.mark.parametrize("case", cases("signature_refused"))
def test_what_the_owner_has_not_signed(case: Case) -> None:
    request = mailbox.REQUEST.decode(bytes.fromhex(case["frame"]))
    assert isinstance(request, mailbox.List)
    challenge, holder = bytes.fromhex(case["challenge"]), PeerId(bytes.fromhex(case["holder"]))
    assert not mailbox.is_signed(request, challenge, holder)
    assert mailbox.is_signed(mailbox.signed(request, OWNER, challenge, holder), challenge, holder)


@pytest.mark.parametrize("case", cases("token"))
def test_a_token(case: Case) -> None:
    assert mailbox.token_hash(bytes.fromhex(case["token"])).hex() == case["hash"]


# -- boxes, custody, bundles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("box"))
def test_a_box(case: Case) -> None:
    frame, pair = frame_of(case), pair_of(case)
    box = mailbox.seal_box(frame, bytes.fromhex(case["public"]), Fixed(bytes.fromhex(case["ephemeral"])))
    assert len(box) == case["bytes"]
    assert mailbox.is_box(len(box))
    if "box" in case:
        assert box.hex() == case["box"]
    else:
        assert blake2b_plain(box, 32).hex() == case["blake2b"]
    assert mailbox.open_box(box, pair) == frame
    assert independent_mailbox.opened(box, pair.secret) == frame


@pytest.mark.parametrize("case", cases("box_refused"))
def test_what_is_no_box(case: Case) -> None:
    with pytest.raises(PeerError) as refused:
        mailbox.open_box(bytes.fromhex(case["box"]), pair_of(case))
    assert refused.value.error_name == case["expect"]


def test_a_box_beyond_the_largest_is_refused_though_all_else_is_right() -> None:
    case = VECTORS["box"][0]
    raw = independent_mailbox.box(bytes(independent_mailbox.LARGEST_FRAME + 1), bytes.fromhex(case["public"]))
    assert len(raw) == 2 * mailbox.BOX_MAX_BYTES
    with pytest.raises(DecodeError):
        mailbox.open_box(raw, pair_of(case))


@pytest.mark.parametrize("case", cases("custody"))
def test_a_custody(case: Case) -> None:
    box, until = bytes.fromhex(case["box"]), case["until"]
    statement = mailbox.custody_statement(box, until)
    if "statement" in case:
        assert statement.hex() == case["statement"]
    assert sign(ed25519_pair(bytes.fromhex(case["node"])), statement).hex() == case["sig"]
    said = mailbox.Custody(until, bytes.fromhex(case["sig"]))
    assert mailbox.is_custody(said, box, PeerId(bytes.fromhex(case["holder"])))


@pytest.mark.parametrize("case", cases("custody_refused"))
def test_what_is_no_custody(case: Case) -> None:
    said = mailbox.Custody(case["until"], bytes.fromhex(case["sig"]))
    assert not mailbox.is_custody(said, bytes.fromhex(case["box"]), PeerId(bytes.fromhex(case["holder"])))


@pytest.mark.parametrize("case", cases("bundle"))
def test_a_sealed_bundle(case: Case) -> None:
    key, bundle = bytes.fromhex(case["key"]), bytes.fromhex(case["bundle"])
    assert mailbox.seal_bundle(bundle, key, bytes.fromhex(case["nonce24"])).hex() == case["sealed"]
    assert mailbox.unseal_bundle(bytes.fromhex(case["sealed"]), key) == bundle


@pytest.mark.parametrize("case", cases("bundle_refused"))
def test_what_is_no_sealed_bundle(case: Case) -> None:
    with pytest.raises(DecryptionError):
        mailbox.unseal_bundle(bytes.fromhex(case["sealed"]), bytes.fromhex(case["key"]))


@pytest.mark.parametrize("case", cases("bundle_read"))
def test_a_bundle_of_a_mailbox_is_good_for_a_week(case: Case) -> None:
    raw, root = bytes.fromhex(case["bundle"]), RootKey(bytes.fromhex(case["root"]))
    if not case["to_s"]:
        with pytest.raises(HandshakeError, match="life"):
            open_bundle(raw, root, NOW, PRODUCTION)
        return
    for now_s in (case["from_s"], case["to_s"]):
        assert open_bundle(raw, root, now_s, PRODUCTION).opk is None
    for now_s in (case["from_s"] - 1, case["to_s"] + 1):
        with pytest.raises(HandshakeError, match="now"):
            open_bundle(raw, root, now_s, PRODUCTION)


# -- where they are told of ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("presence"))
def test_a_presence_with_mailboxes(case: Case) -> None:
    mailboxes = tuple(
        Mailbox(PeerId(bytes.fromhex(peer)), Address(bytes.fromhex(address)), bytes.fromhex(token))
        for peer, address, token in case["mailboxes"]
    )
    said = Presence(
        PeerId(bytes.fromhex(case["peer_id"])),
        bytes.fromhex(case["ask"]),
        1,
        tuple(Address(bytes.fromhex(address)) for address in case["addresses"]),
        bytes.fromhex(case["mailbox_key"]),
        bytes.fromhex(case["bundle_key"]),
        mailboxes,
    )
    assert encode_presence(said).hex() == case["data"]
    read = decode_presence(bytes.fromhex(case["data"]))
    assert read.mailboxes == mailboxes[: case["kept"]]
    assert (read.mailbox_key, read.bundle_key, read.addresses) == (said.mailbox_key, said.bundle_key, said.addresses)


@pytest.mark.parametrize("case", cases("presence_refused"))
def test_a_presence_whose_mailboxes_are_malformed(case: Case) -> None:
    with pytest.raises(DecodeError):
        decode_presence(bytes.fromhex(case["data"]))


@pytest.mark.parametrize("case", cases("link"))
def test_a_mailbox_link(case: Case) -> None:
    addresses = tuple(Address(bytes.fromhex(address)) for address in case["addresses"])
    peer_id = PeerId(bytes.fromhex(case["peer_id"]))
    assert encode_mailbox_link(Holder(peer_id, addresses)) == case["link"]
    assert decode_mailbox_link(case["link"], "link") == Holder(peer_id, addresses[: case["kept"]])


@pytest.mark.parametrize("case", cases("link_refused"))
def test_what_is_no_mailbox_link(case: Case) -> None:
    with pytest.raises(UsageError):
        decode_mailbox_link(case["link"], "link")
