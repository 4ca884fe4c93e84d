"""What ``message.send`` is decoded into at one go is what the long way makes of it, or nothing."""

from __future__ import annotations

import json
from typing import Final

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2pchat.api import calls, schema
from p2pchat.api.codec import JSON_LINES, MSGPACK_FRAMES, Framing, ParseError
from p2pchat.base.errors import UsageError
from p2pchat.control import jsonrpc, quick

SENDS: Final = {"to": "Bob", "text": "Hello"}

ids = st.one_of(st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.text(max_size=300), st.just([1]))
values = st.one_of(
    ids,
    st.sampled_from(["Bob", "queued", "delivered", "2.0", 0, 86_400_000, -1, True, {}, {"$b64": "AAAA"}]),
    st.text(max_size=8),
)
params = st.one_of(
    st.just(SENDS),
    st.fixed_dictionaries(
        {},
        optional={
            "to": values,
            "text": values,
            "live_only": values,
            "wait": values,
            "timeout_ms": values,
            "idempotency_key": values,
            "other": values,
        },
    ).map(lambda given: SENDS | given),
    values,
)
requests = st.one_of(
    st.fixed_dictionaries(
        {"jsonrpc": st.sampled_from(["2.0", "2.0", "1.0", 2]), "method": st.just("message.send"), "params": params},
        optional={"id": ids, "other": values},
    ),
    values,
)
frames = st.one_of(requests, st.lists(requests, max_size=4))


def the_long_way(value: object) -> jsonrpc.Ready | None:
    """What one decoded value asks for; None: it is wrong, or waits."""
    try:
        request = jsonrpc.parse_request(value)
        asked = msgspec.convert(request.params, calls.MessageSend)
        schema.parse(request.method, request.params)
    except msgspec.ValidationError:
        return None
    except UsageError as error:
        if error.error_name not in ("INVALID_PARAMS", "TOO_LARGE"):
            return None
        # what the types allow and check() refuses is decoded, and refused when it is checked
        request = jsonrpc.parse_request(value)
        try:
            asked = msgspec.convert(request.params, calls.MessageSend)
        except msgspec.ValidationError:
            return None
    return None if asked.wait is not None else jsonrpc.Ready(request.id, asked, request.wants_reply)


def check(framing: Framing, frame: bytes) -> None:
    found = quick.read(framing, frame)
    if found is None:
        return
    decoded = framing.decode(frame)
    if isinstance(found, list):
        assert isinstance(decoded, list)
        assert found == [the_long_way(each) for each in decoded]
    else:
        assert found == the_long_way(decoded)


@given(frames)
@example({"jsonrpc": "2.0", "method": "message.send", "params": SENDS, "id": 1 << 64})
@example({"jsonrpc": "2.0", "method": "message.send", "params": SENDS, "id": "x" * 257})
@example({"jsonrpc": "2.0", "method": "message.send", "params": SENDS | {"text": "\ud800"}, "id": 1})
def test_it_means_the_same_in_json(value: object) -> None:
    check(JSON_LINES, json.dumps(value).encode())
    check(JSON_LINES, json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))


@given(frames)
def test_it_means_the_same_in_msgpack(value: object) -> None:
    try:
        frame = msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return
    check(MSGPACK_FRAMES, frame)


@given(st.binary(max_size=64))
def test_junk_is_nothing(frame: bytes) -> None:
    for framing in (JSON_LINES, MSGPACK_FRAMES):
        try:
            framing.decode(frame)
        except ParseError:
            assert quick.read(framing, frame) is None


@pytest.mark.parametrize("framing", [JSON_LINES, MSGPACK_FRAMES])
def test_what_is_meant_is_taken(framing: Framing) -> None:
    request = {"jsonrpc": "2.0", "id": 7, "method": "message.send", "params": SENDS}
    expected = jsonrpc.Ready(7, calls.MessageSend(to="Bob", text="Hello"), wants_reply=True)
    assert quick.read(framing, framing.encode(request)) == expected
    assert quick.read(framing, framing.encode([request, request])) == [expected, expected]
    silent = {key: request[key] for key in ("jsonrpc", "method", "params")}
    assert quick.read(framing, framing.encode(silent)) == expected._replace(id=None, wants_reply=False)


@pytest.mark.parametrize("wrong", [{"id": 1 << 64}, {"id": "x" * 257}, {"id": True}, {"method": "message.get"}])
def test_what_is_unusual_goes_the_long_way(wrong: dict[str, object]) -> None:
    request = {"jsonrpc": "2.0", "id": 7, "method": "message.send", "params": SENDS} | wrong
    assert quick.read(JSON_LINES, json.dumps(request).encode()) is None
    waits = {"jsonrpc": "2.0", "id": 7, "method": "message.send", "params": SENDS | {"wait": "sent"}}
    assert quick.read(JSON_LINES, json.dumps(waits).encode()) is None
