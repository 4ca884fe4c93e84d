"""Leave what waits for a contact who is away in boxes at its mailboxes (PROTOCOL.md 6.3, 6.5).

- Nothing is sealed before a holder has answered, and nothing leaves before its commit: a box holds stored envelopes.
- The holders are asked one after the other, those last that failed last; each that fails is left alone for a while.
- What waits is looked up again for every box: texts that were queued meanwhile share the next one.
- A custody is written down, and told, in one commit. What a holder says is a claim; the ack of the contact settles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
import trio

from p2pchat.api.language import marked
from p2pchat.base.errors import DecryptionError, NetError, PeerError, StoreError, UnsupportedProtocol
from p2pchat.base.ids import PeerId
from p2pchat.core.boxes import Parcel, held_until_s, pack
from p2pchat.core.events import EventKind
from p2pchat.core.mailbox import BOXED_MAX_BYTES, Bundle, BundleIs, Reason, unseal_bundle
from p2pchat.core.presence import Mailbox
from p2pchat.core.wire import Ack
from p2pchat.net.addresses import dialable
from p2pchat.net.mailbox import MailboxRefused, Visit, visit
from p2pchat.services import greet, presence
from p2pchat.services.attempts import Attempt
from p2pchat.services.context import Context, tell
from p2pchat.services.defects import cause
from p2pchat.services.deliver import seal_for_boxes, sending_session
from p2pchat.services.leave import Receipt, leave
from p2pchat.store import contacts, custody, messages
from p2pchat.store import presence as presence_store
from p2pchat.store.db import Tx
from p2pchat.store.presence import MailboxesOf
from p2pchat.store.sessions import EnvelopeRow, SessionRow

_VISITS: Final = 4  # at the same time
_VISIT_S: Final = 60.0  # then it is another holder's turn, and another contact's
_ROUNDS: Final = 16  # of one visit, 64 envelopes each
_AGAIN_S: Final = 1.0
_NONE_FOR_S: Final = 600  # who had no mailbox so long ago may have one now
_RETRY_S: Final = 30.0
_RETRY_MAX_S: Final = 600.0  # of one that cannot be reached
_REFUSED_MAX_S: Final = 2 * 3600.0  # of one that answered, and does not do it
_TOLD_MAX_S: Final = 6 * 3600.0  # whatever it says itself
_STORE_RETRY_S: Final = 30.0

_WHY: Final = {
    Reason.REFUSED: marked("It refused."),
    Reason.NO_SPACE: marked("It has no space left."),
    Reason.TOO_OFTEN: marked("It was asked too often."),
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Left:
    """What became of it. ``again_s``: seconds until it is of use to try again, infinite: when there is news;
    ``refused``: a token or the key of bundles is good no more, so the presence is to be read anew."""

    again_s: float
    refused: bool = False


NOTHING: Final = Left(float("inf"))


@dataclass(slots=True)
class _Trouble:
    """A holder that failed ``count`` times in a row, and when it is asked again, on trio's clock.

    Attributes:
        keys: what was told of it, its token and the key of bundles: with others it is tried anew.
        sealed: its bundle did not open, and that has led to another reading.
    """

    keys: tuple[bytes, bytes | None] = field(repr=False)
    count: int = 0
    next_at: float = float("-inf")
    sealed: bool = False

    def is_stale(self, error: NetError | PeerError) -> bool:
        """Whether what was told may be good no more. A bundle that does not open says so once: a holder that has
        altered it has nobody walk for ever."""
        if isinstance(error, _BundleSealed) and not self.sealed:
            self.sealed = True
            return True
        return isinstance(error, MailboxRefused) and error.reason is Reason.REFUSED


class _BundleSealed(NetError):
    """The bundle does not open with the key that the presence told of."""


@dataclass(frozen=True, slots=True)
class _Errand:
    """``lacking``: the mailboxes that do not have all; ``flight``: a session is to be made first."""

    places: MailboxesOf
    lacking: tuple[Mailbox, ...]
    flight: bool


@dataclass(frozen=True, slots=True)
class _Load:
    """What goes into the next boxes at one holder. ``key``: of the owner; ``until_s``: for how long, unix seconds."""

    key: bytes = field(repr=False)
    until_s: int
    envelopes: tuple[EnvelopeRow, ...]
    parcels: tuple[Parcel, ...]


class Depositor:
    """Leaves what waits for contacts who are away.

    Args:
        online: whether a live stream to a contact is open.

    Concurrency: one call of :meth:`deposit` at a time for each contact.
    """

    def __init__(self, context: Context, online: Callable[[int], bool]) -> None:
        self._context = context
        self._online = online
        self._turns = trio.CapacityLimiter(_VISITS)
        self._troubles: dict[int, dict[PeerId, _Trouble]] = {}

    async def deposit(self, contact: int) -> Left:
        """Leave all that waits for ``contact``, who could not be dialled, at each of its mailboxes; never raises."""
        try:
            errand = await self._errand(contact)
            if errand is None:
                return NOTHING
            troubles = {each.peer_id: self._trouble(contact, errand, each) for each in errand.places.mailboxes}
            self._troubles[contact] = troubles
            refused, cut_short = False, False
            for mailbox in sorted(errand.lacking, key=lambda each: troubles[each.peer_id].count):
                trouble = troubles[mailbox.peer_id]
                if trouble.next_at > trio.current_time():
                    continue
                try:
                    cut_short |= not await self._visit(contact, errand, mailbox)
                    trouble.count, trouble.next_at = 0, float("-inf")
                except (NetError, PeerError) as error:
                    self._failed(contact, mailbox, trouble, error)
                    refused |= trouble.is_stale(error)
            waits = [troubles[each.peer_id].next_at - trio.current_time() for each in errand.lacking]
            again_s = min((max(wait, _AGAIN_S) for wait in waits if wait != float("-inf")), default=float("inf"))
            return Left(_AGAIN_S if cut_short else again_s, refused)
        except StoreError as error:
            log.warning("deposit.store_failed", error=cause(error))
            return Left(_STORE_RETRY_S)

    def forget(self, contact: int) -> None:
        """Nothing is left for ``contact`` any more."""
        self._troubles.pop(contact, None)

    def hurry(self) -> None:
        """This node is in the network again: a holder that could not be reached may be now."""
        self._troubles.clear()

    async def _errand(self, contact: int) -> _Errand | None:
        return await self._context.db.run(lambda tx: _errand(tx, self._context, contact))

    def _trouble(self, contact: int, errand: _Errand, mailbox: Mailbox) -> _Trouble:
        known = self._troubles.get(contact, {}).get(mailbox.peer_id)
        keys = mailbox.token, errand.places.bundle_key
        return known if known is not None and known.keys == keys else _Trouble(keys)

    def _failed(self, contact: int, mailbox: Mailbox, trouble: _Trouble, error: NetError | PeerError) -> None:
        trouble.count += 1
        answered = isinstance(error, PeerError | MailboxRefused | UnsupportedProtocol | _BundleSealed)
        most_s = _REFUSED_MAX_S if answered else _RETRY_MAX_S
        pause_s = min(most_s, _RETRY_S * 2.0 ** min(trouble.count - 1, 16)) * (0.8 + 0.4 * self._context.jitter())
        if isinstance(error, MailboxRefused):
            pause_s = max(pause_s, min(_TOLD_MAX_S, error.retry_s))
        trouble.next_at = trio.current_time() + pause_s
        address = mailbox.address if dialable(mailbox.address) else None
        attempt = Attempt(int(self._context.now() * 1000), address, _why(error), mailbox=True)
        self._context.attempts.failed(contact, attempt)
        log.debug("deposit.failed", error=error.error_name)

    async def _visit(self, contact: int, errand: _Errand, mailbox: Mailbox) -> bool:
        """Whether nothing is left to do there.

        Raises:
            NetError, PeerError: the holder is of no use now.
            StoreError: the disk refused.
        """
        async with self._turns:
            with trio.move_on_after(_VISIT_S):
                async with visit(self._context.network, mailbox.peer_id, [mailbox.address]) as opened:
                    if errand.flight:
                        await self._open_session(contact, errand.places, opened, mailbox)
                    for _ in range(_ROUNDS):
                        if not await self._leave_next(contact, opened, mailbox):
                            return True
                return False
        raise NetError("It took too long.")

    async def _open_session(self, contact: int, places: MailboxesOf, opened: Visit, mailbox: Mailbox) -> None:
        said = await opened.ask(Bundle(mailbox.token), BundleIs)
        if not said.bundle:
            raise NetError("It has nothing to begin a session with.")
        assert places.bundle_key is not None  # noqa: S101  no errand has a flight without it
        try:
            raw = unseal_bundle(said.bundle, places.bundle_key)
        except DecryptionError:
            raise _BundleSealed("Its bundle does not open.") from None
        await self._context.db.run(lambda tx: greet.make_kept_flight(tx, self._context, contact, raw))

    async def _leave_next(self, contact: int, opened: Visit, mailbox: Mailbox) -> bool:
        """Leave the next boxes; whether there may be more."""
        load = await self._context.db.run(lambda tx: _load(tx, self._context, contact, mailbox))
        if load is None:
            return False
        envelopes = list(load.envelopes)
        for parcel in load.parcels:
            if self._online(contact):
                return False  # all of it goes on the stream
            receipt = await leave(self._context, opened, mailbox, load.key, parcel.frame, load.until_s)
            held, envelopes = envelopes[: parcel.count], envelopes[parcel.count :]
            if not await self._context.db.run(partial(_note, contact, mailbox, held, receipt)):
                return False
        return True


async def leave_acks(context: Context, contact: int, acks: Sequence[tuple[bytes, bytes]]) -> None:
    """Leave ``acks``, (eid16, ack16) each, at every mailbox of ``contact``, as far as that can be done now.

    What cannot be left is not kept: the contact's repetition is answered again.

    Raises:
        StoreError: the disk refused.

    Source: PROTOCOL.md 6.6.
    """
    places = await _places_now(context, contact)
    if places is None:
        return
    until_s = held_until_s(int(context.now()), context.box_ttl_s, places.said_s, None, context.params)
    if until_s is None:
        return
    bound = context.params.ack_entries
    frames = [Ack(tuple(acks[start : start + bound])) for start in range(0, len(acks), bound)]
    for mailbox in places.mailboxes if frames else ():
        try:
            with trio.move_on_after(_VISIT_S):
                async with visit(context.network, mailbox.peer_id, [mailbox.address]) as opened:
                    for frame in frames:
                        await leave(context, opened, mailbox, places.key, frame, until_s)
        except (NetError, PeerError) as error:
            log.debug("deposit.acks_failed", error=error.error_name)


async def _places_now(context: Context, contact: int) -> MailboxesOf | None:
    """Where acks can be left; read anew where that is known from long ago, since acks wait for nothing later."""

    def look(tx: Tx) -> tuple[MailboxesOf | None, bool]:
        row, places = contacts.get(tx, contact), _places(tx, contact)
        said_since_s = tx.now_s - (_NONE_FOR_S if places is None else context.params.presence_every_s)
        fresh = presence_store.told_of_mailboxes(tx, contact, said_since_s)
        return places, fresh or row is None or row.state != "matched"

    places, fresh = await context.db.run(look)
    if fresh:
        return places
    try:
        with trio.move_on_after(_VISIT_S):
            await presence.seek(context, contact)
    except NetError as error:
        log.debug("presence.not_read", error=cause(error))
    return await context.db.run(lambda tx: _places(tx, contact))


def known_mailboxes(tx: Tx, context: Context, contact: int) -> int:
    """At how many mailboxes something can be left for ``contact``, as far as is known."""
    places = _places(tx, contact)
    return sum(each.peer_id != context.network.peer_id for each in places.mailboxes) if places is not None else 0


def _places(tx: Tx, contact: int) -> MailboxesOf | None:
    row = contacts.get(tx, contact)
    return presence_store.mailboxes_of(tx, contact) if row is not None and row.state == "matched" else None


def _until_s(tx: Tx, context: Context, places: MailboxesOf, session: SessionRow | None) -> int | None:
    kept_s = session.kept_s if session is not None and not session.session.confirmed else None
    return held_until_s(tx.now_s, context.box_ttl_s, places.said_s, kept_s, context.params)


def _errand(tx: Tx, context: Context, contact: int) -> _Errand | None:
    """What is to be done for ``contact``; None: nothing, or nothing that can be done now."""
    places = _places(tx, contact)
    if places is None:
        return None
    session = sending_session(tx, contact)
    flight = greet.needs_kept_flight(tx, context, session)
    sealed_n = 0 if session is None or flight else session.sealed_n
    waits = bool(messages.unsealed(tx, contact, sealed_n, 1, 1, messages.highest(tx)))
    if flight and not (waits and places.bundle_key is not None and greet.may_open(tx, context, contact)):
        return None
    if _until_s(tx, context, places, None if flight else session) is None:
        return None

    def lacks(mailbox: Mailbox) -> bool:
        if mailbox.peer_id == context.network.peer_id:
            return False  # what waits here waits here
        return waits or (session is not None and custody.lacks(tx, session.id, mailbox.peer_id, context.params.skew_s))

    lacking = tuple(filter(lacks, places.mailboxes))
    return _Errand(places, lacking, flight) if lacking else None


def _load(tx: Tx, context: Context, contact: int, mailbox: Mailbox) -> _Load | None:
    """The next boxes for ``mailbox``, with what waits sealed in this transaction; None: it has all."""
    places, session = _places(tx, contact), sending_session(tx, contact)
    if places is None or mailbox not in places.mailboxes or session is None:
        return None
    until_s = _until_s(tx, context, places, session)
    if until_s is None or greet.needs_kept_flight(tx, context, session):
        return None
    flight = None if session.session.confirmed else session.session.flight
    envelopes = _lacking(tx, context, session, mailbox, messages_alone=flight is not None)
    if len(envelopes) < context.params.batch_envelopes:
        sealed = seal_for_boxes(tx, context, session, BOXED_MAX_BYTES)
        envelopes += [each for each in sealed if each.n1 or flight is None]
    envelopes, until_s = _before_they_expire(tx, context, session.contact, envelopes, until_s)
    if not envelopes:
        return None
    parcels = pack([each.envelope for each in envelopes], flight, context.params)
    return _Load(places.key, until_s, tuple(envelopes), tuple(parcels))


def _before_they_expire(
    tx: Tx, context: Context, contact: int, envelopes: Sequence[EnvelopeRow], until_s: int
) -> tuple[list[EnvelopeRow], int]:
    """Those that wait long enough to be left, and until when all of them do: nothing arrives that has expired."""
    least_s, life_s = tx.now_s + 2 * context.params.skew_s, context.params.message_life_s
    lasting: list[EnvelopeRow] = []
    for each in envelopes:
        ends_s = messages.newest_ms(tx, contact, each.n0, each.n1) // 1000 + life_s if each.n1 else until_s
        if ends_s > least_s:
            lasting.append(each)
            until_s = min(until_s, ends_s)
    return lasting if any(each.n1 for each in lasting) else [], until_s


def _lacking(
    tx: Tx, context: Context, session: SessionRow, mailbox: Mailbox, *, messages_alone: bool
) -> list[EnvelopeRow]:
    """What was sealed before and is not there; one without a message goes with others, and is worth no box alone."""
    left_s, most = context.params.skew_s, context.params.batch_envelopes
    if not custody.lacks(tx, session.id, mailbox.peer_id, left_s):
        return []
    found = custody.lacking(tx, session.id, mailbox.peer_id, left_s, most, messages_alone=messages_alone)
    if not any(each.n1 for each in found):
        found = custody.lacking(tx, session.id, mailbox.peer_id, left_s, most, messages_alone=True)
    return found


def _note(contact: int, mailbox: Mailbox, envelopes: Sequence[EnvelopeRow], receipt: Receipt, tx: Tx) -> bool:
    """Whether ``contact`` still fetches from there: what was read meanwhile may name that holder no more."""
    places = _places(tx, contact)
    named = places.mailboxes if places is not None else ()
    if not any((each.peer_id, each.token) == (mailbox.peer_id, mailbox.token) for each in named):
        return False
    row = custody.CustodyRow(receipt.holder, receipt.until_s, receipt.proof)
    tell(tx, EventKind.MESSAGE_HELD, custody.note(tx, envelopes, row), contact)
    return True


def _why(error: NetError | PeerError) -> str:
    """A sentence that names nothing."""
    if isinstance(error, MailboxRefused):
        return _WHY[error.reason]
    if isinstance(error, UnsupportedProtocol):
        return marked("It holds nothing for anybody.")
    if isinstance(error, NetError):
        return error.message
    return marked("What it answered is not true, or not of the protocol.")
