"""Links of nodes: any list is written so that it is read as it was, and any text is read or refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.discovery import ADDRESS_BYTES, PEER_ID_PREFIX
from p2pchat.core.links import encode_link
from p2pchat.core.nodes_link import NODE_ADDRESSES, NamedNode, decode_nodes, encode_nodes

NODES = st.builds(
    lambda key, addresses: NamedNode(PeerId(PEER_ID_PREFIX + key), tuple(map(Address, addresses))),
    st.binary(min_size=32, max_size=32),
    st.lists(st.binary(max_size=ADDRESS_BYTES + 2), max_size=NODE_ADDRESSES + 2),
)


@given(st.lists(NODES, max_size=12))
def test_what_fits_is_read_in_its_order(nodes: list[NamedNode]) -> None:
    read = [each for link in encode_nodes(nodes) for each in decode_nodes(link, "links")]
    fit = [(node, [each for each in node.addresses if 0 < len(each) <= ADDRESS_BYTES]) for node in nodes]
    told = [(node.peer_id, addresses) for node, addresses in fit if addresses]
    assert [each.peer_id for each in read] == [peer for peer, _ in told]
    for each, (_, addresses) in zip(read, told, strict=True):
        assert 1 <= len(each.addresses) <= NODE_ADDRESSES
        assert list(each.addresses) == addresses[: len(each.addresses)]


@given(st.binary(min_size=1, max_size=512).map(encode_link) | st.text(max_size=100))
def test_any_text(text: str) -> None:
    try:
        nodes = decode_nodes(text, "links")
    except UsageError:
        return
    assert decode_nodes(encode_nodes(nodes)[0], "links") == nodes
