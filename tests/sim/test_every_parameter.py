"""Every parameter of every method through the real dispatch: what rpc.discover does not allow is refused by name.

The values are made of the document itself: so one that the check takes and the document does not, or the other way
round, fails here, and a method that is added is looked at without a line.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socketpair
from typing import Any

import msgspec
import pytest
import trio

from p2pchat.api import schema
from p2pchat.api.errors import code
from p2pchat.api.methods import COMMON_ERRORS
from p2pchat.api.methods import METHODS as TABLE
from p2pchat.base.errors import P2PChatError
from p2pchat.control.channel import Channel
from p2pchat.control.dispatch import Dispatch, Methods
from p2pchat.services.examine import Files
from p2pchat.store.db import Database
from p2pchat.testing.cluster import START_S
from p2pchat.testing.faulty import FaultyConnection, Ill
from tests.openrpc import METHODS, Json, example, fits, values
from tests.sim.every_method import Listener, World, lone
from tests.unit.control.test_locked import FakeKeeper


@asynccontextmanager
async def a_world(folder: Path) -> AsyncIterator[tuple[World, Methods]]:
    database = Database.open(None, bytes(32), lambda: START_S * 1000, threaded=False)
    methods = Methods(await lone(database), lambda _: False, "default", 0.0)
    dispatch = Dispatch(FakeKeeper(), lambda: methods, "default", 0.0, trio.Event(), Files(folder, folder / "config"))
    async with trio.open_nursery() as nursery:
        yield World(dispatch, Listener(nursery)), methods
        nursery.cancel_scope.cancel()
    await database.close()


def cases() -> Iterator[tuple[str, Json]]:
    for name, method in METHODS.items():
        for param in method["params"]:
            yield name, param


def needed(method: str) -> dict[str, object]:
    """The parameters that must be there, as short as they may be."""
    return {each["name"]: example(each["schema"]) for each in METHODS[method]["params"] if each["required"]}


def is_taken(method: str, param: str, value: object) -> bool:
    """Whether the type of the parameter takes a value; what only all parameters together say is not looked at."""
    kind = next(each for each in msgspec.structs.fields(TABLE[method].params) if each.encode_name == param)
    try:
        msgspec.convert(value, kind.type, dec_hook=schema._revived)
    except msgspec.ValidationError:
        return False
    return True


async def told(world: World, method: str, given: dict[str, object]) -> tuple[str, object]:
    """The name of the error, and the parameter that it names."""
    with pytest.raises(P2PChatError) as refused:
        await world.call(method, given)
    assert refused.value.message.startswith(f"{refused.value.data.get('param')}: ")
    return refused.value.error_name, refused.value.data.get("param")


async def test_what_the_document_does_not_allow_is_refused_by_name(tmp_path: Path) -> None:
    count = 0
    async with a_world(tmp_path) as (world, _):
        for method, param in cases():
            name = param["name"]
            for value in values(param["schema"]):
                allowed = fits(param["schema"], value)
                assert is_taken(method, name, value) is allowed, (method, name, value)
                if not allowed:
                    assert await told(world, method, needed(method) | {name: value}) == ("INVALID_PARAMS", name)
                    count += 1
    assert count > 2000


async def test_what_is_unknown_or_missing_is_refused_by_name(tmp_path: Path) -> None:
    async with a_world(tmp_path) as (world, _):
        for method in METHODS:
            for stray in ("stray", "idempotency_key" if not TABLE[method].mutating else "Idempotency_key"):
                assert await told(world, method, needed(method) | {stray: "x"}) == ("INVALID_PARAMS", stray)
        for method, param in cases():
            if param["required"]:
                given = {name: value for name, value in needed(method).items() if name != param["name"]}
                assert await told(world, method, given) == ("INVALID_PARAMS", param["name"])


async def test_half_a_surrogate_pair_is_refused_by_name_wherever_a_text_goes(tmp_path: Path) -> None:
    async with a_world(tmp_path) as (world, _):
        for method, param in cases():
            for value in spoilt(param["schema"]):
                told_of = await told(world, method, needed(method) | {param["name"]: value})
                assert told_of == ("INVALID_PARAMS", param["name"]), value


def spoilt(shown: Json) -> Iterator[object]:
    """Values of the right form with half of a surrogate pair in each text."""
    for value in values(shown):
        if fits(shown, value) and value and isinstance(value, str):
            yield "\ud800" + value[1:]
        elif fits(shown, value) and value and isinstance(value, list):
            for each in spoilt(
                shown.get("items") or next(any_of["items"] for any_of in shown["anyOf"] if "items" in any_of)
            ):
                yield [each]


# -- what any call may be answered ------------------------------------------------------------------------------------


def request(method: str, **params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def broken(methods: Methods) -> None:
    async def defect(*_: object) -> Any:  # noqa: ANN401  never
        raise ZeroDivisionError

    methods._handlers["contacts.list"] = defect


def on_a_disk(ill: Ill) -> Callable[[Methods], None]:
    """That takes nothing."""

    def strike(methods: Methods) -> None:
        FaultyConnection.under(methods._messages._context.db).ill = ill

    return strike


def damaged(methods: Methods) -> None:
    methods._messages._context.db._disk.state = "damaged"


def nothing(_: Methods) -> None:
    pass


NOTE = request("message.send", to="self", text="a note")
PROVOKED: dict[str, tuple[bytes, Callable[[Methods], None]]] = {
    "PARSE": (b"{", nothing),
    "INVALID_REQUEST": (b"{}", nothing),
    "METHOD_NOT_FOUND": (request("node.frobnicate"), nothing),
    "INVALID_PARAMS": (request("node.status", verbose=True), nothing),
    "INTERNAL": (request("contacts.list"), broken),
    "LOCKED": (request("contacts.list"), nothing),
    "STORE": (NOTE, on_a_disk("failing")),
    "TOO_LARGE": (request("message.send", to="self", text="x" * 65_537), nothing),
    "NO_SPACE": (NOTE, on_a_disk("full")),
    "CORRUPT": (NOTE, damaged),
}


def test_every_common_error_is_provoked() -> None:
    assert tuple(PROVOKED) == COMMON_ERRORS


@pytest.mark.parametrize("name", COMMON_ERRORS)
async def test_what_any_call_may_be_answered(name: str, tmp_path: Path) -> None:
    line, provoke = PROVOKED[name]
    async with a_world(tmp_path) as (world, methods):
        provoke(methods)
        if name == "LOCKED":
            world.dispatch._unlocked = lambda: None
        error = await answer(world.dispatch, line)
        assert (error["code"], error["data"]["name"]) == (code(name), name)
        assert error["message"]


async def answer(dispatch: Dispatch, line: bytes) -> dict[str, Any]:
    """The error that one line is answered with."""
    ours, theirs = (trio.SocketStream(trio.socket.from_stdlib_socket(each)) for each in socketpair())
    async with trio.open_nursery() as nursery, ours, theirs:
        nursery.start_soon(Channel(theirs, dispatch, dispatch).run)
        await ours.send_all(line + b"\n")
        await ours.send_eof()
        replied = b""
        while data := await ours.receive_some():
            replied += data
            if data.endswith(b"\n"):
                break
        nursery.cancel_scope.cancel()
    error: dict[str, Any] = json.loads(replied)["error"]
    return error
