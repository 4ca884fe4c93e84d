"""What is deleted leaves the index of words and its pages, too: nobody finds by it what was written."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pchat.base.ids import ContactId
from p2pchat.store import contacts, messages, word_index
from p2pchat.store.db import Tx
from p2pchat.store.messages import Incoming
from p2pchat.store.migrate import migrate
from p2pchat.store.sqlite import Connection, checkpoint, connect
from tests.unit.store.raw_pages import raw_pages

KEY = bytes(range(32))
CONSONANTS = "bcdfghjklmnpqrstvwxyz"


class File:
    """A store on disk in which each message has a word of its own among many that others have, too."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.chance = random.Random(seed)
        self.connection: Connection = connect(path, KEY)
        migrate(self.connection)
        self.connection.execute("PRAGMA synchronous = OFF")
        self.tx = Tx(self.connection, 1)
        for number in range(1, 4):
            contacts.add(self.tx, ContactId(number.to_bytes(8, "big")), f"contact {number}", f"+{number}", None)
        self.common = [self._word(4) for _ in range(300)]
        self.own: dict[int, str] = {}

    def _word(self, length: int) -> str:
        return "".join(self.chance.choices(CONSONANTS, k=length))

    def fill(self, count: int, contact: int = 1) -> None:
        """Texts are in upper case: what stands in lower case anywhere is of the index."""
        for _ in range(count):
            own = self._word(14)
            text = " ".join([own, *self.chance.sample(self.common, 12)]).upper()
            (message,) = messages.receive(
                self.tx, contact, 1, [Incoming(1, self.chance.randbytes(16), 1, text, None, 1)]
            )
            self.own[message] = own

    def index(self) -> None:
        while word_index.add_batch(self.tx):
            pass

    def delete(self, ids: list[int]) -> set[str]:
        word_index.forget(self.tx, ids)
        self.tx.many("DELETE FROM message WHERE id = ?", [(message,) for message in ids])
        return {self.own.pop(message) for message in ids}

    def left(self, words: set[str]) -> set[str]:
        """Of which words more than six letters stand anywhere: the beginning of a token may be its neighbour's."""
        assert checkpoint(self.connection)
        parts = set(re.findall(rb"(?=([a-z]{8}))", raw_pages(self.path, KEY)))
        return {word for word in words if any(word[at : at + 8].encode() in parts for at in range(7))}


@pytest.fixture(params=range(2))
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[File]:
    opened = File(tmp_path / "x.db", request.param)
    yield opened
    opened.connection.close()


def test_words_of_messages_that_are_deleted_among_others(file: File) -> None:
    gone: set[str] = set()
    for _ in range(25):
        file.fill(100)
        file.index()
        known = [message for message in file.own if message <= word_index.indexed(file.tx)]
        gone |= file.delete(file.chance.sample(known, 6))
        gone |= file.delete([max(file.own)])  # perhaps not in it yet
    assert len(gone) == 175
    kept = set(file.own.values())
    assert len(file.left(kept)) > 0.9 * len(kept)  # else the test would see nothing
    assert file.left(gone) == set()


def test_words_of_a_contact_that_is_removed(file: File) -> None:
    for _ in range(10):
        file.fill(60, contact=1)
        file.fill(12, contact=2)
    file.index()
    gone = {file.own[message] for message in messages.ids(file.tx, 2)}
    contacts.remove(file.tx, 2)
    assert len(gone) == 120
    assert word_index.indexed(file.tx) > 0
    assert file.left(gone) == set()
    gone = {file.own[message] for message in messages.ids(file.tx, 1)}
    assert file.left(gone)
    contacts.remove(file.tx, 1)  # so many that the whole index goes
    assert word_index.indexed(file.tx) == 0
    assert file.left(gone) == set()
