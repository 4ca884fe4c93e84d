"""core against the vectors of PROTOCOL.md 3.5, kind 4, which a second implementation made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.base.ids import Address, PeerId
from p2pchat.core.nodes_link import NamedNode, decode_nodes, encode_nodes
from tests.vectors import independent_nodes

Case = dict[str, Any]
VECTORS: dict[str, list[Case]] = json.loads(independent_nodes.PATH.read_text(encoding="utf-8"))


def cases(kind: str) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in VECTORS[kind]]


def node(said: Case) -> NamedNode:
    return NamedNode(
        PeerId(bytes.fromhex(said["peer_id"])), tuple(Address(bytes.fromhex(each)) for each in said["addresses"])
    )


def test_the_file_is_what_the_second_implementation_makes() -> None:
    assert independent_nodes.make() == VECTORS


@pytest.mark.parametrize("case", cases("link"))
def test_links_of_nodes(case: Case) -> None:
    nodes = [node(each) for each in case["nodes"]]
    assert encode_nodes(nodes) == case["links"]
    assert [each for link in case["links"] for each in decode_nodes(link, "links")] == nodes


@pytest.mark.parametrize("case", cases("link_refused"))
def test_what_is_no_link_of_nodes(case: Case) -> None:
    with pytest.raises(UsageError):
        decode_nodes(case["link"], "links")
