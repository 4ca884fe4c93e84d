"""The index and what is found through it: the same as by looking at every message, wherever the index ends."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest

from p2pchat.base.ids import ContactId
from p2pchat.core.words import Query
from p2pchat.store import contacts, messages, meta, word_index, word_search
from p2pchat.store.db import Tx
from p2pchat.store.messages import Incoming
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import Connection, connect
from p2pchat.store.word_search import Search

WORDS = (
    *("the", "that", "this", "tea", "Über", "straße", "STRASSE", "foo", "food", "c++", "50€"),
    *("가나다", "나라", "가", "하마다", "🇰🇷", "👍"),
)
QUERIES = (
    *("the", "th", "t", "th fo", "u", "strass", "zz", "th zz", "foo food th", "c++"),
    *("가", "나다", "가나", "가나다", "다 가", "🇰", "👍", "가나다 that uber"),
)


class Book:
    """A store with a few contacts, and what is in it according to the test."""

    def __init__(self) -> None:
        self.connection: Connection = connect(None, bytes(32))
        migrate(self.connection)
        self.tx = Tx(self.connection, 1)
        self.texts: dict[int, tuple[int, str | None]] = {}
        for number in range(1, 5):
            contacts.add(self.tx, ContactId(number.to_bytes(8, "big")), f"contact {number}", f"+{number}", None)

    def add(self, contact: int, text: str | None) -> int:
        number = len(self.texts) + 1
        n = 1 + sum(owner == contact for owner, _ in self.texts.values())
        kind, body = (1, None) if text is not None else (99, b"body")
        arrived = Incoming(n, number.to_bytes(16, "big"), kind, text, body, 1)
        (message,) = messages.receive(self.tx, contact, 1, [arrived])
        self.texts[message] = (contact, text)
        return message

    def fill(self, count: int, seed: int = 1) -> None:
        chance = random.Random(seed)
        for _ in range(count):
            text = " ".join(chance.choices(WORDS, k=3)) if chance.random() < 0.95 else None
            self.add(chance.randint(1, 4), text)

    def index(self) -> int:
        batches = 0
        while word_index.add_batch(self.tx):
            batches += 1
        self.check()
        return batches

    def check(self) -> None:
        self.connection.execute("INSERT INTO word (word) VALUES ('integrity-check')")

    def expected(self, query: Query, contact: int | None = None) -> list[int]:
        return [
            message
            for message, (owner, text) in sorted(self.texts.items())
            if contact in (None, owner) and text is not None and query.fits(text)
        ]

    def found(self, search: Search, position: int | None = None, limit: int = 7) -> list[int]:
        """All, page after page, and each no longer than ``limit``."""
        found: list[int] = []
        while True:
            step = word_search.step(self.tx, search, position, limit)
            assert len(step.rows) <= limit
            found += [row.id for row in step.rows]
            if step.position is None:
                return found
            position = step.position

    def agree(self) -> None:
        for text in QUERIES:
            query = Query.of(text)
            for contact in (None, 2):
                wanted = self.expected(query, contact)
                assert self.found(Search(query, contact, rising=True)) == wanted, (text, contact)
                assert self.found(Search(query, contact)) == wanted[::-1], (text, contact)


@pytest.fixture
def book() -> Iterator[Book]:
    opened = Book()
    yield opened
    opened.connection.close()


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a hundred messages, so that a few hundred are in several."""
    for module in (word_index, word_search):
        monkeypatch.setattr(module, "BLOCK", 100)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("count", [0, 1, 63, 64, 99, 100, 101, 520])
def test_what_is_found_is_what_fits_wherever_the_index_ends(book: Book, count: int) -> None:
    book.fill(count)
    book.agree()
    assert book.index() == count // 64
    assert word_index.indexed(book.tx) == count // 64 * 64
    book.agree()
    book.fill(30, seed=2)
    book.agree()


@pytest.mark.usefixtures("small_blocks")
def test_a_step_that_has_no_time_gets_further_all_the_same(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_search, "STEP_S", -1.0)
    book.fill(250)
    book.index()
    book.fill(20)
    book.agree()


@pytest.mark.usefixtures("small_blocks")
def test_pages_begin_beyond_a_position_in_both_directions(book: Book) -> None:
    book.fill(400)
    book.index()
    query = Query.of("th")
    wanted = book.expected(query)
    for position in (0, 1, 99, 100, 101, 384, 385, 400, 401, 1 << 40, (1 << 63) - 1):
        assert book.found(Search(query, rising=True), position) == [each for each in wanted if each > position]
        assert book.found(Search(query), position) == [each for each in reversed(wanted) if each < position]


def test_few_messages_wait_and_no_batch_is_begun_twice(book: Book) -> None:
    book.fill(63)
    assert not word_index.add_batch(book.tx)
    assert word_index.indexed(book.tx) == 0
    book.fill(1)
    assert word_index.add_batch(book.tx)
    assert not word_index.add_batch(book.tx)
    assert word_index.indexed(book.tx) == 64


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("few", [True, False])
def test_a_contact_that_is_removed_leaves_the_index(book: Book, few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not few:
        monkeypatch.setattr(word_index, "_TAKEN_OUT_AT_MOST", 3)
    book.fill(300)
    book.index()
    contacts.remove(book.tx, 2)
    book.texts = {message: kept for message, kept in book.texts.items() if kept[0] != 2}
    book.check()
    assert word_index.indexed(book.tx) == (256 if few else 0)
    left = book.tx.all("SELECT rowid FROM word WHERE word MATCH ?", ('"000002"* OR "000012"* OR "00000@2"',))
    assert left == []
    book.agree()
    book.index()
    book.agree()


@pytest.mark.usefixtures("small_blocks")
def test_messages_that_are_deleted_are_not_found_any_more(book: Book) -> None:
    book.fill(200)
    book.index()
    for message in (1, 64, 100, 128, 199):
        messages.forget(book.tx, message)
        book.texts[message] = (book.texts[message][0], None)
    book.check()
    held = book.tx.all('SELECT rowid FROM word WHERE word MATCH \'"00000@" * OR "00001@" *\'')
    assert not {1, 64, 100, 128} & {row[0] for row in held}
    book.agree()
    book.index()
    book.agree()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("few", [True, False])
def test_the_messages_of_two_that_are_merged_are_found_with_the_one(
    book: Book, few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not few:
        monkeypatch.setattr(word_index, "_TAKEN_OUT_AT_MOST", 3)
    book.fill(300)
    arrived = [Incoming(1, b"the same" * 2, 1, "only once", None, 1)]
    twice = [messages.receive(book.tx, contact, 1, arrived)[0] for contact in (1, 2)]
    book.fill(100)
    book.index()
    contacts.merge(book.tx, 1, 2, "+9")
    book.texts = {message: (1 if owner == 2 else owner, text) for message, (owner, text) in book.texts.items()}
    book.check()
    book.agree()
    assert book.found(Search(Query.of("once"), 1)) == [twice[0]]
    if few:
        raw = book.tx.all("SELECT rowid FROM word WHERE word MATCH '\"00003once\"'")
        assert raw == [(twice[0],)]  # the other one has left, with its row
    book.index()
    book.agree()


@pytest.mark.usefixtures("small_blocks")
def test_an_index_by_other_rules_is_not_used_and_made_anew(book: Book) -> None:
    book.fill(300)
    book.index()
    meta.put(book.tx, "indexed", msgspec.msgpack.encode(("0 of another Unicode", 256)))
    book.tx.execute("INSERT INTO word (rowid, tokens) VALUES (7, '00000the 00000other')")
    assert word_index.indexed(book.tx) == 0
    book.agree()
    assert word_index.add_batch(book.tx)
    assert word_index.indexed(book.tx) == 64
    assert book.tx.all("SELECT rowid FROM word WHERE word MATCH '\"00000other\"'") == []
    book.index()
    book.agree()
    meta.put(book.tx, "indexed", msgspec.msgpack.encode(("0 of another Unicode", 256)))
    contacts.remove(book.tx, 2)  # what it put in nobody could name any more
    assert book.tx.all("SELECT rowid FROM word WHERE word MATCH '\"00000th\" *'") == []


@pytest.mark.usefixtures("small_blocks")
def test_what_fails_leaves_mark_and_index_as_they_were(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.fill(200)
    assert word_index.add_batch(book.tx)
    before = book.connection.execute("SELECT * FROM word_data").fetchall()

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(word_index, "_save", fail)
    book.connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(RuntimeError):
        word_index.add_batch(book.tx)
    book.connection.execute("ROLLBACK")
    monkeypatch.undo()
    assert book.connection.execute("SELECT * FROM word_data").fetchall() == before
    assert word_index.indexed(book.tx) == 64
    book.agree()


@pytest.mark.parametrize(
    "text",
    [
        '"',
        '" OR "the',
        "the* OR NOT zz",
        "NEAR(the that)",
        "tokens:the",
        "^the",
        "{tokens}:the",
        "the) --",
        "'; DROP TABLE message; --",
        "+the",
        "\0",
        "\ud800the",
        "%the_",
        "@1",
        "00000the",
        "AND",
        "a" * 256,
        "가" * 256,
        "\U000e0041\U000e0042",
        " ".join("abcdefghijklmnopqrstuvwxyz" * 9),
    ],
)
def test_no_text_is_more_than_its_words(book: Book, text: str) -> None:
    book.fill(100)
    book.add(1, f"before {text.encode('utf-8', 'replace').decode()} after")
    book.fill(90)
    book.index()
    query = Query.of(text)
    assert book.found(Search(query)) == (book.expected(query)[::-1] if query.pieces else [])
    assert book.tx.one("SELECT count(*) FROM message") == (191,)
