"""The walk machine in random networks with silent, refusing and slow peers, on virtual time (PROTOCOL.md 3.7)."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.base.ids import PeerId
from p2pchat.core.lookup import Lookup, position

SOFT_S, HARD_S, SLOW_S, QUICK_S = 0.5, 2.0, 1.2, 0.02
TARGET = position(b"target")


@dataclass
class World:
    """Peers by kind, and whom each tells of; a kind is "live", "late", "silent", "refusing" or "router"."""

    kinds: dict[PeerId, str]
    tells: dict[PeerId, list[PeerId]]
    asked: list[PeerId] = field(default_factory=list[PeerId])
    most_waited_for: int = 0

    def run(self, lookup: Lookup, start: list[PeerId]) -> float:
        """Drive a walk to its end; how long it took, in seconds."""
        ticket = count()
        events: list[tuple[float, int, str, PeerId]] = []
        now = 0.0
        waited_for = set[PeerId]()
        for peer in start:
            lookup.learn(peer)
        while not lookup.done:
            for peer in lookup.next():
                self.asked.append(peer)
                waited_for.add(peer)
                for delay_s, event in self.outcome(peer):
                    heapq.heappush(events, (now + delay_s, next(ticket), event, peer))
            if lookup.done:
                break
            self.most_waited_for = max(self.most_waited_for, len(waited_for))
            now, _, event, peer = heapq.heappop(events)
            waited_for.discard(peer)
            if event == "slow":
                lookup.on_slow(peer)
            elif event == "fail":
                lookup.on_fail(peer)
            else:
                for told in self.tells[peer]:
                    lookup.learn(told)
                lookup.on_reply(peer, counts=self.kinds[peer] != "router")
        return now

    def outcome(self, peer: PeerId) -> list[tuple[float, str]]:
        return {
            "live": [(0.01, "reply")],
            "router": [(QUICK_S, "reply")],
            "late": [(SOFT_S, "slow"), (SLOW_S, "reply")],
            "silent": [(SOFT_S, "slow"), (HARD_S, "fail")],
            "refusing": [(0.005, "fail")],
        }[self.kinds[peer]]


def closest(peers: list[PeerId], number: int) -> list[PeerId]:
    return sorted(peers, key=lambda peer: position(peer) ^ TARGET)[:number]


kinds = st.sampled_from(["live", "live", "live", "late", "silent", "refusing", "router"])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    names = [PeerId(b"%d" % i) for i in range(draw(st.integers(1, 40)))]
    world = World({name: draw(kinds) for name in names}, {})
    for name in names:
        world.tells[name] = draw(st.lists(st.sampled_from(names), max_size=12))
    return world


sizes = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(1, 40))


@given(worlds(), sizes, st.data())
def test_whatever_peers_tell_it_ends_asks_nobody_twice_and_stays_within_its_bounds(
    world: World, size: tuple[int, int, int], data: st.DataObject
) -> None:
    k, alpha, max_asked = size
    start = data.draw(st.lists(st.sampled_from(list(world.kinds)), min_size=1))
    lookup = Lookup(TARGET, k=k, alpha=alpha, max_asked=max_asked)
    took_s = world.run(lookup, start)
    assert lookup.done
    assert len(world.asked) == len(set(world.asked)) <= max_asked
    assert world.most_waited_for <= alpha
    # Each soft deadline frees α places, a reply or refusal is quick. With too few answers a late one is waited for, and
    # what it tells is news, behind which others are asked one by one; at the end one hard deadline may be waited for.
    late = sum(world.kinds[peer] == "late" for peer in world.asked)
    assert took_s <= (len(world.asked) // alpha + 1) * SOFT_S + late * (SLOW_S - SOFT_S) + HARD_S + QUICK_S * len(
        world.asked
    )
    answered = lookup.answered()
    assert len(answered) <= k
    assert all(world.kinds[peer] in ("live", "late") for peer in answered)
    assert answered == closest(answered, k)


@given(st.lists(kinds, min_size=1, max_size=40), sizes, st.data())
def test_where_everyone_knows_his_surroundings_the_k_closest_live_ones_are_found(
    chosen: list[str], size: tuple[int, int, int], data: st.DataObject
) -> None:
    k, alpha, _ = size
    names = [PeerId(b"%d" % i) for i in range(len(chosen))]
    by_name = dict(zip(names, chosen, strict=True))
    storers = [name for name in names if by_name[name] in ("live", "late")]
    dead = [name for name in names if by_name[name] in ("silent", "refusing")]
    tells = {name: [*closest(storers, k), *data.draw(st.lists(st.sampled_from(names)))] for name in names}
    start = data.draw(st.lists(st.sampled_from(storers), min_size=1)) if storers else dead
    world = World(by_name, tells)
    lookup = Lookup(TARGET, k=k, alpha=alpha, max_asked=1000)
    world.run(lookup, start)
    found = lookup.answered()
    live = closest([name for name in storers if by_name[name] == "live"], k)
    assert len(found) == min(k, len(storers))
    # A late peer may be passed over for one farther off that answers in time; a live one never.
    assert set(live[: len(found)]) & set(closest(storers, len(found))) <= set(found)
    if "late" not in chosen:
        assert found == live


@pytest.mark.parametrize("dead_share", [0.0, 0.3])
def test_in_a_big_network_nearly_all_of_the_k_closest_are_found_with_few_questions(dead_share: float) -> None:
    """Kademlia's buckets with k random entries each, of 600 peers: nobody knows more than a part."""
    k, rng = 20, random.Random(5)
    names = [PeerId(rng.randbytes(8)) for _ in range(600)]
    silent = {name for name in names if rng.random() < dead_share}
    world = World({name: "silent" if name in silent else "live" for name in names}, {})
    places = {name: position(name) for name in names}
    recalls, questions = [], []
    for _ in range(3):
        target = rng.getrandbits(256)
        for name in names:
            world.tells[name] = told(name, names, places, silent, target, k, rng)
        lookup = Lookup(target, k=k, alpha=10, max_asked=150)
        world.asked = []
        world.run(lookup, world.tells[rng.choice([name for name in names if name not in silent])])
        truth = sorted((n for n in names if n not in silent), key=lambda n: places[n] ^ target)[:k]
        recalls.append(len(set(truth) & set(lookup.answered())) / k)
        questions.append(len(world.asked))
    assert sum(recalls) / len(recalls) >= 0.97
    assert max(questions) <= 75


def told(
    name: PeerId,
    names: list[PeerId],
    places: dict[PeerId, int],
    silent: set[PeerId],
    target: int,
    k: int,
    rng: random.Random,
) -> list[PeerId]:
    """The k closest to ``target`` that ``name`` has in its buckets; of the silent it has noticed two thirds."""
    buckets: dict[int, list[PeerId]] = {}
    for other in rng.sample(names, len(names)):
        if other != name and (other not in silent or rng.random() < 1 / 3):
            bucket = buckets.setdefault((places[name] ^ places[other]).bit_length(), [])
            if len(bucket) < k:
                bucket.append(other)
    known = [other for bucket in buckets.values() for other in bucket]
    return heapq.nsmallest(k, known, key=lambda other: places[other] ^ target)
