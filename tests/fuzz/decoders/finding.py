"""Decoders of what stands in the DHT and in links, and of the protocols that find it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Final

from p2pchat.base.errors import Corrupt, DecodeError, HandshakeError, UsageError
from p2pchat.base.ids import Address, PeerId, RootKey
from p2pchat.core import circuit_wire, codec, dht_wire, kad_wire, proof, public_wire
from p2pchat.core.crypto import KeyPair, aead_seal, blake2b, ed25519_pair
from p2pchat.core.discovery import (
    PEER_ID_PREFIX,
    Reach,
    decode_hello,
    decode_reach,
    encode_hello,
    encode_reach,
    make_card,
    open_card,
)
from p2pchat.core.invite import Invite, decode_invite, encode_invite
from p2pchat.core.links import decode_link, encode_link
from p2pchat.core.pair import Candidate, PairState, dump_pair, load_pair
from p2pchat.core.params import PRODUCTION
from p2pchat.core.presence import (
    Presence,
    PresenceKey,
    decode_presence,
    decode_presence_key,
    encode_presence,
    encode_presence_key,
)
from p2pchat.core.record import Record, RecordRefused, check_record, finish, prepare_record, unseal
from p2pchat.core.rendezvous import encode_rendezvous, read_rendezvous
from p2pchat.core.slots import Slot
from p2pchat.core.verify import is_safety_number, read_verify_link, verify_link
from p2pchat.testing.sessions import NOW_S
from tests.fuzz.decoders.sessions import someone
from tests.fuzz.decoders.target import Target, exactly, text_of

_CHEAP: Final = replace(PRODUCTION, work_bits=0)
_NONCE24: Final = bytes(24)
_PEER: Final = PeerId(PEER_ID_PREFIX + bytes(32))
_ADDRESSES: Final = (Address(b"\x04\x7f\x00\x00\x01\x06\x0f\xa1"), Address(b"\x36\x03a.b\x06\x0f\xa1"))
_OTHER: Final = RootKey(bytes(32))
_GATE: Final = slice(4, 36)  # where a record has its gate


@cache
def _slot() -> Slot:
    return Slot(bytes(range(32)), 7)


@cache
def _writer() -> KeyPair:
    return ed25519_pair(bytes(32))


def _record_of(data: bytes) -> bytes:
    return finish(prepare_record(_slot(), _writer(), data, NOW_S, _NONCE24, _CHEAP), bytes(8))


# -- records ---------------------------------------------------------------------------------------------------------


def _record(data: bytes) -> None:
    """For whatever place it says, so that its signatures are looked at."""
    loc = blake2b("dcd1/loc", data[_GATE], 32)
    exactly(data, check_record(loc, data, NOW_S, _CHEAP).raw)


def _sealed(data: bytes) -> None:
    """What stands in a record, its padding included."""
    slot, writer = _slot(), _writer().public
    sealed = _NONCE24 + aead_seal(slot.kenc, _NONCE24, data, b"dcd1" + slot.loc + writer)
    unseal(Record(writer, NOW_S, NOW_S + 1, sealed, 0, b""), slot.loc, slot.kenc)


def _hello(data: bytes) -> None:
    exactly(data, encode_hello(*decode_hello(data)))


def _card(data: bytes) -> None:
    open_card(_slot(), data, 1, _OTHER, NOW_S)


def _reach(data: bytes) -> None:
    exactly(data, encode_reach(decode_reach(data)))


def _reaches() -> list[bytes]:
    return [encode_reach(Reach(_PEER, addresses, bytes(32))) for addresses in ((), _ADDRESSES, _ADDRESSES * 4)]


def _pair(data: bytes) -> None:
    exactly(data, dump_pair(load_pair(data, bytes(32))))


def _pairs() -> list[bytes]:
    known = Candidate(bytes(32), 16, NOW_S, someone().cert, Reach(_PEER, _ADDRESSES, bytes(32)), 5)
    fresh = Candidate(b"\x01" * 32, 0, NOW_S, None, None, 0)
    begun = PairState(0, bytes(32), 1, 2, bytes(32))
    return [dump_pair(state) for state in (begun, replace(begun, candidates=(known, fresh), claimants=(_OTHER,)))]


def _presence(data: bytes) -> None:
    decode_presence(data)


def _presences() -> list[bytes]:
    own = encode_presence(Presence(_PEER, bytes(32), 1, _ADDRESSES))
    mailbox = [bytes(_PEER), b"\x04", bytes(32)]
    return [own, codec.encode([4, bytes(_PEER), bytes(32), bytes(32), bytes(32), 9, [], [b"x"], [mailbox, mailbox]])]


def _presence_key(data: bytes) -> None:
    exactly(data, encode_presence_key(decode_presence_key(data)))


def _key() -> PresenceKey:
    return PresenceKey(1, bytes(32), 2_976, bytes(32))


def _rendezvous(data: bytes) -> None:
    """Raises nothing: the record is sealed by the one other who can write there."""
    if len(data) <= 702:
        read_rendezvous(_slot(), [_record_of(data)], bytes(32), NOW_S, _CHEAP)


# -- links and what people type --------------------------------------------------------------------------------------


def _link(data: bytes) -> None:
    decode_link(text_of(data))


def _invite(data: bytes) -> None:
    """The payload of a link, so that its form is looked at."""
    link = encode_link(data) if 1 <= len(data) <= 512 else text_of(data)
    exactly(link.encode("utf-8", "surrogateescape"), encode_invite(decode_invite(link)).encode())


def _invites() -> list[bytes]:
    invites = [Invite(bytes(32), _OTHER, NOW_S, _PEER, addresses) for addresses in ((), _ADDRESSES)]
    return [decode_link(encode_invite(invite)) for invite in invites]


def _verify_link(data: bytes) -> None:
    link = encode_link(data) if 1 <= len(data) <= 512 else text_of(data)
    shown = read_verify_link(link, "link")
    exactly(link.encode("utf-8", "surrogateescape"), verify_link(shown.root, shown.to).encode())


def _verify_links() -> list[bytes]:
    return [decode_link(verify_link(_OTHER, to)) for to in (None, _OTHER)]


def _safety(data: bytes) -> None:
    is_safety_number(text_of(data), "12345 " * 11 + "12345")


def _code(data: bytes) -> None:
    proof.parse_code(text_of(data))


def _proof_item(data: bytes) -> None:
    decode = (proof.decode_ask, proof.decode_proof, proof.decode_result)[data[0] % 3 if data else 0]
    exactly(data[1:], proof.encode_proof(decode(data[1:])))


def _proof_items() -> list[bytes]:
    vid = bytes(16)
    items: list[proof.ProofItem] = [proof.ProofAsk(vid), proof.Proof(vid, bytes(32)), proof.ProofResult(vid, True)]
    return [bytes([which]) + proof.encode_proof(item) for which, item in enumerate(items)]


# -- the protocols ---------------------------------------------------------------------------------------------------


def _request(data: bytes) -> None:
    exactly(data, codec.encode(dht_wire.REQUEST.decode(data)))


def _requests() -> list[bytes]:
    asked = dht_wire.Request(1, bytes(32), None, True, 0), dht_wire.Request(2, bytes(32), _record_of(b""), False, 3_600)
    return list(map(codec.encode, asked))


def _answer(data: bytes) -> None:
    exactly(data, codec.encode(dht_wire.ANSWER.decode(data)))


def _answers() -> list[bytes]:
    told = dht_wire.ToldPeer(bytes(_PEER), tuple(map(bytes, _ADDRESSES)))
    reply = dht_wire.Reply(1, True, 60, (_record_of(b""),), (told, told))
    return [codec.encode(reply), codec.encode(dht_wire.Push(bytes(32), _record_of(b"x")))]


def _kad_request(data: bytes) -> None:
    kad_wire.encode_request(kad_wire.decode_request(data))


def _kad_reply(data: bytes) -> None:
    message = kad_wire.decode_reply(data)
    if kad_wire.decode_reply(kad_wire.encode_reply(message)).peers != message.peers:
        raise AssertionError("peers are lost by writing them again")


def _kad_requests() -> list[bytes]:
    asked = kad_wire.KadMessage(kad_wire.FIND_NODE, bytes(32)), kad_wire.KadMessage(kad_wire.PING)
    return list(map(kad_wire.encode_request, asked))


def _kad_replies() -> list[bytes]:
    told = dht_wire.ToldPeer(bytes(_PEER), tuple(map(bytes, _ADDRESSES)))
    replies = [kad_wire.KadMessage(kad_wire.FIND_NODE, peers=(told,) * count) for count in (0, 1, 20)]
    return list(map(kad_wire.encode_reply, replies))


def _hop(data: bytes) -> None:
    asked = circuit_wire.decode_hop_request(data)
    again = circuit_wire.encode_reserve() if asked is None else circuit_wire.encode_hop_connect(asked)
    if circuit_wire.decode_hop_request(again) != asked:
        raise AssertionError("another node is asked for when it is read again")


def _hops() -> list[bytes]:
    return [circuit_wire.encode_reserve(), circuit_wire.encode_hop_connect(bytes(_PEER))]


def _hop_status(data: bytes) -> None:
    answer = circuit_wire.decode_hop_status(data)
    if circuit_wire.decode_hop_status(circuit_wire.encode_hop_status(answer)) != answer:
        raise AssertionError("a relay's answer is another one when it is read again")


def _hop_statuses() -> list[bytes]:
    reservation = circuit_wire.Reservation(NOW_S, tuple(map(bytes, _ADDRESSES)))
    answers = [
        circuit_wire.HopStatus(circuit_wire.OK, reservation, circuit_wire.Limit(3_600, 1 << 24)),
        circuit_wire.HopStatus(circuit_wire.NO_RESERVATION),
    ]
    return list(map(circuit_wire.encode_hop_status, answers))


def _stop(data: bytes) -> None:
    circuit_wire.decode_stop_connect(data)


def _stops() -> list[bytes]:
    return [circuit_wire.encode_stop_connect(bytes(_PEER), circuit_wire.Limit(3_600, 1 << 24))]


def _stop_status(data: bytes) -> None:
    circuit_wire.decode_stop_status(data)


def _stop_statuses() -> list[bytes]:
    return [circuit_wire.encode_stop_status(circuit_wire.OK)]


def _kad_stream(data: bytes) -> None:
    reader, messages = kad_wire.VarintReader(256), list[bytes]()
    for at in range(0, len(data), 5):
        reader.feed(data[at : at + 5])
        while (message := reader.next_frame()) is not None:
            messages.append(message)
    read = b"".join(map(kad_wire.with_length, messages))
    exactly(data[: len(read)], read)


def _public_reply(data: bytes) -> None:
    """The first byte says whether the rest is a whole reply, or the beginning of one."""
    is_whole = data[:1] != b"\x01"
    reply = public_wire.decode_reply(data[1:], is_whole=is_whole)
    if len(reply.closer) > public_wire.CLOSER_PEERS or len(reply.providers) > public_wire.PROVIDERS:
        raise AssertionError("more was taken than counts")


def _public_replies() -> list[bytes]:
    said = public_wire.encode_add_provider(public_wire.MEETING_KEY, _PEER, _ADDRESSES)
    closer = kad_wire.encode_reply(kad_wire.KadMessage(4, peers=(dht_wire.ToldPeer(bytes(_PEER), ()),)))
    many = closer + closer[2:] * 21
    return [b"\0" + said, b"\0" + closer, b"\0" + many, b"\x01" + said[:-1], b"\x01" + closer + said[2:-3]]


_LINK: Final = "p2pchat:" + "a" * 32

TARGETS: Final = (
    Target("record", _record, (RecordRefused,), lambda: [_record_of(b""), _record_of(b"x" * 702)], 1_024),
    Target("sealed", _sealed, (DecodeError,), lambda: [bytes(704), b"\0\x05hello" + bytes(697)], 1_024),
    Target("hello", _hello, (DecodeError,), lambda: [encode_hello(role, bytes(32)) for role in (0, 1)], 256),
    Target("card", _card, (DecodeError, HandshakeError), lambda: [make_card(someone(), _slot(), 1, NOW_S)], 702),
    Target("reach", _reach, (DecodeError,), _reaches, 1_024),
    Target("pair", _pair, (Corrupt,), _pairs),
    Target("presence", _presence, (DecodeError,), _presences, 1_024),
    Target("presence-key", _presence_key, (DecodeError,), lambda: [encode_presence_key(_key())], 256),
    Target("rendezvous", _rendezvous, (), lambda: [encode_rendezvous(_key())], 702),
    Target("link", _link, (UsageError,), lambda: [_LINK.encode(), f" <{_LINK.upper()}>\n".encode()], 1_024),
    Target("invite", _invite, (UsageError,), _invites, 512),
    Target("verify-link", _verify_link, (UsageError,), _verify_links, 512),
    Target("safety-number", _safety, (UsageError,), lambda: [b"12345 " * 12, b"12345-" * 12], 256),
    Target("sms-code", _code, (UsageError,), lambda: [b"ABCD-EFGH-JKLM-NPQR", b"abcd efgh jklm npqr"], 128),
    Target("proof", _proof_item, (DecodeError,), _proof_items, 128),
    Target("request", _request, (DecodeError,), _requests),
    Target("answer", _answer, (DecodeError,), _answers),
    Target("kad-request", _kad_request, (DecodeError,), _kad_requests, 512),
    Target("kad-reply", _kad_reply, (DecodeError,), _kad_replies),
    Target("hop", _hop, (DecodeError,), _hops, 512),
    Target("hop-status", _hop_status, (DecodeError,), _hop_statuses, 4_096),
    Target("stop", _stop, (DecodeError,), _stops, 512),
    Target("stop-status", _stop_status, (DecodeError,), _stop_statuses, 512),
    Target("public-reply", _public_reply, (DecodeError,), _public_replies),
    Target("kad-stream", _kad_stream, (DecodeError,), lambda: [b"\x01x\x80\x01" + bytes(128), b"\xff\xff\xff"], 1_024),
)
