"""The store of mailboxes against a model of a few lines: whatever is asked in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from p2pchat.store import mailbox
from p2pchat.store.db import Tx
from p2pchat.store.mailbox import Gone
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import connect

OWNERS = st.integers(0, 3)
TOKENS = st.lists(st.integers(0, 7), min_size=1, max_size=4)
NUMBERS = st.lists(st.integers(0, 12), min_size=1, max_size=6)
SIZES = st.sampled_from([1_024, 2_048, 4_096])


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


@dataclass
class Model:
    """A mailbox: number → (bytes of the box, until when)."""

    tokens: set[int]
    next_n: int = 1
    boxes: dict[int, tuple[bytes, int]] = field(default_factory=dict)


class MailboxStore(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.connection = connect(None, bytes(32))
        migrate(self.connection)
        self.now_s = 1_800_000_000
        self.model: dict[int, Model] = {}
        self.deleted = {"fetched": 0, "expired": 0, "ended": 0}
        self.filled = 0

    def teardown(self) -> None:
        self.connection.close()

    @property
    def tx(self) -> Tx:
        return Tx(self.connection, self.now_s * 1000)

    def row(self, owner: int) -> int:
        found = mailbox.of_owner(self.tx, key(owner))
        assert found is not None
        return found.id

    @rule(owner=OWNERS, tokens=TOKENS)
    def grant(self, owner: int, tokens: list[int]) -> None:
        taken = {token for other, model in self.model.items() if other != owner for token in model.tokens}
        assert mailbox.are_free(self.tx, map(key, tokens), key(owner)) == taken.isdisjoint(tokens)
        if not taken.isdisjoint(tokens):
            return
        if owner not in self.model:
            mailbox.make(self.tx, key(owner))
            self.model[owner] = Model(set())
        mailbox.renew(self.tx, self.row(owner), map(key, tokens), bytes(tokens))
        self.model[owner].tokens = set(tokens)
        assert mailbox.bundle(self.tx, self.row(owner)) == bytes(tokens)

    @rule(token=st.integers(0, 7), size=SIZES, ttl_s=st.integers(0, 50))
    def deposit(self, token: int, size: int, ttl_s: int) -> None:
        found = mailbox.of_token(self.tx, key(token))
        expected = [owner for owner, model in self.model.items() if token in model.tokens]
        assert ([] if found is None else [int.from_bytes(found.owner, "big")]) == expected
        if found is None:
            return
        model = self.model[expected[0]]
        self.filled = (self.filled + 1) % 256
        box = bytes((self.filled,)) * size
        assert mailbox.deposit(self.tx, found.id, box, self.now_s + ttl_s) == model.next_n
        model.boxes[model.next_n] = box, self.now_s + ttl_s
        model.next_n += 1

    @rule(owner=OWNERS, numbers=NUMBERS)
    def ack(self, owner: int, numbers: list[int]) -> None:
        if owner not in self.model:
            return
        model, of = self.model[owner], self.row(owner)
        there = [n for n in dict.fromkeys(numbers) if n in model.boxes and model.boxes[n][1] > self.now_s]
        gone, left = mailbox.ack(self.tx, of, numbers)
        assert gone == [Gone(of, n, len(model.boxes.pop(n)[0])) for n in there]
        assert not left
        self.deleted["fetched"] += len(there)

    @rule(owner=OWNERS, numbers=NUMBERS, limit=st.integers(0, 8_192))
    def fetch(self, owner: int, numbers: list[int], limit: int) -> None:
        if owner not in self.model:
            return
        boxes = self.model[owner].boxes
        expected: list[tuple[int, bytes]] = []
        used = 0
        for n in numbers:
            if n in boxes and boxes[n][1] > self.now_s:
                used += len(boxes[n][0])
                if expected and used > limit:
                    break
                expected.append((n, boxes[n][0]))
        assert mailbox.fetch(self.tx, self.row(owner), numbers, limit, 0) == expected

    @rule(owner=OWNERS)
    def end(self, owner: int) -> None:
        if owner in self.model:
            self.deleted["ended"] += len(self.model.pop(owner).boxes)
            mailbox.end(self.tx, self.row(owner))

    @rule(seconds=st.integers(1, 30))
    def wait(self, seconds: int) -> None:
        self.now_s += seconds

    @rule()
    def expire(self) -> None:
        over = sum(until <= self.now_s for model in self.model.values() for _, until in model.boxes.values())
        gone = mailbox.expire(self.tx)
        assert len(gone) == over
        self.deleted["expired"] += over
        for model in self.model.values():
            model.boxes = {n: kept for n, kept in model.boxes.items() if kept[1] > self.now_s}

    @invariant()
    def what_is_there_is_what_was_left(self) -> None:
        for owner, model in self.model.items():
            expected = [(n, len(box), until) for n, (box, until) in model.boxes.items() if until > self.now_s]
            assert [tuple(each) for each in mailbox.listing(self.tx, self.row(owner), 0, 1_024)] == expected

    @invariant()
    def what_is_counted_is_there(self) -> None:
        sizes = {owner: [len(box) for box, _ in model.boxes.values()] for owner, model in self.model.items()}
        counted = {int.from_bytes(each.owner, "big"): (each.boxes, each.size) for each in mailbox.stock(self.tx)}
        assert counted == {owner: (len(each), sum(each)) for owner, each in sizes.items()}
        assert mailbox.total(self.tx) == (sum(map(len, sizes.values())), sum(map(sum, sizes.values())))
        past: dict[str, int] = dict.fromkeys(self.deleted, 0)
        for each in mailbox.past(self.tx):
            past[each.why] += each.boxes
        assert past == self.deleted


MailboxStore.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestMailboxStore = MailboxStore.TestCase
