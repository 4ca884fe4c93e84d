"""Any bytes on the control socket: nothing but the declared errors, and what was encoded comes back."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from p2pchat.api.codec import JSON_LINES, MSGPACK_FRAMES, FrameError, Framing, ParseError, Splitter
from p2pchat.api.schema import METHODS, parse
from p2pchat.base.errors import UsageError
from p2pchat.control.jsonrpc import InvalidRequest, parse_request

framings = st.sampled_from([JSON_LINES, MSGPACK_FRAMES])
text = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | text | st.binary()
keys = text.filter(lambda key: key != "$b64")
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)
broken_text = st.text(st.characters(categories=["Cs", "Cc", "L", "P"]))
anything = values | st.floats() | broken_text
requests = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "method": broken_text}, optional={"id": anything, "params": anything}
)


@given(framings, values)
def test_values_round_trip(framing: Framing, value: object) -> None:
    assert framing.decode(framing.encode(value)) == value


@given(framings, st.lists(values, max_size=5))
def test_joined_bodies_are_the_list(framing: Framing, items: list[object]) -> None:
    assert framing.decode(framing.join([framing.encode(item) for item in items])) == items


@given(framings, st.binary() | st.text().map(lambda text: text.encode(errors="surrogatepass")))
def test_any_frame_is_decoded_or_refused(framing: Framing, frame: bytes) -> None:
    with suppress(ParseError):
        framing.decode(frame)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_any_stream_is_cut_or_refused(chunks: list[bytes]) -> None:
    splitter = Splitter()
    try:
        for chunk in chunks:
            splitter.feed(chunk)
            while (frame := splitter.next_frame()) is not None:
                assert isinstance(frame, bytes)
        splitter.rest()
    except FrameError:
        assert splitter.framing is None or splitter.framing is MSGPACK_FRAMES


@given(st.lists(values, min_size=1, max_size=4), framings, st.data())
def test_cutting_a_stream_anywhere_changes_nothing(items: list[object], framing: Framing, data: st.DataObject) -> None:
    wrapped = [{"item": item} for item in items]
    stream = b"".join(framing.frame(framing.encode(item)) for item in wrapped)
    cut = data.draw(st.integers(0, len(stream)))
    splitter = Splitter()
    found = []
    for part in (stream[:cut], stream[cut:]):
        splitter.feed(part)
        while (frame := splitter.next_frame()) is not None:
            found.append(framing.decode(frame))
    assert found == wrapped


@given(anything | requests)
def test_any_value_is_a_request_or_refused_with_an_id_that_can_be_sent(value: object) -> None:
    try:
        found = parse_request(value).id
    except InvalidRequest as error:
        found = error.id
    for framing in (JSON_LINES, MSGPACK_FRAMES):
        assert framing.decode(framing.encode([found])) == [found]


@given(st.sampled_from(sorted(METHODS)), st.dictionaries(broken_text, anything, max_size=3), st.data())
def test_any_parameters_are_checked_or_refused_with_a_sentence_that_can_be_sent(
    method: str, params: dict[str, object], data: st.DataObject
) -> None:
    names = METHODS[method].params.__struct_encode_fields__
    params |= {name: data.draw(anything, label=name) for name in names if data.draw(st.booleans())}
    refusal = None
    try:
        parse(method, params)
    except UsageError as error:
        refusal = error
    if refusal is not None:
        assert refusal.error_name in ("INVALID_PARAMS", "TOO_LARGE")
        JSON_LINES.encode([refusal.message, refusal.data])
