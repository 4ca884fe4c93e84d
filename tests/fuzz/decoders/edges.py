"""Decoders of the control socket, of address books, of what libp2p peers say and of the key file."""

from __future__ import annotations

import tempfile
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from libp2p.identity.identify.pb.identify_pb2 import Identify

from p2pchat.api.codec import JSON_LINES, MSGPACK_FRAMES, FrameError, Framing, ParseError, Splitter
from p2pchat.api.schema import METHODS, parse
from p2pchat.base.errors import Corrupt, DecodeError, InternalError, NetError, UsageError
from p2pchat.base.ids import PeerId
from p2pchat.cli.addressbook.entry import Entry
from p2pchat.cli.addressbook.read import read_book
from p2pchat.control.jsonrpc import InvalidRequest, parse_request
from p2pchat.core.names import checked_name
from p2pchat.core.numbers import parse_number
from p2pchat.net import addresses, identify
from p2pchat.net.multistream import choose, encode_varint
from p2pchat.store.keyfile import needs_passphrase
from tests.fuzz.decoders.target import Target, exactly, text_of

_METHODS: Final = tuple(METHODS)


# -- the control socket ----------------------------------------------------------------------------------------------


def _socket(data: bytes) -> None:
    """All that a client writes, in pieces: frames, requests, parameters, and the replies to what is refused."""
    splitter = Splitter()
    for at in range(0, len(data), 64):
        splitter.feed(data[at : at + 64])
        while (frame := splitter.next_frame()) is not None:
            _call(splitter.framing or JSON_LINES, frame)
    rest = splitter.rest()
    if rest is not None:
        _call(JSON_LINES, rest)


def _call(framing: Framing, frame: bytes) -> None:
    try:
        request = parse_request(framing.decode(frame))
        parse(request.method, request.params)
    except ParseError as error:
        framing.encode({"message": error.message, "data": error.data})
    except InvalidRequest as error:
        framing.encode({"id": error.id, "message": error.message, "data": error.data})
    except UsageError as error:
        framing.encode({"message": error.message, "data": error.data})


def _calls(framing: Framing) -> list[bytes]:
    given: list[tuple[str, dict[str, object]]] = [
        ("node.hello", {"client": "x", "api": 1}),
        ("contacts.add", {"number": "+821012345678", "name": "Alice"}),
        ("contacts.import", {"entries": [{"line": 1, "number": "+82", "name": None}]}),
        ("message.send", {"to": "Alice", "text": "hello", "wait": "delivered", "timeout_ms": 5}),
        ("events.subscribe", {"types": ["message.*", "*"], "since": 4}),
        ("events.fetch", {"since": {"consumer": "bot", "start": "now"}}),
        ("net.dial", {"address": "/ip4/127.0.0.1/tcp/1"}),
    ]
    calls = [{"jsonrpc": "2.0", "id": n, "method": name, "params": params} for n, (name, params) in enumerate(given)]
    return [framing.frame(framing.encode(call)) for call in calls]


def _params(data: bytes) -> None:
    """The parameters of the method that the first byte chooses, from msgpack, which has more kinds of values."""
    value = MSGPACK_FRAMES.decode(data[1:])
    if isinstance(value, dict):
        parse(_METHODS[data[0] % len(_METHODS)], value)


def _all_params() -> list[bytes]:
    given: dict[str, dict[str, object]] = {
        "contacts.add": {"number": "+1", "name": "A"},
        "contacts.import": {"entries": [{"line": 1, "number": "1"}]},
        "contacts.verify": {"contact": "A", "qr": "x"},
        "identity.invite": {"uses": 1, "expires_s": 60, "ask": True},
        "message.list": {"contact": "A", "limit": 10},
    }
    return [bytes([_METHODS.index(name)]) + msgspec.msgpack.encode(params) for name, params in given.items()]


# -- what people and their programs write ----------------------------------------------------------------------------


def _book(data: bytes) -> None:
    """Raises nothing: every file is read to its end."""
    lines = data.count(b"\n") + data.count(b"\r") + 1
    for found in read_book(data):
        if not 1 <= found.line <= lines + 1 or (isinstance(found, Entry) and not 0 < len(found.number) <= 128):
            raise AssertionError("an entry is out of its bounds")


def _cards() -> list[bytes]:
    return [
        b"BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Alice\r\nTEL;TYPE=CELL:+82 10\r\n 1234\r\nEND:VCARD\r\n",
        b"BEGIN:VCARD\nVERSION:2.1\nN;CHARSET=EUC-KR;ENCODING=QUOTED-PRINTABLE:=C8=AB;=\n=B1=E6\nTEL;FAX:1\nEND:VCARD",
        "\ufeffBEGIN:VCARD\nitem1.TEL;VALUE=uri:tel:+1;ext=5\nAGENT:\nBEGIN:VCARD\nEND:VCARD\n".encode("utf-16-le"),
    ]


def _tables() -> list[bytes]:
    return [
        b'First Name,Last Name,Phone 1 - Value\nAlice,"A,\nB",+1 ::: +2\n,,\n',
        "이름;성;휴대전화\n길동;홍;010-1234-5678\n".encode("cp949"),
        b'Name\tMobile Phone\n"x\ty\nAlice\t5\n',
    ]


def _number(data: bytes) -> None:
    parse_number(text_of(data[1:]), (None, "KR", "US", "AR", "MX")[data[0] % 5 if data else 0])


def _numbers() -> list[bytes]:
    texts = ("+82 10-1234-5678", "010.1234.5678", "(650) 253-0000", "tel:+54 9 11 2345 6789", "+52 1 55 1234 5678")
    return [bytes([which % 5]) + text.encode() for which, text in enumerate(texts)]


def _name(data: bytes) -> None:
    checked_name(text_of(data))


# -- what peers say of themselves ------------------------------------------------------------------------------------


def _address(data: bytes) -> None:
    known = addresses.decode_address(data)
    text = addresses.format_address(known)
    exactly(bytes(known), bytes(addresses.parse_address(text)[0]))


def _all_addresses() -> list[bytes]:
    return [bytes(addresses.parse_address(text)[0]) for text in map(bytes.decode, _texts())]


def _address_text(data: bytes) -> None:
    known, peer = addresses.parse_address(text_of(data))
    again = addresses.parse_address(addresses.format_address(known, peer))
    if again != (known, peer):
        raise AssertionError("an address is another one when it is read again")


def _texts() -> list[bytes]:
    relay = b"12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
    return [b"/ip4/192.0.2.1/tcp/4001", b"/ip4/192.0.2.1/tcp/443/ws", b"/ip6/2001:db8::1/tcp/1",
            b"/dns4/example.org/tcp/65535",
            b"/ip4/192.0.2.1/tcp/4001/p2p/" + relay + b"/p2p-circuit"]  # fmt: skip


def _peer(data: bytes) -> None:
    known = addresses.decode_peer_id(data)
    exactly(data, bytes(addresses.parse_peer_id(addresses.format_peer_id(known))))


def _identify(data: bytes) -> None:
    _driven(identify.ask(_Said(data), ("192.0.2.1", 4001)))


def _identities() -> list[bytes]:
    said = Identify(protocol_version="ipfs/0.1.0", protocols=["/a", "/b"], listen_addrs=_all_addresses())
    body = said.SerializeToString()
    return [encode_varint(len(body)) + body]


def _negotiation(data: bytes) -> None:
    _driven(choose(_Said(data), lambda protocol: protocol == "/p2pchat/msg/1"))


def _negotiations() -> list[bytes]:
    def line(text: bytes) -> bytes:
        return bytes([len(text) + 1]) + text + b"\n"

    return [line(b"/multistream/1.0.0") + line(b"/x") + line(b"/p2pchat/msg/1")]


class _Said:
    """A stream on which everything was said already: nothing on it waits."""

    is_adopted = False
    is_kept = False
    is_lost = False

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.peer = PeerId(b"\x00")
        self.remote_host = "192.0.2.1"

    def adopt(self) -> None:
        pass

    def keep(self) -> None:
        pass

    async def read(self, max_bytes: int) -> bytes:
        said, self._data = self._data[:max_bytes], self._data[max_bytes:]
        return said

    async def write(self, data: bytes) -> None:
        pass

    async def close(self) -> None:
        pass

    async def reset(self) -> None:
        pass


def _driven(coroutine: Coroutine[object, None, object]) -> None:
    """Run what never waits to its end."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise InternalError("it waits for something")


# -- the disk --------------------------------------------------------------------------------------------------------


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="p2pchat-fuzz-")


def _key_file(data: bytes) -> None:
    path = Path(_folder().name) / "key"
    path.write_bytes(data)
    needs_passphrase(path)


def _key_files() -> list[bytes]:
    wrapped = [1, bytes(16), 3, 1 << 28, bytes(72)]
    return [msgspec.msgpack.encode([0, bytes(32)]), msgspec.msgpack.encode(wrapped)]


TARGETS: Final = (
    Target("json", _socket, (FrameError,), lambda: _calls(JSON_LINES), 2_048),
    Target("msgpack", _socket, (FrameError,), lambda: _calls(MSGPACK_FRAMES), 2_048),
    Target("params", _params, (UsageError,), _all_params, 2_048),
    Target("vcard", _book, (), _cards),
    Target("table", _book, (), _tables),
    Target("number", _number, (UsageError,), _numbers, 256),
    Target("name", _name, (UsageError,), lambda: [b"Alice", " 홍길동 ".encode(), "\u202e".encode()], 512),
    Target("address", _address, (DecodeError,), _all_addresses, 512),
    Target("address-text", _address_text, (UsageError,), _texts, 512),
    Target("peer-id", _peer, (DecodeError,), lambda: [b"\x00\x24" + bytes(36), b"\x12\x20" + bytes(32)], 64),
    Target("identify", _identify, (NetError, DecodeError), _identities),
    Target("negotiation", _negotiation, (NetError, DecodeError), _negotiations, 1_024),
    Target("key-file", _key_file, (Corrupt,), _key_files, 256),
)
