"""What is made ready of ``message.send`` at one go is what the long way makes of it, or nothing."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from p2pchat.api import calls, schema
from p2pchat.api.codec import JSON_LINES, MSGPACK_FRAMES, Framing
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


def check(value: object) -> None:
    for each in value if isinstance(value, list) else [value]:
        found = quick.ready(each)
        assert found is None or found == the_long_way(each)


@given(frames)
@example({"jsonrpc": "2.0", "method": "message.send", "params": SENDS, "id": 1 << 64})
@example({"jsonrpc": "2.0", "method": "message.send", "params": SENDS, "id": True})
@example({"jsonrpc": "2.0", "method": "message.send", "params": SENDS | {"text": "\ud800"}, "id": 1})
@example({"jsonrpc": "2.0", "method": "message.send", "params": SENDS | {"to": "\ud800"}, "id": 1})
@example({"jsonrpc": "2.0", "method": "message.send", "params": SENDS | {"to": "x" * 257}, "id": 1})
@example({"jsonrpc": "2.0", "method": "message.send", "params": SENDS, "id": 1})
def test_it_means_the_same(value: object) -> None:
    check(value)


@pytest.mark.parametrize("framing", [JSON_LINES, MSGPACK_FRAMES])
def test_what_is_meant_is_made_ready(framing: Framing) -> None:
    request = {"jsonrpc": "2.0", "id": 7, "method": "message.send", "params": SENDS}
    expected = jsonrpc.Ready(7, calls.MessageSend(to="Bob", text="Hello"), wants_reply=True)
    assert quick.ready(framing.decode(framing.encode(request))) == expected


@pytest.mark.parametrize(
    "unusual",
    [
        {"id": 1 << 64},
        {"id": "x"},
        {"id": True},
        {"method": "message.get"},
        {"params": SENDS | {"wait": "sent"}},
        {"params": SENDS | {"idempotency_key": "k"}},
        {"params": {"to": "Bob"}},
        {"other": 1},
    ],
)
def test_what_is_unusual_goes_the_long_way(unusual: dict[str, object]) -> None:
    assert quick.ready({"jsonrpc": "2.0", "id": 7, "method": "message.send", "params": SENDS} | unusual) is None
