"""Links of nodes; byte for byte: tests/vectors/test_nodes.py."""

from __future__ import annotations

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import Address, PeerId, RootKey
from p2pchat.core import codec
from p2pchat.core.discovery import PEER_ID_PREFIX
from p2pchat.core.links import PAYLOAD_BYTES, decode_link, encode_link
from p2pchat.core.mailbox_link import Holder, encode_mailbox_link
from p2pchat.core.nodes_link import LINK_NODES, NamedNode, decode_nodes, encode_nodes
from p2pchat.core.verify import verify_link


def peer(number: int) -> PeerId:
    return PeerId(PEER_ID_PREFIX + number.to_bytes(32, "big"))


def node(number: int, *addresses: bytes) -> NamedNode:
    return NamedNode(peer(number), tuple(map(Address, addresses)))


def link(*fields: object) -> str:
    return encode_link(codec.encode(list(fields)))


@pytest.mark.parametrize(
    "nodes",
    [
        [node(0, b"a")],
        [node(0, b"a", b"b", b"c", b"d")],
        [node(0, b"a" * 128, b"b" * 128, b"c" * 128)],
        [node(number, b"1234567") for number in range(8)],
    ],
)
def test_what_was_written_is_read(nodes: list[NamedNode]) -> None:
    (only,) = encode_nodes(nodes)
    assert decode_nodes(only, "link") == tuple(nodes)


def test_as_many_links_as_are_needed_and_no_more() -> None:
    nodes = [node(number, b"1234567") for number in range(20)]
    links = encode_nodes(nodes)
    assert [len(decode_nodes(each, "link")) for each in links] == [LINK_NODES, LINK_NODES, 4]
    assert [each for text in links for each in decode_nodes(text, "link")] == nodes
    large = [node(number, b"x" * 100, b"y" * 100) for number in range(5)]
    links = encode_nodes(large)
    assert [len(decode_nodes(each, "link")) for each in links] == [2, 2, 1]
    assert all(len(decode_link(each)) <= PAYLOAD_BYTES for each in links)
    assert encode_nodes([]) == []


def test_what_is_too_much_or_too_long_is_left_out() -> None:
    given = [node(0, b"", b"a", b"b" * 129, b"c", b"d", b"e", b"f"), node(1), node(2, b"g" * 129), node(3, b"h")]
    (only,) = encode_nodes(given)
    assert decode_nodes(only, "link") == (node(0, b"a", b"c", b"d", b"e"), node(3, b"h"))
    (only,) = encode_nodes([node(0, *[b"a" * 128] * 4)])
    assert decode_nodes(only, "link") == (node(0, *[b"a" * 128] * 3),)


@pytest.mark.parametrize(
    "text",
    [
        link(4, []),
        link(4, [[bytes(peer(0)), []]]),
        link(4, [[bytes(peer(0)), [b""]]]),
        link(4, [[bytes(peer(0)), [b"a"] * 5]]),
        link(4, [[bytes(peer(0)), [b"a" * 129]]]),
        link(4, [[bytes(peer(0)), [b"a"]]] * 9),
        link(4, [[bytes(38), [b"a"]]]),
        link(4, [[bytes(peer(0))[:-1], [b"a"]]]),
        link(4, [[bytes(peer(0)), [b"a"], 1]]),
        link(4, [bytes(peer(0)), [b"a"]]),
        link(4, [[bytes(peer(0)), [b"a"]]], 0),
        link(5, [[bytes(peer(0)), [b"a"]]]),
        encode_link(codec.encode([4, [[bytes(peer(0)), [b"a"]]]]) + b"\0"),
        encode_mailbox_link(Holder(peer(0), (Address(b"a"),))),
        verify_link(RootKey(bytes(32)), None),
    ],
)
def test_another_link_is_refused_with_a_sentence_that_does_not_quote_it(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        decode_nodes(text, "links")
    assert refused.value.error_name == "INVALID_PARAMS"
    assert refused.value.message == "links: is a link, but not one of nodes"
    assert refused.value.data == {"param": "links"}
    assert refused.value.__cause__ is None


def test_what_is_no_link_at_all_is_said_to_be_none() -> None:
    with pytest.raises(UsageError, match="links: is no link"):
        decode_nodes("/ip4/192.0.2.1/tcp/1", "links")
