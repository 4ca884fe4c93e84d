"""Who knows whom in a test network, what it may be asked for, and what is said of anything else."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from testnet.__main__ import main
from testnet.asking import NoSuchNode, islands_of, table
from testnet.network import Asked, pairs_of

NODES = {"nodes": [{"name": name} for name in ("alice", "bob", "host3", "host4")]}


def asked(nodes: int, matched: int) -> Asked:
    return Asked("x", nodes, matched, is_in_namespaces=False)


@pytest.mark.parametrize(
    ("nodes", "matched"), [(2, 0), (2, 1), (3, 2), (4, 1), (4, 3), (5, 4), (8, 5), (20, 2), (21, 20)]
)
def test_each_has_so_many_contacts(nodes: int, matched: int) -> None:
    pairs = pairs_of(asked(nodes, matched))
    assert len(set(pairs)) == len(pairs) == nodes * matched // 2
    assert all(one < other for one, other in pairs)
    assert Counter(each for pair in pairs for each in pair) == (dict.fromkeys(range(nodes), matched) if matched else {})


def test_a_ring_is_one() -> None:
    assert pairs_of(asked(4, 2)) == [(0, 1), (0, 3), (1, 2), (2, 3)]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "The following arguments are required: WHAT."),
        (["1"], "Argument N: a number from 2 to 100."),
        (["101"], "Argument N: a number from 2 to 100."),
        (["up", "-3"], "Argument N: a number from 2 to 100."),
        (["--name", "x", "1"], "Argument N: a number from 2 to 100."),
        (["--name=x", "1"], "Argument N: a number from 2 to 100."),
        (["up", "٣"], "Argument N: a number from 2 to 100."),
        (["4", "--matched", "4"], "Of 4 nodes none can have 4 contacts: 3 at most."),
        (["5", "--matched", "3"], "5 nodes cannot have 3 contacts each: one of both has to be even."),
        (["4", "--name", "A b"], "Argument --name: 1 to 32 of a-z, 0-9 and -."),
        (["kill"], "The following arguments are required: NAME."),
        (["4", "5"], "Unrecognized arguments: 5."),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["testnet", *words])
    try:
        status = main()
    except SystemExit as ended:
        status = int(str(ended.code))
    assert (status, capsys.readouterr()) == (2, ("", f"testnet: {sentence}\n"))


def test_whoever_is_in_no_group_is_on_one_more_island() -> None:
    assert islands_of(NODES, ["alice"]) == [["alice"], ["bob", "host3", "host4"]]
    assert islands_of(NODES, ["alice,host4", "bob,host3"]) == [["alice", "host4"], ["bob", "host3"]]
    assert islands_of(NODES, ["bob", "alice"]) == [["bob"], ["alice"], ["host3", "host4"]]


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        (["alice,eve"], "There is no node 'eve'; there are alice, bob, host3, host4."),
        (["alice", "alice,bob"], "The node alice stands there twice."),
        (["alice,bob,host3,host4"], "all of them on one island are not parted"),
        ([","], "all of them on one island are not parted"),
    ],
)
def test_groups_that_part_nobody_are_refused(groups: list[str], says: str) -> None:
    with pytest.raises(NoSuchNode, match=says):
        islands_of(NODES, groups)


def test_what_is_not_known_of_a_node_stays_open_in_the_table() -> None:
    node = dict.fromkeys(("pid", "number", "peer_id", "peers", "contacts", "outbox")) | {
        "name": "alice",
        "state": "killed",
    }
    told = {"name": "x", "pid": 7, "in_namespaces": False, "is_up": False, "islands": [["alice"], ["bob"]]}
    head, _, row, last = table(told | {"nodes": [node | {"peer_id": "12D3KooW" + "z" * 44}]})
    assert (head, last) == ("x: process 7, loopback, coming up", "parted: alice | bob")
    assert row.split() == ["alice", "–", "–", "12D3KooWzzzzzz", "killed", "–", "–", "–"]
