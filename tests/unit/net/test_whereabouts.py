"""What a node tells of its own addresses, and to whom."""

from __future__ import annotations

from p2pchat.net.addresses import parse_address
from p2pchat.net.whereabouts import Whereabouts

OWN = parse_address("/ip4/9.9.9.9/tcp/1")[0]
MAPPED = parse_address("/ip4/8.8.8.8/tcp/2")[0]


def test_who_comes_through_a_relay_is_told_of_no_address_but_those_of_a_public_node() -> None:
    whereabouts = Whereabouts()
    whereabouts.bound = (OWN,)
    whereabouts.tell("mapped", [MAPPED])
    for standing, told in (("unknown", ()), ("private", ()), ("public", (OWN, MAPPED))):
        whereabouts.standing = standing  # type: ignore[assignment]
        assert whereabouts.shown_to(None) == told
        assert whereabouts.shown_to(("7.7.7.7", 3)) == (OWN, MAPPED)


def test_the_last_word_of_each_source_counts() -> None:
    whereabouts = Whereabouts()
    whereabouts.bound = (OWN,)
    whereabouts.tell("observed", [MAPPED])
    whereabouts.tell("mapped", [MAPPED])
    whereabouts.tell("observed", [])
    assert whereabouts.addresses() == (OWN, MAPPED)
    whereabouts.tell("mapped", [])
    assert whereabouts.addresses() == (OWN,)
