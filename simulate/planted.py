"""Bugs that are planted to see whether they are found: each takes away what keeps one promise, in one place."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Literal, get_args
from unittest.mock import patch

import msgspec
import trio

from p2pchat.core import ratchet
from p2pchat.core.matching import Claimed
from p2pchat.core.wire import Flight
from p2pchat.services import contacts as book
from p2pchat.services import depositors, desk, receive
from p2pchat.services.link import Link
from p2pchat.services.match import Person
from p2pchat.store import messages, offer, sessions
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.messages import Incoming
from p2pchat.store.offer import Offer

Bug = Literal["ack-before-commit", "no-dedupe", "reused-key", "no-quota", "silent-key"]

BUGS: Final[tuple[Bug, ...]] = get_args(Bug)

_COMMITTED_AFTER_S: Final = 0.5
_ENDLESS: Final = 1 << 40


@contextmanager
def planted(bug: Bug | None) -> Generator[None]:
    """Have ``bug`` in all nodes that run inside; None: none."""
    if bug is None:
        yield
        return
    with _PLANTED[bug]():
        yield


class _UndoneError(Exception):
    """Ends a transaction whose result is wanted and whose effect is not."""


@contextmanager
def _ack_before_commit() -> Generator[None]:
    """What came on a stream is acknowledged first, and kept half a second later."""
    take = Link._take  # pyright: ignore[reportPrivateUsage]

    async def early(link: Link, arrivals: list[Flight | bytes]) -> None:
        context = link._context  # pyright: ignore[reportPrivateUsage]
        if arrivals:
            answers: list[receive.Answer] = []

            def work(tx: Tx) -> None:
                answers.append(receive.receive(tx, context, arrivals, link.stream.peer))
                raise _UndoneError

            try:
                await context.db.run(work)
            except _UndoneError:
                await link.send(answers[0].frames(context.params))
                await trio.sleep(_COMMITTED_AFTER_S)
        await take(link, arrivals)

    with patch.object(Link, "_take", early):
        yield


@contextmanager
def _no_dedupe() -> Generator[None]:
    """Neither an envelope nor a text that comes again is known."""
    store, number = messages.receive, itertools.count()

    def forgetful(tx: Tx, contact: int, device_ms: int, arrived: list[Incoming]) -> list[int]:
        new = [
            msgspec.structs.replace(each, wire_id=next(number).to_bytes(len(each.wire_id), "big")) for each in arrived
        ]
        return store(tx, contact, device_ms, new)

    with patch.object(messages, "receive", forgetful), patch.object(sessions, "received_ack", _nothing):
        yield


@contextmanager
def _reused_key() -> Generator[None]:
    """The chain stands still, at both ends, so that all that is sealed is opened."""
    step: Callable[[bytes], tuple[bytes, bytes]] = ratchet._chain_step  # pyright: ignore[reportPrivateUsage]

    def still(chain_key: bytes) -> tuple[bytes, bytes]:
        return step(chain_key)[0], chain_key

    with patch.object(ratchet, "_chain_step", still):
        yield


@contextmanager
def _no_quota() -> Generator[None]:
    """A mailbox takes whatever comes, from whomever, and so does the node that holds it."""

    load = offer.load

    def endless(tx: Tx) -> Offer:
        return msgspec.structs.replace(load(tx), quota=_ENDLESS)

    with (
        patch.object(offer, "load", endless),
        patch.object(desk, "MAILBOX_OWNER_BYTES", _ENDLESS),
        patch.object(depositors, "MAILBOX_PREFIX_BYTES", _ENDLESS),
    ):
        yield


@contextmanager
def _silent_key() -> Generator[None]:
    """Whoever shows another key for a contact is believed."""
    claimed = Person._claimed  # pyright: ignore[reportPrivateUsage]

    def believed(person: Person, tx: Tx, row: ContactRow, finding: Claimed) -> None:
        claimed(person, tx, row, finding)
        if row.root not in (None, finding.cert.root):
            book.choose(tx, person._context, row, finding.cert.root.hex())  # pyright: ignore[reportPrivateUsage]

    with patch.object(Person, "_claimed", believed):
        yield


def _nothing(_tx: Tx, _eid: bytes) -> None:
    return None


_PLANTED: Final[dict[Bug, Callable[[], AbstractContextManager[None]]]] = {
    "ack-before-commit": _ack_before_commit,
    "no-dedupe": _no_dedupe,
    "reused-key": _reused_key,
    "no-quota": _no_quota,
    "silent-key": _silent_key,
}
