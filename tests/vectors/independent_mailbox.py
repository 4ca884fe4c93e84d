"""A second implementation of PROTOCOL.md 6, of mailboxes in 3.4 and of links of kind 3, and the maker of mailbox.json.

It is written from the document alone, over msgpack, hashlib and libsodium's raw parts (HSalsa20 and XSalsa20-Poly1305
for its sealed boxes), and shares no code with ``p2pchat.core``. Run it to write the vectors anew::

    python -m tests.vectors.independent_mailbox
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

import nacl.bindings as sodium

from tests.vectors import independent_session as sessions
from tests.vectors.independent_discovery import NOW, Vectors, h, pack, public, seed, signed
from tests.vectors.independent_invites import link
from tests.vectors.independent_session import lp

PATH: Final = Path(__file__).with_name("mailbox.json")
OWNER: Final = seed("owner")
NODE: Final = seed("holder's node")
HOLDER: Final = bytes.fromhex("002408011220") + public(NODE)
OTHER_HOLDER: Final = bytes.fromhex("002408011220") + public(seed("other holder"))
CHALLENGE: Final = seed("challenge")
TOKEN: Final = seed("token")
MAILBOX_SECRET: Final = seed("mailbox key")
EPHEMERAL: Final = seed("ephemeral")
BUNDLE_KEY: Final = seed("bundle key")
NONCE24: Final = seed("nonce")[:24]
TCP: Final = b"\x04\xc0\xa8\x01\x07\x06\x0f\xa1"
LARGEST_FRAME: Final = 524_239
Fields = dict[str, object]


# --- 6.2 -----------------------------------------------------------------------------------------------------------


def said(request: list[object], challenge: bytes = CHALLENGE, holder: bytes = HOLDER) -> bytes:
    """What an owner signs; ``request`` is without its last element, the signature."""
    return b"p2pchat/1 mailbox\0" + challenge + lp(holder) + pack(request)


def asked(*request: object) -> list[object]:
    """The request with its owner's signature."""
    return [*request, signed(OWNER, said([*request]))]


def token_hash(token: bytes) -> bytes:
    return h(b"p2pchat/1 token", b"", 32, token)


# --- 6.3 -----------------------------------------------------------------------------------------------------------


def box_bytes(frame: bytes) -> int:
    """1,024 · 2ⁿ with the least n that leaves room for the frame, 80, the ephemeral key and the tag."""
    return next(1_024 << n for n in range(11) if len(frame) + 1 + 32 + 16 <= 1_024 << n)


def pad(frame: bytes) -> bytes:
    return frame + b"\x80" + bytes(box_bytes(frame) - 48 - 1 - len(frame))


def sealed(padded: bytes, mailbox_pk: bytes, ephemeral: bytes = EPHEMERAL) -> bytes:
    """crypto_box_seal, whose ephemeral key is given."""
    epk = sodium.crypto_scalarmult_base(ephemeral)
    nonce = hashlib.blake2b(epk + mailbox_pk, digest_size=24).digest()
    shared = sodium.crypto_box_beforenm(mailbox_pk, ephemeral)
    return epk + sodium.crypto_secretbox(padded, nonce, shared)


def box(frame: bytes, mailbox_pk: bytes, ephemeral: bytes = EPHEMERAL) -> bytes:
    return sealed(pad(frame), mailbox_pk, ephemeral)


def opened(raw: bytes, secret: bytes) -> bytes:
    """The frame; raises where there is none."""
    mailbox_pk = sodium.crypto_scalarmult_base(secret)
    nonce = hashlib.blake2b(raw[:32] + mailbox_pk, digest_size=24).digest()
    padded = sodium.crypto_secretbox_open(raw[32:], nonce, sodium.crypto_box_beforenm(raw[:32], secret))
    frame = padded[: padded.rindex(b"\x80")]
    if pad(frame) != padded or len(raw) != box_bytes(frame) or len(raw) > 524_288:
        raise ValueError("another padding, or another length")
    return frame


def custody(raw: bytes, until: int, node: bytes = NODE) -> bytes:
    digest = hashlib.blake2b(raw, digest_size=32).digest()
    return signed(node, b"p2pchat/1 custody\0" + digest + until.to_bytes(8, "big"))


# --- 6.4 -----------------------------------------------------------------------------------------------------------


def kept_bundle(life: int = 604_800, *, opk: bytes | None = None) -> tuple[sessions.Person, bytes]:
    owner = sessions.Person(seed("O root"), seed("O device"), seed("O ik"), (NOW - 86_400) * 1_000)
    prekeys = sessions.Prekeys(seed("O spk"), opk, seed("O kem") + seed("O kem, second half"))
    return owner, sessions.bundle(owner, prekeys, NOW, NOW + life)


def seal_bundle(bundle: bytes, key: bytes = BUNDLE_KEY, aad: bytes = b"p2pchat/1 kept bundle\0") -> bytes:
    return NONCE24 + sessions.aead(key, NONCE24, bundle, aad)


# --- the vectors: frames -------------------------------------------------------------------------------------------


def shown(value: object) -> object:
    """As JSON has it: byte strings in hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    return [shown(each) for each in value] if isinstance(value, list) else value


def frames(rows: list[tuple[str, str, list[object]]]) -> list[Fields]:
    return [
        {"name": name, "kind": kind, "fields": shown(row[1:]), "frame": pack(row).hex()} for name, kind, row in rows
    ]


def refusals(rows: list[tuple[str, object]]) -> list[Fields]:
    return [{"name": name, "frame": (row if isinstance(row, bytes) else pack(row)).hex()} for name, row in rows]


def requests() -> tuple[list[Fields], list[Fields]]:
    owner, hashes = public(OWNER), [token_hash(TOKEN + bytes([n])) for n in range(5)]
    small, sig = box(b"frame", sodium.crypto_scalarmult_base(MAILBOX_SECRET)), bytes(64)
    most = (1 << 64) - 1
    accepted: list[tuple[str, str, list[object]]] = [
        ("a mailbox", "Grant", asked(1, owner, hashes[:1], seal_bundle(kept_bundle()[1]))),
        ("two tokens, no bundle", "Grant", asked(1, owner, hashes[:2], b"")),
        ("four tokens", "Grant", asked(1, owner, hashes[:4], b"x")),
        ("the largest sealed bundle", "Grant", asked(1, owner, hashes[:1], bytes(2_088))),
        ("a box", "Deposit", [2, TOKEN, 259_200, small]),
        ("for no time", "Deposit", [2, TOKEN, 0, small]),
        ("for as long as can be written", "Deposit", [2, TOKEN, (1 << 32) - 1, small]),
        ("all", "List", asked(3, owner, 0, 0)),
        ("what is new", "List", asked(3, owner, 128, 300)),
        ("behind the last number", "List", asked(3, owner, most, 300)),
        ("one", "Fetch", asked(4, owner, [1])),
        ("sixty-four", "Fetch", asked(4, owner, list(range(1, 65)))),
        ("one", "Ack", asked(5, owner, [most])),
        ("1,024", "Ack", asked(5, owner, list(range(1_024)))),
        ("a bundle", "Bundle", [6, TOKEN]),
        ("the end", "End", asked(7, owner)),
    ]
    wrong: list[tuple[str, object]] = [
        ("tag 0", [0, CHALLENGE]),
        ("tag 8", [8, owner, sig]),
        ("a tag that is text", ["1", owner, sig]),
        ("Grant without a token", asked(1, owner, [], b"")),
        ("Grant with five tokens", asked(1, owner, hashes, b"")),
        ("Grant with a hash of 31 bytes", asked(1, owner, [hashes[0][1:]], b"")),
        ("Grant with a bundle too large", asked(1, owner, hashes[:1], bytes(2_089))),
        ("Grant with nil for a bundle", asked(1, owner, hashes[:1], None)),
        ("Grant of a key of 33 bytes", asked(1, owner + b"\0", hashes[:1], b"")),
        ("Grant without a signature", [1, owner, hashes[:1], b""]),
        ("Grant with a signature of 63 bytes", [1, owner, hashes[:1], b"", sig[1:]]),
        ("Deposit of less than a box", [2, TOKEN, 1, bytes(1_023)]),
        ("Deposit of nothing", [2, TOKEN, 1, b""]),
        ("Deposit of a box as text", [2, TOKEN, 1, "x" * 1_024]),
        ("Deposit beyond 32 bits", [2, TOKEN, 1 << 32, small]),
        ("Deposit for less than no time", [2, TOKEN, -1, small]),
        ("Deposit with a token of 31 bytes", [2, TOKEN[1:], 1, small]),
        ("Deposit with one element more", [2, TOKEN, 1, small, 0]),
        ("List that waits 301 s", asked(3, owner, 0, 301)),
        ("List after a negative number", asked(3, owner, -1, 0)),
        ("List after true", asked(3, owner, True, 0)),
        ("List after a float", asked(3, owner, 1.0, 0)),
        ("Fetch of none", asked(4, owner, [])),
        ("Fetch of sixty-five", asked(4, owner, list(range(65)))),
        ("Ack of none", asked(5, owner, [])),
        ("Ack of 1,025", asked(5, owner, list(range(1_025)))),
        ("Bundle with one element more", [6, TOKEN, 0]),
        ("End without a signature", [7, owner]),
        ("a trailing byte", pack([6, TOKEN]) + b"\0"),
        ("a number in a long form", pack(asked(3, owner, 0, 0)).replace(owner + b"\0", owner + b"\xcc\0")),
        ("a token in a long form", b"\x92\x06\xc5\0\x20" + TOKEN),
        ("an array in a long form", b"\xdc\0\x02" + pack([6, TOKEN])[1:]),
        ("an array of four billion", b"\xdd\xff\xff\xff\xff" + pack([6, TOKEN])[1:]),
        ("a map", {0: 6, 1: TOKEN}),
        ("cut off", pack([6, TOKEN])[:-1]),
        ("empty", b""),
    ]
    return frames(accepted), refusals(wrong)


def answers() -> tuple[list[Fields], list[Fields]]:
    small = box(b"frame", sodium.crypto_scalarmult_base(MAILBOX_SECRET))
    most, until = (1 << 64) - 1, NOW + 259_200
    listed: list[object] = [[n, 1_024, until] for n in range(1_025)]
    accepted: list[tuple[str, str, list[object]]] = [
        ("a mailbox", "Granted", [1, 67_108_864, 1_209_600]),
        ("as much as can be written", "Granted", [1, most, (1 << 32) - 1]),
        ("a box", "Custody", [2, until, custody(small, until)]),
        ("nothing", "Listed", [3, []]),
        ("one", "Listed", [3, [[most, 524_288, most]]]),
        ("1,024", "Listed", [3, listed[:1_024]]),
        ("nothing", "Fetched", [4, []]),
        ("two", "Fetched", [4, [[1, small], [most, small]]]),
        ("none", "Acked", [5, 0]),
        ("1,024", "Acked", [5, 1_024]),
        ("none", "BundleIs", [6, b""]),
        ("one", "BundleIs", [6, seal_bundle(kept_bundle()[1])]),
        ("the end", "Ended", [7]),
        ("refused", "Refused", [8, 0, 0]),
        ("no space", "Refused", [8, 1, 3_600]),
        ("too often", "Refused", [8, 2, (1 << 32) - 1]),
        ("a reason of a later version", "Refused", [8, 255, 0]),
    ]
    wrong: list[tuple[str, object]] = [
        ("tag 0", [0, CHALLENGE]),
        ("tag 9", [9]),
        ("Granted without its time", [1, 1]),
        ("Granted beyond 32 bits", [1, 1, 1 << 32]),
        ("Custody with a signature of 65 bytes", [2, until, bytes(65)]),
        ("Custody until a negative time", [2, -1, bytes(64)]),
        ("Listed 1,025", [3, listed]),
        ("Listed without sizes", [3, [[1, until]]]),
        ("Listed a size beyond 32 bits", [3, [[1, 1 << 32, until]]]),
        ("Fetched less than a box", [4, [[1, small[1:]]]]),
        ("Acked a negative number", [5, -1]),
        ("a bundle too large", [6, bytes(2_089)]),
        ("nil for a bundle", [6, None]),
        ("an end with more", [7, 0]),
        ("reason 256", [8, 256, 0]),
        ("reason -1", [8, -1, 0]),
        ("refused beyond 32 bits", [8, 0, 1 << 32]),
        ("refused without a time", [8, 0]),
        ("a trailing byte", pack([7]) + b"\0"),
        ("a number in a long form", b"\x92\x05\xcc\0"),
        ("empty", b""),
    ]
    return frames(accepted), refusals(wrong)


def challenges() -> tuple[list[Fields], list[Fields]]:
    accepted: list[tuple[str, str, list[object]]] = [("32 bytes", "Challenge", [0, CHALLENGE])]
    wrong: list[tuple[str, object]] = [
        ("31 bytes", [0, CHALLENGE[1:]]),
        ("33 bytes", [0, CHALLENGE + b"\0"]),
        ("another tag", [1, CHALLENGE]),
        ("one element more", [0, CHALLENGE, 0]),
        ("a trailing byte", pack([0, CHALLENGE]) + b"\0"),
        ("text", [0, "x" * 32]),
    ]
    return frames(accepted), refusals(wrong)


def signatures() -> list[Fields]:
    """Requests with a signature that is none of theirs."""
    owner, request = public(OWNER), [3, public(OWNER), 5, 60]
    body = pack(request)
    wrong: list[tuple[str, bytes]] = [
        ("of another challenge", signed(OWNER, said([*request], challenge=seed("another challenge")))),
        ("for another holder", signed(OWNER, said([*request], holder=OTHER_HOLDER))),
        ("of another key", signed(seed("another owner"), said([*request]))),
        ("of another number", signed(OWNER, said([3, owner, 6, 60]))),
        ("of another kind", signed(OWNER, said([4, owner, 5, 60]))),
        ("of another owner", signed(OWNER, said([3, public(seed("another owner")), 5, 60]))),
        ("without the label", signed(OWNER, CHALLENGE + lp(HOLDER) + body)),
        ("under the label of custody", signed(OWNER, b"p2pchat/1 custody\0" + CHALLENGE + lp(HOLDER) + body)),
        ("without the length of the PeerID", signed(OWNER, b"p2pchat/1 mailbox\0" + CHALLENGE + HOLDER + body)),
        ("over an array of five", signed(OWNER, b"p2pchat/1 mailbox\0" + CHALLENGE + lp(HOLDER) + b"\x95" + body[1:])),
        ("over the elements alone", signed(OWNER, b"p2pchat/1 mailbox\0" + CHALLENGE + lp(HOLDER) + body[1:])),
        ("of zeros", bytes(64)),
    ]
    where = {"challenge": CHALLENGE.hex(), "holder": HOLDER.hex()}
    return [{"name": name, "frame": pack([*request, sig]).hex(), **where} for name, sig in wrong]


# --- the vectors: boxes, custody, bundles --------------------------------------------------------------------------


def boxes() -> tuple[list[Fields], list[Fields]]:
    mailbox_pk = sodium.crypto_scalarmult_base(MAILBOX_SECRET)
    keys: Fields = {"secret": MAILBOX_SECRET.hex(), "public": mailbox_pk.hex(), "ephemeral": EPHEMERAL.hex()}
    lengths = [0, 1, 975, 976, *(more for n in range(1, 10) for more in ((1_024 << n) - 49, (1_024 << n) - 48))][:-1]
    accepted: list[Fields] = []
    for length in lengths:
        raw = box(bytes([length % 251]) * length, mailbox_pk)
        frame: Fields = {"byte": length % 251, "length": length}
        digest = hashlib.blake2b(raw, digest_size=32).hexdigest()
        accepted.append({"name": f"{length} bytes", **frame, "bytes": len(raw), "blake2b": digest, **keys})
    for name, frame_bytes in (("ends as its padding", b"x\x80\0\0"), ("nothing but marks", b"\x80" * 9)):
        raw = box(frame_bytes, mailbox_pk)
        accepted.append({"name": name, "frame": frame_bytes.hex(), "bytes": len(raw), "box": raw.hex(), **keys})
    small, more = pad(b"frame"), 1_024
    wrong: list[tuple[str, str, bytes]] = [
        ("in a larger box than it needs", "DECODE", sealed(small + bytes(more), mailbox_pk)),
        ("no mark", "DECODE", sealed(bytes(len(small)), mailbox_pk)),
        ("another mark", "DECODE", sealed(b"frame\x81" + small[6:], mailbox_pk)),
        ("a byte behind the mark", "DECODE", sealed(small[:-1] + b"\x01", mailbox_pk)),
        ("one byte less than its size", "DECODE", sealed(small[:-1], mailbox_pk)),
        ("one byte more than its size", "DECODE", sealed(small + b"\0", mailbox_pk)),
        ("of three kilobytes", "DECODE", sealed(pad(bytes(1_500)) + bytes(more), mailbox_pk)),
        ("nothing in it", "DECODE", sealed(b"", mailbox_pk)),
        ("nothing but a mark", "DECODE", sealed(b"\x80", mailbox_pk)),
        ("for another key", "DECRYPTION", sealed(small, sodium.crypto_scalarmult_base(seed("another")))),
        ("its last byte changed", "DECRYPTION", box(b"frame", mailbox_pk)[:-1] + b"\0"),
        ("its ephemeral key changed", "DECRYPTION", bytes([9]) + box(b"frame", mailbox_pk)[1:]),
        ("an ephemeral key of low order", "DECRYPTION", bytes(1_024)),
        ("shorter than a sealed box", "DECODE", bytes(47)),
        ("empty", "DECODE", b""),
    ]
    return accepted, [{"name": name, "expect": expect, "box": raw.hex(), **keys} for name, expect, raw in wrong]


def custodies() -> tuple[list[Fields], list[Fields]]:
    raw, until = box(b"frame", sodium.crypto_scalarmult_base(MAILBOX_SECRET)), NOW + 259_200
    digest = hashlib.blake2b(raw, digest_size=32).digest()
    tail = digest + until.to_bytes(8, "big")

    def case(name: str, signature: bytes, **other: object) -> Fields:
        return {"name": name, "box": raw.hex(), "until": until, "holder": HOLDER.hex(), "sig": signature.hex(), **other}

    good = custody(raw, until)
    accepted = [
        case("a box", good, statement=(b"p2pchat/1 custody\0" + tail).hex(), node=NODE.hex()),
        case("until the end of time", custody(raw, (1 << 64) - 1), until=(1 << 64) - 1, node=NODE.hex()),
    ]
    refused = [
        case("of another box", good, box=(raw[:-1] + b"\0").hex()),
        case("until another time", good, until=until + 1),
        case("of another holder", good, holder=OTHER_HOLDER.hex()),
        case("signed by another", custody(raw, until, seed("other holder"))),
        case("without the label", signed(NODE, tail)),
        case("under the label of an owner", signed(NODE, b"p2pchat/1 mailbox\0" + tail)),
        case("over the box itself", signed(NODE, b"p2pchat/1 custody\0" + raw + tail[32:])),
        case("with half a hash", signed(NODE, b"p2pchat/1 custody\0" + digest[:16] + tail[32:])),
        case("with the time in four bytes", signed(NODE, b"p2pchat/1 custody\0" + digest + tail[36:])),
        case("for a PeerID that holds no key", good, holder=HOLDER[:-1].hex()),
    ]
    return accepted, refused


def bundles() -> tuple[list[Fields], list[Fields], list[Fields]]:
    owner, bundle = kept_bundle()
    raw = seal_bundle(bundle)
    at: Fields = {"key": BUNDLE_KEY.hex(), "nonce24": NONCE24.hex()}
    accepted: list[Fields] = [{"name": "a bundle", "bundle": bundle.hex(), "sealed": raw.hex(), **at}]
    wrong: list[tuple[str, bytes]] = [
        ("under another key", seal_bundle(bundle, seed("another key"))),
        ("under the label of a header", seal_bundle(bundle, aad=b"p2pchat/1 hdr")),
        ("without a label", seal_bundle(bundle, aad=b"")),
        ("its last byte changed", raw[:-1] + bytes([raw[-1] ^ 1])),
        ("its nonce changed", bytes([raw[0] ^ 1]) + raw[1:]),
        ("cut off", raw[:-1]),
        ("a nonce and no more", raw[:24]),
        ("less than a nonce", raw[:23]),
        ("empty", b""),
    ]
    root = sessions.ed_public(owner.root_seed).hex()
    read: list[Fields] = [
        {"name": "a week, no one-time key", "bundle": bundle.hex(), "from_s": NOW - 600, "to_s": NOW + 604_799},
        {"name": "a second more than a week", "bundle": kept_bundle(604_801)[1].hex(), "from_s": 0, "to_s": 0},
        {"name": "no life", "bundle": kept_bundle(0)[1].hex(), "from_s": 0, "to_s": 0},
    ]
    return accepted, [{"name": n, "sealed": w.hex(), **at} for n, w in wrong], [case | {"root": root} for case in read]


# --- the vectors: 3.4 and 3.5 --------------------------------------------------------------------------------------


def presences() -> tuple[list[Fields], list[Fields]]:
    """What is written, and what of it does not fit."""
    keys = [seed("mailbox key"), BUNDLE_KEY]
    given: list[tuple[str, int, int]] = [  # how long its 3 addresses are, and those of its 2 mailboxes
        ("all of it", 8, 8),
        ("702 bytes exactly", 128, 5),
        ("one byte too many", 128, 6),
        ("mailboxes with long addresses", 128, 128),
        ("addresses fit beside one mailbox", 100, 128),
    ]
    written: list[Fields] = []
    for name, long, longer in given:
        addresses = [bytes([65 + n]) * long for n in range(3)]
        places: list[object] = [[HOLDER, b"h" * longer, TOKEN], [OTHER_HOLDER, b"o" * longer, seed("other token")]]
        left = list(places)
        while len(data := pack([4, HOLDER, *keys, seed("ask"), 1, addresses, [], left])) > 702:
            left.pop()
        case: Fields = {"name": name, "peer_id": HOLDER.hex(), "mailbox_key": keys[0].hex(), "ask": seed("ask").hex()}
        case |= {"bundle_key": keys[1].hex(), "addresses": shown([*addresses]), "mailboxes": shown(places)}
        written.append(case | {"kept": len(left), "data": data.hex()})
    mailbox: list[object] = [HOLDER, TCP, TOKEN]
    full: list[object] = [4, HOLDER, *keys, seed("ask"), 1, [TCP], [], [mailbox]]
    wrong: list[tuple[str, list[object]]] = [
        ("a mailbox at a PeerID of another form", [*full[:8], [[b"\x12\x20" + HOLDER[2:], TCP, TOKEN]]]),
        ("a mailbox without an address", [*full[:8], [[HOLDER, b"", TOKEN]]]),
        ("a mailbox with an address of 129 bytes", [*full[:8], [[HOLDER, bytes(129), TOKEN]]]),
        ("a mailbox with a token of 33 bytes", [*full[:8], [[HOLDER, TCP, TOKEN + b"\0"]]]),
        ("a mailbox with one element more", [*full[:8], [[*mailbox, 0]]]),
        ("a mailbox without a token", [*full[:8], [mailbox[:2]]]),
        ("a mailbox key of 31 bytes", [*full[:2], keys[0][1:], *full[3:]]),
        ("an empty mailbox key", [*full[:2], b"", *full[3:]]),
        ("a bundle key of 33 bytes", [*full[:3], keys[1] + b"\0", *full[4:]]),
        ("three mailboxes", [*full[:8], [mailbox] * 3]),
        ("nil for mailboxes", [*full[:8], None]),
    ]
    return written, [{"name": name, "data": pack(value).hex()} for name, value in wrong]


def links() -> tuple[list[Fields], list[Fields]]:
    def case(name: str, kept: int, *addresses: bytes) -> Fields:
        text = link(pack([3, HOLDER, list(addresses[:kept])]))
        return {"name": name, "peer_id": HOLDER.hex(), "addresses": shown([*addresses]), "kept": kept, "link": text}

    accepted = [
        case("one", 1, TCP),
        case("four", 4, *[TCP + bytes([n]) for n in range(4)]),
        case("five are too many", 4, *[TCP + bytes([n]) for n in range(5)]),
        case("four that do not fit", 3, *[bytes([n]) * 128 for n in range(4)]),
    ]
    wrong = [
        ("no address", pack([3, HOLDER, []])),
        ("five addresses", pack([3, HOLDER, [TCP] * 5])),
        ("an empty address", pack([3, HOLDER, [b""]])),
        ("an address of 129 bytes", pack([3, HOLDER, [bytes(129)]])),
        ("another kind", pack([4, HOLDER, [TCP]])),
        ("true for a kind", pack([True, HOLDER, [TCP]])),
        ("a PeerID that is not Ed25519's", pack([3, bytes(38), [TCP]])),
        ("a PeerID of 39 bytes", pack([3, HOLDER + b"\0", [TCP]])),
        ("one element more", pack([3, HOLDER, [TCP], 0])),
        ("one element less", pack([3, HOLDER])),
        ("a trailing byte", pack([3, HOLDER, [TCP]]) + b"\0"),
        ("a long form", b"\xdc\x00\x03" + pack([3, HOLDER, [TCP]])[1:]),
        ("more than a link holds", pack([3, HOLDER, [bytes(128)] * 4])),
    ]
    return accepted, [{"name": name, "link": link(payload)} for name, payload in wrong]


def make() -> Vectors:
    """All vectors, the same at every run."""
    request, request_refused = requests()
    answer, answer_refused = answers()
    challenge, challenge_refused = challenges()
    boxed, box_refused = boxes()
    held, held_refused = custodies()
    bundle, bundle_refused, bundle_read = bundles()
    presence, presence_refused = presences()
    linked, link_refused = links()
    return {
        "at": [{"owner": OWNER.hex(), "challenge": CHALLENGE.hex(), "holder": HOLDER.hex()}],
        "request": request,
        "request_refused": request_refused,
        "answer": answer,
        "answer_refused": answer_refused,
        "challenge": challenge,
        "challenge_refused": challenge_refused,
        "signature_refused": signatures(),
        "token": [{"token": token.hex(), "hash": token_hash(token).hex()} for token in (TOKEN, bytes(32))],
        "box": boxed,
        "box_refused": box_refused,
        "custody": held,
        "custody_refused": held_refused,
        "bundle": bundle,
        "bundle_refused": bundle_refused,
        "bundle_read": bundle_read,
        "presence": presence,
        "presence_refused": presence_refused,
        "link": linked,
        "link_refused": link_refused,
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
