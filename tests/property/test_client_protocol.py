"""The clients' protocol: any split of the bytes, whatever comes between replies, and what is no daemon at all."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.client import protocol as client_protocol
from p2pchat.client.following import LONGEST_S, Following, Pauses
from p2pchat.client.protocol import Event, Message, Protocol, Reply, Told, Unasked

NAMES = st.sampled_from(["PARSE", "INVALID_REQUEST", "LOCKED", "CURSOR_EXPIRED", "OF_A_NEWER_DAEMON"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner, max_size=3)
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=4)

Line = tuple[dict[str, Any], Any]
"""What the daemon says, and what the client must understand by it; None: nothing."""


def reply(number: int, result: dict[str, Any]) -> Line:
    return {"jsonrpc": "2.0", "id": number, "result": result}, ("reply", number, result)


def refusal(number: int | None, name: str, data: dict[str, Any]) -> Line:
    data = {key: value for key, value in data.items() if key != "name"}
    error = {"code": 1, "message": "A sentence.", "data": {"name": name, **data}}
    meaning = ("unasked" if number is None else "refused", number, name, data)
    return {"jsonrpc": "2.0", "id": number, "error": error}, meaning


def event(seq: int | None, data: dict[str, Any]) -> Line:
    told = {"seq": seq, "ts": 1, "type": "message.received", "data": data}
    return {"jsonrpc": "2.0", "method": "event", "params": {"subscription": "s", **told}}, ("told", told)


LINES = st.one_of(
    st.builds(reply, st.integers(1, 9), OBJECTS),
    st.builds(refusal, st.none() | st.integers(1, 9), NAMES, OBJECTS),
    st.builds(event, st.none() | st.integers(1, 99), OBJECTS),
    st.sampled_from(
        [
            ({"jsonrpc": "2.0", "method": "of_a_newer_daemon", "params": {"x": 1}}, None),
            ({"jsonrpc": "2.0", "id": "not ours", "result": {}}, None),
            ({"jsonrpc": "2.0", "id": None, "result": {}}, None),
            ({}, None),
        ]
    ),
)


def meaning(message: Message) -> object:
    match message:
        case Reply():
            if message.error is None:
                return ("reply", message.number, message.result)
            return ("refused", message.number, message.error.error_name, message.error.data)
        case Unasked():
            return ("unasked", None, message.error.error_name, message.error.data)
        case Told():
            return ("told", message.event)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[begin:end] for begin, end in pairwise(places)]


def understood(protocol: Protocol, parts: list[bytes]) -> list[object]:
    found: list[object] = []
    for part in parts:
        protocol.feed(part)
        while (message := protocol.next_message()) is not None:
            found.append(meaning(message))
    return found


@settings(max_examples=50)
@given(lines=st.lists(LINES, max_size=8), cuts=st.lists(st.integers(0, 10_000), max_size=30), ascii_only=st.booleans())
def test_however_the_bytes_are_split_the_messages_are_the_same(
    lines: list[Line], cuts: list[int], ascii_only: bool
) -> None:
    data = b"".join(json.dumps(line, ensure_ascii=ascii_only).encode() + b"\n" for line, _ in lines)
    protocol = Protocol()
    assert understood(protocol, pieces(data, cuts)) == [expected for _, expected in lines if expected is not None]
    protocol.feed(b"")
    with pytest.raises(NoDaemon):
        protocol.next_message()


@given(lines=st.lists(LINES, max_size=5), rest=st.binary(max_size=200), cuts=st.lists(st.integers(0, 500), max_size=5))
def test_what_came_before_the_end_or_before_nonsense_is_told_first(
    lines: list[Line], rest: bytes, cuts: list[int]
) -> None:
    protocol = Protocol()
    data = b"".join(json.dumps(line).encode() + b"\n" for line, _ in lines)
    told = understood(protocol, [data]) if data else []
    assert told == [expected for _, expected in lines if expected is not None]
    with pytest.raises(NoDaemon):
        understood(protocol, [*pieces(rest, cuts), b"\nno JSON\n"])
    for more in (data, b"", b"x"):  # and it stays so
        protocol.feed(more)
        with pytest.raises(NoDaemon):
            protocol.next_message()


def test_a_line_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_protocol, "LINE_BYTES", 100)
    protocol = Protocol()
    protocol.feed(b'{"id":1}' + b" " * 91 + b"\n" + b"x" * 99)
    first = protocol.next_message()
    assert first is not None
    assert meaning(first) == ("reply", 1, {})
    assert protocol.next_message() is None
    protocol.feed(b"x")
    with pytest.raises(NoDaemon, match="no daemon of p2pchat"):
        protocol.next_message()


@given(params=OBJECTS, method=st.text(min_size=1))
def test_a_request_is_one_line_and_numbers_rise(params: dict[str, Any], method: str) -> None:
    protocol = Protocol()
    for expected in (1, 2):
        number, line = protocol.request(method, params)
        assert line.count(b"\n") == 1
        assert line.isascii()
        assert json.loads(line) == {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        assert number == expected


# -- where a reader is ---------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 1 << 32))
def test_a_reader_that_is_cut_off_at_any_moment_hears_everything_once(seed: int) -> None:
    """A daemon in three lines: a log, a cursor of the consumer, and a subscription that ends at any moment."""
    chance = random.Random(seed)
    log, acked = [*range(1, 21)], 0
    told: list[int | None] = []
    following = Following(Pauses(lambda: 0.5), since=0, consumer="bot")
    while len(told) < len(log):
        if told and (ack := following.ack()) is not None:
            carried_out, heard = chance.random() < 0.7, chance.random() < 0.7
            acked = max(acked, int(str(ack["seq"]))) if carried_out else acked
            if not (carried_out and heard):
                assert 0 <= following.after(NoDaemon("cut")) <= LONGEST_S
                continue
            following.acked(ack)
        since = following.subscription()["since"]
        cursor = since if isinstance(since, int) else acked
        following.began({"cursor": cursor})
        for seq in log[cursor : cursor + chance.randint(0, 4)]:
            event = following.told(Event(seq=seq, ts=1, type="x", data={}))
            told.append(event["seq"])
            following.proceed()
            assert acked < seq
            break
        else:
            following.after(NoDaemon("cut"))
    assert told == log


def test_pauses_grow_differ_and_begin_anew() -> None:
    chances = iter([0.0, 1.0, 0.0, 0.5] + [0.0] * 9)
    pauses = Pauses(lambda: next(chances))
    lost = NoDaemon("lost")
    assert [round(pauses.after(lost), 3) for _ in range(8)] == [0.1, 0.1, 0.4, 0.6, 1.6, 3.2, 5.0, 5.0]
    pauses.begin_anew()
    assert pauses.after(lost) == 0.1
    assert pauses.after(ApiError("RATE_LIMITED", "Slower.", {"retry_after_ms": 9000})) == 9
    for said, pause_s in ((10**400, 3600), (-1, 0.8), ("soon", 1.6)):  # none of which a daemon says
        assert pauses.after(ApiError("RATE_LIMITED", "Slower.", {"retry_after_ms": said})) == pause_s
