"""Junk for the control socket: requests of every method, right and wrong, in both framings.

Nothing here may do lasting harm when it is understood: no shutdown, no passphrase that nobody knows, no file, and the
friend keeps its name and its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final, cast

import msgspec
import trio

from p2pchat.api.errors import TABLE
from p2pchat.api.schema import METHODS
from tests.fuzz.feed import Feed, Input
from tests.fuzz.mutation import Tree, abyss, damaged, mutated, packed, scalar, sized

END_S: Final = 30.0
_FEW_TYPES: Final[list[Tree]] = ["message.*", "peer.online"]
_ALL_TYPES: Final[list[Tree]] = ["*"]
_ENTRY: Final[Tree] = {"line": 1, "name": "Somebody", "number": "+999123456"}
_ODD: Final[Tree] = {"line": -1, "name": "\u202e", "number": "x" * 257, "colour": "red"}
_ENTRIES: Final[list[Tree]] = [_ENTRY] * 500
_PEER: Final = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
_PLAUSIBLE: Final[dict[str, tuple[Tree, ...]]] = {
    "client": ("fuzz", "x" * 128),
    "api": (1, 2),
    "to": ("stranger", "00", "+999 12", "x" * 256),
    "number": ("+1", "12345", "+999123456", "tel:", "+82 10 12", "٠١٢"),
    "name": ("Somebody", "x" * 100, "\u202ename"),
    "idempotency_key": ("k1", "k2", "k" * 128),
    "entries": ([_ENTRY, _ENTRY], [_ODD], [], _ENTRIES, _ENTRIES * 2),
    "state": ("pending", "matched"),
    "text": ("hello", "\0", "x" * 65_537, "가" * 21_846, ""),
    "wait": ("queued", "delivered", "read"),
    "timeout_ms": (0, 1, 50),
    "before": (0, 1, (1 << 63) - 1),
    "after": (0, 1, (1 << 63) - 1),
    "path": ("/nonexistent/backup", "/dev/null", "/", "relative", "/a\0b", "x" * 4_097),
    "limit": (1, 1_000),
    "search": ("h", "%", "\\", "'"),
    "id": ("00", "f" * 128, "0123456789abcdef"),
    "since": (0, 1, "now", (1 << 63) - 1),
    "types": (_ALL_TYPES, _FEW_TYPES, [], _ALL_TYPES * 65),
    "subscription": ("00", "x" * 64),
    "address": (
        f"/ip4/127.0.0.1/tcp/1/p2p/{_PEER}",
        "/ip4/127.0.0.1/tcp/1",
        f"/ip4/256.0.0.1/tcp/1/p2p/{_PEER}",
        f"/ip4/127.0.0.1/tcp/65536/p2p/{_PEER}",
        f"/ip4/127.0.0.1/tcp/1/p2p/{_PEER}/p2p-circuit",
        "/" * 1_024,
    ),
}
_HARMLESS: Final = ("contacts.get", "message.list")  # may be asked about the friend
_LASTING: Final = ("node.shutdown", "passphrase.change", "backup.create")
_CODES: Final = {row.name: row.code for row in TABLE}
_GIANT_LINE: Final = 0.0002


def _request(chance: Random) -> Tree:
    """A call of any method, with parameters that may be right."""
    method = chance.choice(list(METHODS))
    params: dict[str, Tree] = {}
    for name in METHODS[method].params.__struct_encode_fields__:
        if chance.random() < 0.7:
            params[name] = chance.choice(_PLAUSIBLE.get(name, ("x",))) if chance.random() < 0.8 else scalar(chance)
    if method in _LASTING:
        params["really"] = scalar(chance)
    if method in _HARMLESS and chance.random() < 0.5:
        params["to"] = "Bob"
    if method == "message.send" and chance.random() < 0.02:
        params = {"to": "Bob", "text": "from a fuzzer", "wait": "sent", "timeout_ms": 10}
    return {"jsonrpc": "2.0", "id": chance.choice((1, "a", None, -1, "x" * 256)), "method": method, "params": params}


def _destroys(tree: Tree) -> bool:
    """Whether a mutation made a call of what had better not be called."""
    if isinstance(tree, list):
        return any(map(_destroys, tree))
    if not isinstance(tree, dict) or tree.get("method") not in _LASTING:
        return False
    params = tree.get("params")
    return not params or (isinstance(params, dict) and "really" not in params)


def _may_be_damaged(body: bytes) -> bool:
    return not any(method.encode() in body for method in _LASTING)


def any_tree(chance: Random) -> Tree:
    """A request, right or wrong, several, or something else."""
    kind = chance.randrange(20)
    request = _request(chance)
    if kind < 10:
        return request
    if kind < 15:
        changed = mutated(chance, request)
        return request if _destroys(changed) else changed
    if kind == 15:
        return [_request(chance) for _ in range(chance.choice((0, 1, 2, 20)))]
    if kind == 16 and chance.random() < 0.02:
        hello: list[Tree] = [{"jsonrpc": "2.0", "method": "node.hello"}]
        return hello * chance.choice((8_192, 8_193, 10_000))
    return scalar(chance) if kind == 17 else request


def as_json(tree: Tree) -> bytes:
    """As a client would write it."""
    return json.dumps(_without_bytes(tree)).encode()


def _without_bytes(tree: Tree) -> Tree:
    if isinstance(tree, bytes):
        return {"$b64": tree.hex()}
    if isinstance(tree, list):
        return [_without_bytes(item) for item in tree]
    if isinstance(tree, dict):
        return {key: _without_bytes(item) for key, item in tree.items()}
    return tree


def json_input(chance: Random) -> bytes:
    """A line, or several, or a part of one; the first byte chooses JSON."""
    kind = chance.randrange(16)
    if kind == 0:
        return b" " + sized(chance, 4_096) + b"\n"
    if kind == 1:
        return chance.choice((b"[", b'{"a":', b'[{"":')) * chance.choice((33, 1_000, 40_000)) + b"\n"
    if kind == 2 and chance.random() < 16 * _GIANT_LINE:
        return b"[" + b" " * chance.choice(((1 << 24) - 3, 1 << 24)) + b"]\n"
    if kind == 3:
        return chance.choice((b'{"id":1e999}', b'"\\ud800"', b'{"$b64":"?"}', b"\xef\xbb\xbf{}", b"1" * 5_000)) + b"\n"
    tree = any_tree(chance)
    body = as_json(tree)
    if 4 <= kind < 7 and _may_be_damaged(body):
        return b" " + damaged(chance, body) + b"\n"
    return body.replace(b"\\u", b"\\ud8") + b"\n" if kind == 7 else body + b"\n"


def msgpack_input(chance: Random) -> tuple[bytes, bool]:
    """A frame, right or wrong, and whether the stream can be read further after it."""
    kind = chance.randrange(16)
    if kind == 0:
        return b"\0" + sized(chance, 4_096), False
    if kind == 1:
        return chance.choice((b"\0\xff\xff\xff", b"\x01\0\0\0", b"\xff\xff\xff\xff")) + sized(chance, 512), False
    body = abyss(chance) if kind == 2 else packed(chance, any_tree(chance))
    if 3 <= kind < 6 and _may_be_damaged(body):
        body = damaged(chance, body)
    if kind == 6:
        body = packed(chance, any_tree(chance), loose=0.2)
    framed = len(body).to_bytes(4, "big") + body
    if kind == 7 and _may_be_damaged(body):
        return b"\0" + damaged(chance, framed), False
    return framed, True


def replies(data: bytes) -> Iterator[object]:
    """The values that a daemon sent, in whichever framing. Raises: msgspec.DecodeError: they are none."""
    if data[:1] != b"\0":
        for text in data.splitlines():
            yield msgspec.json.decode(text)
        return
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        yield msgspec.msgpack.decode(data[4:end])
        data = data[end:]


def verdict(reply: object) -> tuple[str, bool]:
    """What a reply says, and whether the document declares it."""
    if not isinstance(reply, dict):
        return "no object", False
    known = cast("dict[str, object]", reply)
    if known.get("jsonrpc") != "2.0":
        return "no JSON-RPC", False
    error = known.get("error")
    if error is None:
        return ("event" if known.get("method") == "event" else "result"), "result" in known or "params" in known
    try:
        name, code = error["data"]["name"], error["code"]  # type: ignore[index]  # a reply without them is a finding
    except (KeyError, TypeError):
        return "an error without a name", False
    return str(name), name != "INTERNAL" and code is not None and _CODES.get(name) == code


async def clients(socket: Path, feed: Feed) -> None:
    """Take inputs and send them, some dozens a connection."""
    while (first := feed.take()) is not None:
        with trio.move_on_after(END_S) as scope:
            try:
                async with await trio.open_unix_socket(str(socket)) as stream:
                    await _one_client(stream, feed, first)
            except OSError as error:
                feed.found(f"the socket does not answer: {type(error).__name__}")
        if scope.cancelled_caught:
            feed.found(f"the daemon had not ended the connection after {END_S:g} s", first)


async def _one_client(stream: trio.SocketStream, feed: Feed, first: Input) -> None:
    """One connection; ends it in one of three ways: its half, all of it at once, or with replies on their way."""
    is_json = first.chance.random() < 0.5
    left = first.chance.choice((1, 10, 40))
    leaves = first.chance.random() < 0.2
    received = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_read, stream, received)
        taken: Input | None = first
        while taken is not None:
            data, goes_on = (json_input(taken.chance), True) if is_json else msgpack_input(taken.chance)
            with suppress(trio.BrokenResourceError):  # refused before all was sent
                await stream.send_all(taken.sending(data))
            left -= 1
            feed.done(taken)
            taken = feed.take() if goes_on and left > 0 else None
        if leaves:
            nursery.cancel_scope.cancel()
        with suppress(trio.BrokenResourceError):
            await stream.send_eof()
    for reply in [] if leaves else _all(received, feed, first):
        what, declared = verdict(reply)
        feed.outcomes[what] += 1
        if not declared:
            feed.found(f"an undeclared reply, {what}: {str(reply)[:300]}")


async def _read(stream: trio.SocketStream, received: bytearray) -> None:
    with suppress(trio.BrokenResourceError):
        while data := await stream.receive_some(65_536):
            received += data


def _all(received: bytearray, feed: Feed, first: Input) -> list[object]:
    try:
        found = list(replies(bytes(received)))
    except msgspec.DecodeError as error:
        feed.found(f"an unreadable reply: {error}")
        return []
    return [each for reply in found for each in (cast("list[object]", reply) if isinstance(reply, list) else [reply])]
