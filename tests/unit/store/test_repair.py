"""What a damaged database gives is saved, as a new device; the damaged files stay as they were."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from p2pchat.base.errors import Corrupt, DiskFull
from p2pchat.base.ids import ContactId
from p2pchat.core.keys import create_identity, dump_identity, load_identity
from p2pchat.store import contacts, meta, repair
from p2pchat.store.db import Tx
from p2pchat.store.migrate import migrate
from p2pchat.store.repair import inspect, salvage
from p2pchat.store.sqlite import Connection, checkpoint, connect
from p2pchat.testing.entropy import SeededEntropy
from tests.damage import flip, pages_of

KEY = bytes(range(32))
NOW_MS = 1_800_000_000_000
CONTACTS, MESSAGES = 20, 3_000


@contextmanager
def opened(path: Path) -> Iterator[Connection]:
    connection = connect(path, KEY)
    try:
        yield connection
    finally:
        connection.close()


def profile() -> meta.Profile:
    identity = create_identity(SeededEntropy(1), NOW_MS - 1_000_000)
    return meta.Profile("Ann", "+821012345678", "KR", dump_identity(identity), bytes(32), bytes(32), bytes(8))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "p2pchat.db"
    chance = random.Random(3)
    with opened(path) as connection:
        migrate(connection)
        tx = Tx(connection, NOW_MS)
        connection.execute("BEGIN")
        meta.save_profile(tx, profile())
        for number in range(CONTACTS):
            contacts.add(tx, ContactId(number.to_bytes(8, "big")), f"contact {number}", None, None)
        for number in range(MESSAGES):
            values = 1 + number % CONTACTS, number, number.to_bytes(16, "big"), text(number, chance), NOW_MS
            tx.execute(
                "INSERT INTO message (contact, incoming, n, wire_id, text, state, created_ms) "
                "VALUES (?, 0, ?, ?, ?, 'delivered', ?)",
                values,
            )
        connection.execute("COMMIT")
        checkpoint(connection)
    return path


def text(number: int, chance: random.Random) -> str:
    return f"text {number} " + "x" * chance.randrange(200)


def told(path: Path) -> tuple[meta.Profile, set[str], set[str]]:
    with opened(path) as connection:
        tx = Tx(connection, NOW_MS)
        names = {row[0] for row in tx.all("SELECT name FROM contact")}
        texts = {row[0] for row in tx.all("SELECT text FROM message")}
        return meta.load_profile(tx), names, texts


def digests(folder: Path, prefix: str) -> dict[str, str]:
    return {
        each.name.removeprefix(prefix): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in folder.iterdir()
        if each.name.startswith(prefix) and not each.name.endswith("-shm") and each.stat().st_size
    }


def test_a_sound_database_is_called_so(path: Path) -> None:
    report = inspect(path, KEY)
    assert report.sound
    assert (report.damaged, report.has_owner) == (0, True)
    assert (report.contacts, report.messages) == (repair.Saved(CONTACTS, CONTACTS), repair.Saved(MESSAGES, MESSAGES))


@pytest.mark.parametrize("bad", [1, 3, 12])
def test_pages_that_do_not_open_cost_what_is_in_them_and_no_more(path: Path, tmp_path: Path, bad: int) -> None:
    _, names, texts = told(path)
    leaves = pages_of(path, KEY, "message")
    for page in random.Random(bad).sample(leaves, bad):
        flip(path, page)
    with opened(path) as connection, pytest.raises(Exception, match="malformed"):
        connection.execute("SELECT text FROM message").fetchall()
    before = digests(tmp_path, "p2pchat.db")
    found = inspect(path, KEY)
    assert digests(tmp_path, "p2pchat.db") == before
    assert (found.opens, found.sound, found.damaged) == (True, False, bad)
    report = salvage(path, KEY, SeededEntropy(2), NOW_MS)
    assert report.aside is not None
    assert digests(tmp_path, report.aside.name) == before
    assert sorted(each.name for each in tmp_path.iterdir() if "damaged" not in each.name) == ["p2pchat.db"]
    owner, kept_names, kept_texts = told(path)
    assert kept_names == names
    assert kept_texts < texts
    assert len(texts - kept_texts) < bad * 60  # a page holds some forty
    assert report.messages == repair.Saved(len(kept_texts), MESSAGES) == found.messages
    old, new = load_identity(profile().identity), load_identity(owner.identity)
    assert new.root.public == old.root.public
    assert new.cert.epoch_ms > old.cert.epoch_ms  # a new device: no key of the old one is used again
    assert inspect(path, KEY).sound


def test_a_damaged_database_takes_the_place_of_no_other(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW_MS / 1000)
    asides: list[Path] = []
    for _ in range(2):
        flip(path, pages_of(path, KEY, "message")[1])
        aside = salvage(path, KEY, SeededEntropy(2), NOW_MS).aside
        assert aside is not None
        asides.append(aside)
    assert sorted(tmp_path.glob("*damaged*[0-9]")) == sorted(asides)
    assert len(set(asides)) == 2


def test_what_is_only_in_the_log_is_saved_too(path: Path, tmp_path: Path) -> None:
    leaves = pages_of(path, KEY, "message")
    with opened(path) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE contact SET name = 'renamed' WHERE id = 5")
        copies = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    for name, data in copies.items():
        (tmp_path / name).write_bytes(data)  # as after a kill: closing has emptied the log
    assert (tmp_path / "p2pchat.db-wal").stat().st_size > 0
    flip(path, leaves[len(leaves) // 2])
    before = digests(tmp_path, "p2pchat.db")
    report = salvage(path, KEY, SeededEntropy(2), NOW_MS)
    assert report.aside is not None
    assert digests(tmp_path, report.aside.name) == before
    assert "renamed" in told(path)[1]


def test_without_its_owner_nothing_is_changed(path: Path, tmp_path: Path) -> None:
    for page in pages_of(path, KEY, "meta"):
        flip(path, page)
    before = digests(tmp_path, "p2pchat.db")
    assert not inspect(path, KEY).has_owner
    with pytest.raises(Corrupt, match="backup restore"):
        salvage(path, KEY, SeededEntropy(2), NOW_MS)
    assert digests(tmp_path, "p2pchat.db") == before


def test_a_first_page_that_does_not_open(path: Path) -> None:
    flip(path, 1)
    assert not inspect(path, KEY).opens
    with pytest.raises(Corrupt, match="backup restore"):
        salvage(path, KEY, SeededEntropy(2), NOW_MS)


@pytest.mark.parametrize("cut", range(1, 4))
def test_a_repair_that_is_killed_while_files_change_places_is_ended_by_the_next(
    path: Path, tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p2pchat.db-wal").touch()
    flip(path, pages_of(path, KEY, "message")[1])
    count = 0
    rename = Path.rename

    def killed(self: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if count == cut:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            salvage(path, KEY, SeededEntropy(2), NOW_MS)
    if cut > 1:
        assert not path.exists()  # nobody starts on a database without its log, or on another one's
        assert inspect(path, KEY).cut
    report = salvage(path, KEY, SeededEntropy(2), NOW_MS)
    assert report.aside is not None
    assert inspect(path, KEY).sound
    assert not inspect(report.aside, KEY).sound
    assert len(told(path)[2]) > MESSAGES * 0.9


def test_a_full_disk_leaves_everything_as_it_was(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flip(path, pages_of(path, KEY, "message")[1])
    before = digests(tmp_path, "p2pchat.db")

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(repair, "_sync", full)
    with pytest.raises(DiskFull):
        salvage(path, KEY, SeededEntropy(2), NOW_MS)
    assert digests(tmp_path, "p2pchat.db") == before
