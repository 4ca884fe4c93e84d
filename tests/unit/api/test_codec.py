"""Both framings: what goes in comes out, what is malformed spoils itself alone."""

from __future__ import annotations

import json

import msgpack
import pytest

from p2pchat.api.codec import (
    FRAME_BYTES,
    JSON_LINES,
    MSGPACK_FRAMES,
    NESTING,
    FrameError,
    Framing,
    ParseError,
    Splitter,
)
from p2pchat.api.objects import Holder
from p2pchat.base.errors import UsageError

FRAMINGS = pytest.mark.parametrize("framing", [JSON_LINES, MSGPACK_FRAMES], ids=["json", "msgpack"])


def nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


def frames(splitter: Splitter) -> list[bytes]:
    found: list[bytes] = []
    while (frame := splitter.next_frame()) is not None:
        found.append(frame)
    return found


@pytest.mark.parametrize("first", [b"{", b"[", b" ", b"\t", b"\r", b"\n"])
def test_json_is_chosen_by_a_bracket_or_white_space(first: bytes) -> None:
    splitter = Splitter()
    splitter.feed(first)
    assert splitter.framing is JSON_LINES


def test_msgpack_is_chosen_by_a_zero_byte() -> None:
    splitter = Splitter()
    splitter.feed(b"\0")
    assert splitter.framing is MSGPACK_FRAMES


@pytest.mark.parametrize("first", [b"G", b'"', b"1", b"\x01", b"\xff"])
def test_any_other_first_byte_ends_the_stream(first: bytes) -> None:
    with pytest.raises(FrameError) as caught:
        Splitter().feed(first)
    assert caught.value.error_name == "PARSE"


@FRAMINGS
def test_frames_are_found_however_the_stream_is_cut(framing: Framing) -> None:
    bodies = [framing.encode({"a": i}) for i in range(3)]
    stream = b"".join(framing.frame(body) for body in bodies)
    splitter = Splitter()
    found: list[bytes] = []
    for i in range(len(stream)):
        splitter.feed(stream[i : i + 1])
        found += frames(splitter)
    assert found == bodies


def test_blank_lines_are_no_frames() -> None:
    splitter = Splitter()
    splitter.feed(b"\n \r\n\t\n{}\r\n\n")
    assert frames(splitter) == [b"{}\r"]


def test_the_last_line_needs_no_line_feed() -> None:
    splitter = Splitter()
    splitter.feed(b'{"a":1}\n{"b":2}')
    assert frames(splitter) == [b'{"a":1}']
    assert splitter.rest() == b'{"b":2}'
    assert splitter.rest() is None


def test_half_a_msgpack_frame_is_no_last_frame() -> None:
    splitter = Splitter()
    splitter.feed(b"\0\0\0\x05ab")
    assert splitter.next_frame() is None
    assert splitter.rest() is None


def test_a_line_is_refused_before_it_is_complete() -> None:
    splitter = Splitter()
    splitter.feed(b"[" * FRAME_BYTES)
    assert splitter.next_frame() is None
    splitter.feed(b"[")
    with pytest.raises(FrameError):
        splitter.next_frame()


def test_the_longest_msgpack_length_begins_with_zero_and_a_longer_one_is_refused() -> None:
    assert MSGPACK_FRAMES.frame(b"x" * FRAME_BYTES)[0] == 0
    splitter = Splitter()
    splitter.feed(b"\0\0\0\x01\x90" + (FRAME_BYTES + 1).to_bytes(4, "big"))
    assert splitter.next_frame() == b"\x90"
    with pytest.raises(FrameError):
        splitter.next_frame()


@FRAMINGS
def test_values_round_trip_bytes_included(framing: Framing) -> None:
    value = {"text": "한글 🙂 \0 \u202e", "bytes": b"\0\xff", "list": [1, -1, None, True, {"x": 1.5}]}
    assert framing.decode(framing.encode(value)) == value


def test_json_bytes_look_as_documented() -> None:
    assert JSON_LINES.encode({"a": [b"\0\xff"]}) == b'{"a":[{"$b64":"AP8="}]}'


@pytest.mark.parametrize("text", ["*", "AP8", "AP8=\n", "Ä"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        JSON_LINES.decode(json.dumps({"$b64": text}).encode())


@FRAMINGS
def test_structs_are_encoded_as_maps(framing: Framing) -> None:
    assert framing.decode(framing.encode({"h": Holder(id="ab", until_ms=1)})) == {"h": {"id": "ab", "until_ms": 1}}


@FRAMINGS
@pytest.mark.parametrize("count", [0, 1, 15, 16, 70_000])
def test_joined_bodies_are_one_list(framing: Framing, count: int) -> None:
    values = list(range(count))
    assert framing.decode(framing.join([framing.encode(value) for value in values])) == values


def test_msgpack_agrees_with_another_implementation() -> None:
    value = {"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"b": b"\0", "t": "한", "n": [None, -5, 1 << 40]}}
    assert msgpack.unpackb(MSGPACK_FRAMES.encode(value)) == value
    assert MSGPACK_FRAMES.decode(msgpack.packb(value) or b"") == value


@FRAMINGS
def test_nesting_is_bounded_at_the_same_depth(framing: Framing) -> None:
    assert framing.decode(framing.encode(nested(NESTING))) == nested(NESTING)
    with pytest.raises(ParseError):
        framing.decode(framing.encode(nested(NESTING + 1)))


@pytest.mark.parametrize(
    ("framing", "frame"),
    [(JSON_LINES, b"[" * 1_000_000), (MSGPACK_FRAMES, b"\x91" * 1_000_000), (MSGPACK_FRAMES, b"\x81\xa1a" * 300_000)],
)
def test_bottomless_nesting_is_an_error_and_no_crash(framing: Framing, frame: bytes) -> None:
    with pytest.raises(ParseError):
        framing.decode(frame)


@pytest.mark.parametrize("line", [b"{", b"nul", b"{}{}", b"\xff", b'"\xed\xa0\x80"', b"NaN", b"Infinity", b"'a'"])
def test_malformed_json_is_refused(line: bytes) -> None:
    with pytest.raises(ParseError):
        JSON_LINES.decode(line)


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x92\x01", b"\x01\x01", b"\xa1\xff", b"\x81\x80\x01"])
def test_malformed_msgpack_is_refused(frame: bytes) -> None:
    with pytest.raises(ParseError):
        MSGPACK_FRAMES.decode(frame)


@pytest.mark.parametrize(
    ("framing", "frame"),
    [
        (JSON_LINES, b'{"text":"canary \xff"}'),
        (JSON_LINES, b'{"text":"canary \\ud800"'),
        (JSON_LINES, b'{"canary":NaN}'),
        (MSGPACK_FRAMES, b"\xa8canary \xff"),
        (MSGPACK_FRAMES, b"\xa8canary"),
    ],
)
def test_no_error_holds_what_was_malformed(framing: Framing, frame: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        framing.decode(frame)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "canary" not in repr(caught.value)


def test_a_lone_surrogate_escape_is_passed_on() -> None:
    assert JSON_LINES.decode(b'{"text":"\\ud800"}') == {"text": "\ud800"}
    assert JSON_LINES.decode(b'{"text":"\\ud83d\\ude42"}') == {"text": "🙂"}


@FRAMINGS
def test_a_value_longer_than_a_frame_is_too_large(framing: Framing) -> None:
    with pytest.raises(UsageError) as caught:
        framing.encode("x" * (FRAME_BYTES + 1))
    assert caught.value.error_name == "TOO_LARGE"
