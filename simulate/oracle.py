"""What is true of all texts, at every moment and at the end; told apart from how the nodes come to it.

Always: nobody has a text that was not sent to them, or one twice; texts of a sender who has never lost a device stand
in the order in which they were sent; what is told to be delivered is there; nothing fails but what a block explains;
every log of events is gapless; nobody holds more for others than they offered, in all, in one mailbox, or in a slot of
the DHT; no key of a friend gives way to another that the user has not chosen; no message key serves two envelopes,
which is seen by the ack: it follows from that key.

At the end, when everybody has been there for a day: friends are matched, every text that was accepted has arrived, and
nothing waits. Excused is what nobody could deliver: texts of a device that was lost, since its last backup, and those
that were under way between two of whom one has blocked the other, or had a few days ago.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from p2pchat.core.params import PRODUCTION
from p2pchat.core.storer import Storer
from p2pchat.store import eventlog, mailbox
from p2pchat.store.db import Database, Tx
from simulate.bounds import OWNER_BYTES
from simulate.keys import Keys

_CONVERSATIONS: Final = (
    "SELECT contact.name, message.incoming, message.text, message.state FROM message "
    "JOIN contact ON contact.id = message.contact WHERE message.state != 'deleted' ORDER BY message.id"
)

_FOUND_S: Final = 2 * 3_600.0
"""After an unblocking: whoever unblocks goes to the other, and here a dial that has failed is repeated once an hour."""

_FOUND_AGAIN_S: Final = (12 + 3 + 3) * 3_600.0
"""Where the other one has begun anew since: who was blocked is not told, and looks for the first, whose node is another
now, once nothing was heard of them for twelve hours (``services/match.py``), which is asked every three."""

_TOLD_S: Final = 3 * 86_400.0
"""After somebody began with a new identity: the same hours, counted from when a friend who was away for
two fetches the last that the one before had left."""


@dataclass(slots=True)
class Said:
    """A text that a node has accepted.

    Attributes:
        device: which of the sender's devices it was, from 0.
        at_s: when.
        is_excused: whether it may be lost.
        is_refused: the node did not take it, and said so.
    """

    who: int
    other: int
    device: int
    at_s: float
    is_excused: bool = False
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A message as a device has it. ``number``: of the text; None: nobody has sent this."""

    name: str
    incoming: bool
    number: int | None
    state: str


def _no_storer() -> None:
    """It is down."""


@dataclass(slots=True)
class Device:
    """One device of a person, and its store, which outlives it.

    Attributes:
        quota: bytes that it offers.
        left: bytes that it may hold still, since it has offered more before.
        root: of its person: who begins anew has another.
        storer: of the DHT, where it is up.
    """

    who: int
    database: Database = field(repr=False)
    quota: int = 0
    left: int = 0
    storer: Callable[[], Storer | None] = field(default=_no_storer, repr=False)
    root: bytes = field(default=b"", repr=False)

    async def offers(self, quota: int) -> None:
        """From now on; what it holds goes in its time."""
        _, held = await self.database.run(mailbox.total)
        self.quota, self.left = quota, max(held, self.left)


class Oracle:
    """All texts of a run, and the devices of everybody."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.devices: dict[int, list[Device]] = {}
        self.blocked: set[tuple[int, int]] = set()
        self.removed: set[tuple[int, int]] = set()
        self.keys = Keys()
        self._had: dict[int, set[int]] = {}
        self._apart_until_s: dict[frozenset[int], float] = {}
        self._reinstalled: dict[tuple[int, int], float] = {}
        self._unordered: set[frozenset[int]] = set()
        self._seeking: set[tuple[int, int]] = set()

    def say(self, who: int, other: int, at_s: float, chars: int = 0) -> str:
        """A text that is unlike all others, of so many characters at least; :meth:`refused` where the node does not
        take it."""
        self.said.append(Said(who, other, len(self.devices[who]) - 1, at_s, self._is_apart(who, other, at_s)))
        return f"{len(self.said) - 1} {'and more ' * (len(self.said) % 7)}".ljust(chars, ".")

    def refused(self) -> None:
        """The last one was not accepted: whoever has it has it from nowhere."""
        self.said[-1].is_refused = True

    def lose(self, who: int, since_s: float, at_s: float) -> None:
        """A device is gone, and with it what it has accepted since its last backup."""
        self.begins_anew(who, at_s)
        for said in self.said:
            if said.who == who and said.at_s >= since_s:
                said.is_excused = True

    def block(self, who: int, other: int, at_s: float) -> None:
        """One of two has blocked the other: what was and will be under way may be gone, until :meth:`unblock`."""
        self.blocked.add((who, other))
        self.begins_anew(who, at_s)
        self._excuse(who, other)

    def unblock(self, who: int, other: int, at_s: float, *, leads: bool) -> None:
        """Soon all is owed again, unless the other one has blocked, too.

        Args:
            leads: what the first knows of the other leads to them. Else it takes hours: they have come back on another
                device, or have blocked somebody, and could not tell the first any more.
        """
        self.blocked.discard((who, other))
        if leads:
            self._seeking.add((who, other))
            self._part(frozenset((who, other)), at_s + _FOUND_S)
        else:
            self._look_again(who, other, at_s)

    def remove(self, tx: Tx, who: int, other: int, contact: int, at_s: float) -> None:
        """Somebody is about to delete the other with all that they have of them, in ``tx``: as :meth:`block`."""
        rows = tx.all("SELECT text FROM message WHERE contact = ? AND incoming", (contact,))
        numbers = {self._number(text) for (text,) in rows}
        self._had.setdefault(who, set()).update(each for each in numbers if each is not None)
        self.removed.add((who, other))
        self.keys.allow(who, name_of(other))
        self._unordered.add(frozenset((who, other)))
        self.begins_anew(who, at_s)
        self._excuse(who, other)

    def add_again(self, who: int, other: int, at_s: float) -> None:
        """All is owed again once the other one, who is not told, has looked for the first."""
        self.removed.discard((who, other))
        self._look_again(who, other, at_s)

    def reinstall(self, who: int, friends: Iterable[int], at_s: float) -> None:
        """Somebody has a new identity under the same number: nothing is owed until each friend has accepted it."""
        self.lose(who, 0.0, at_s)
        for each in (self.blocked, self.removed):
            each -= {pair for pair in each if pair[0] == who}
        for other in friends:
            self._reinstalled[other, who] = at_s
            self._excuse(who, other)

    async def _accepted(self, at_s: float) -> None:
        """Who knows the new identity of a friend by now, or has found who was sought, owes and is owed from now on."""
        for other, who in list(self._reinstalled):
            root = await self.devices[other][-1].database.run(partial(_root_of, name_of(who)))
            if root == self.devices[who][-1].root:
                del self._reinstalled[other, who]
                self._part(frozenset((who, other)), at_s + _FOUND_S)
        for who, other in list(self._seeking):
            if (await self.devices[who][-1].database.run(_states)).get(name_of(other)) == "matched":
                self._seeking.discard((who, other))
                until_s = self._apart_until_s.get(frozenset((who, other)), 0.0)
                self._apart_until_s[frozenset((who, other))] = min(until_s, at_s + _FOUND_S)

    def forgot(self, who: int, other: int, at_s: float) -> None:
        """A device came back from a backup of before the two had met: the other one looks for it hours later."""
        self._look_again(who, other, at_s)

    def begins_anew(self, who: int, at_s: float) -> None:
        """What others know leads to somebody no more: those whom they have met since learn it, and others do not."""
        for pair in [each for each in self._seeking if who in each]:
            self._look_again(*pair, at_s)

    def _look_again(self, who: int, other: int, at_s: float) -> None:
        """Somebody seeks the other, who looks for them hours later."""
        self._seeking.add((who, other))
        self._part(frozenset((who, other)), at_s + _FOUND_AGAIN_S)

    def _part(self, pair: frozenset[int], until_s: float) -> None:
        self._apart_until_s[pair] = max(until_s, self._apart_until_s.get(pair, 0.0))
        self._excuse(*pair)

    def _is_apart(self, one: int, two: int, at_s: float) -> bool:
        is_blocked = not self.blocked.isdisjoint(((one, two), (two, one)))
        is_blocked |= not self.removed.isdisjoint(((one, two), (two, one)))
        is_blocked |= not self._reinstalled.keys().isdisjoint(((one, two), (two, one)))
        return is_blocked or at_s < self._apart_until_s.get(frozenset((one, two)), 0.0)

    def _excuse(self, one: int, two: int) -> None:
        for said in self.said:
            if {said.who, said.other} == {one, two}:
                said.is_excused = True

    async def complaints(self, at_s: float = 0.0) -> list[str]:
        """What is not as it must be at every moment."""
        await self._accepted(at_s)
        rows = {who: await self._rows(who) for who in self.devices}
        return [
            *self.of_rows(rows),
            *[each async for each in self._trusted(rows)],
            *await self.keys.complaints((who, len(each), each[-1].database) for who, each in self.devices.items()),
            *[each for who in self.devices for each in await self._of_store(who)],
        ]

    async def of_holders(self, holders: Iterable[int]) -> list[str]:
        """What those who hold mailboxes hold too much of: it is there for hours alone."""
        return [each for who in holders for each in await self._held(self.devices[who][-1])]

    async def at_the_end(self, friends: Iterable[tuple[int, int]], at_s: float) -> list[str]:
        """The same, and what must have come to pass."""
        found = await self.complaints(at_s)
        friends = [each for each in friends if not self._is_apart(*each, at_s)]
        rows = {who: await self._rows(who) for who in self.devices}
        untold = [each for each, since_s in self._reinstalled.items() if at_s - since_s > _TOLD_S]
        found += [
            f"{name_of(who)} has begun anew, and {name_of(other)} was not told"
            for other, who in untold
            if (other, who) not in self.blocked | self.removed and (who, other) not in self.blocked | self.removed
        ]
        return [*found, *self.missing(rows), *[each async for each in self._apart(friends)]]

    async def _trusted(self, rows: dict[int, list[list[Row]]]) -> AsyncIterator[str]:
        """Nothing goes to a new identity that the sender has not accepted."""
        for who, devices in self.devices.items():
            for index, device in enumerate(devices):
                before = {each.root for each in devices[:index]} - {device.root}
                if not before:
                    continue
                numbers = [row.number for row in rows[who][index] if row.incoming and row.number is not None]
                for said in (self.said[each] for each in numbers):
                    if said.device < len(self.devices[said.who]) - 1:
                        continue  # what that one knew is gone
                    sender = self.devices[said.who][-1].database
                    if await sender.run(partial(_root_of, name_of(who))) in before:
                        yield f"{name_of(who)} has a text of {name_of(said.who)}, who has not accepted its new key"

    async def arrived(self) -> int:
        """How many different texts have."""
        rows = {who: await self._rows(who) for who in self.devices}
        return len({row.number for devices in rows.values() for device in devices for row in device if row.incoming})

    async def _rows(self, who: int) -> list[list[Row]]:
        return [await each.database.run(self._read) for each in self.devices[who]]

    def _read(self, tx: Tx) -> list[Row]:
        return [
            Row(name, bool(incoming), self._number(text), state)
            for name, incoming, text, state in tx.all(_CONVERSATIONS)
        ]

    def _number(self, text: object) -> int | None:
        word = str(text).partition(" ")[0]
        return int(word) if word.isdecimal() and int(word) < len(self.said) else None

    def of_rows(self, rows: dict[int, list[list[Row]]]) -> Iterator[str]:
        """What is wrong with the conversations: of each person, and of each of their devices, the rows in order."""
        there = {who: self._there(who, devices) for who, devices in rows.items()}
        for who, devices in rows.items():
            for device in devices:
                yield from self._received(who, [row for row in device if row.incoming])
                yield from self._sent(who, [row for row in device if not row.incoming], there)

    async def _of_store(self, who: int) -> list[str]:
        """What is wrong with the log of events of the newest device, and with what it holds for others."""
        device = self.devices[who][-1]
        first, last, count = await device.database.run(_log)
        found = [] if not count or last - first + 1 == count else [f"the log of {name_of(who)} has gaps"]
        if await device.database.run(_reused):
            found.append(f"a message key of what came to {name_of(who)} served twice")
        storer = device.storer()
        return [*found, *await self._held(device), *([] if storer is None else _of_records(who, storer))]

    async def _held(self, device: Device) -> list[str]:
        name, found = name_of(device.who), list[str]()
        boxes, held = await device.database.run(mailbox.total)
        if held > max(device.quota, device.left):
            found.append(f"{name} holds {boxes} boxes of {held} bytes, and offers {device.quota}")
        device.left = min(device.left, held)
        largest = max([each.size for each in await device.database.run(mailbox.stock)], default=0)
        if largest > OWNER_BYTES:
            found.append(f"{name} holds a mailbox of {largest} bytes")
        return found

    def _there(self, who: int, devices: Sequence[Sequence[Row]]) -> set[int]:
        return self._had.get(who, set()) | {
            row.number for device in devices for row in device if row.incoming and row.number is not None
        }

    def _received(self, who: int, came: Sequence[Row]) -> Iterator[str]:
        last: dict[str, int] = {}
        seen: set[int] = set()
        for row in came:
            said = self.said[row.number] if row.number is not None else None
            if row.number is None or said is None or said.other != who or name_of(said.who) != row.name:
                yield f"{name_of(who)} has a text of {row.name} that was not sent to it"
                continue
            if said.is_refused:
                yield f"text {row.number} was refused, and {name_of(who)} has it"
            if row.number in seen:
                yield f"{name_of(who)} has text {row.number} twice"
            seen.add(row.number)
            is_ordered = len(self.devices[who]) == len(self.devices[said.who]) == 1
            is_ordered &= frozenset((who, said.who)) not in self._unordered
            if is_ordered and row.number < last.get(row.name, -1):
                yield f"{name_of(who)} has text {row.number} behind {last[row.name]}"
            last[row.name] = row.number

    def _sent(self, who: int, sent: Sequence[Row], there: dict[int, set[int]]) -> Iterator[str]:
        for row in sent:
            if row.number is None:
                yield f"{name_of(who)} has sent what nobody typed"
                continue
            said = self.said[row.number]
            if row.state in ("delivered", "read") and row.number not in there[said.other]:
                yield f"text {row.number} of {name_of(who)} is {row.state}, and {name_of(said.other)} does not have it"
            if row.state == "failed" and not said.is_excused:
                yield f"text {row.number} of {name_of(who)} to {name_of(said.other)} failed"

    def missing(self, rows: dict[int, list[list[Row]]]) -> Iterator[str]:
        """What has not come to pass in them, and is owed."""
        there = {who: self._there(who, devices) for who, devices in rows.items()}
        for number, said in enumerate(self.said):
            if not said.is_refused and not said.is_excused and number not in there[said.other]:
                yield f"text {number} of {name_of(said.who)} to {name_of(said.other)} has not arrived"
        for who, devices in rows.items():
            for row in devices[-1]:
                is_settled = row.incoming or row.state in ("delivered", "read", "failed")
                if not is_settled and row.number is not None and not self.said[row.number].is_excused:
                    yield f"text {row.number} of {name_of(who)} is still {row.state}"

    async def _apart(self, friends: Iterable[tuple[int, int]]) -> AsyncIterator[str]:
        states = {who: await devices[-1].database.run(_states) for who, devices in self.devices.items()}
        for a, b in friends:
            for who, other in ((a, b), (b, a)):
                state = states[who].get(name_of(other), "unknown")
                if state != "matched":
                    yield f"{name_of(other)} is {state} to {name_of(who)}"


def name_of(who: int) -> str:
    """What everybody calls a person."""
    return f"p{who:03}"


def _log(tx: Tx) -> tuple[int, int, int]:
    """Number of the first and of the last event, and how many there are."""
    rows = eventlog.after(tx, 0, 1_000_000)
    return (rows[0].seq, rows[-1].seq, len(rows)) if rows else (0, 0, 0)


def _of_records(who: int, storer: Storer) -> Iterator[str]:
    """What a node holds beyond its bounds for the DHT (PROTOCOL.md 3.2)."""
    for slot in storer._slots.values():  # pyright: ignore[reportPrivateUsage]
        prefixes = Counter(entry.prefix for entry in slot.values())
        if prefixes.total() > PRODUCTION.slot_entries or max(prefixes.values()) > PRODUCTION.slot_entries_per_prefix:
            yield f"{name_of(who)} holds {prefixes.total()} records in one slot, {max(prefixes.values())} of one prefix"


def _root_of(name: str, tx: Tx) -> bytes | None:
    row = tx.one("SELECT root FROM contact WHERE name = ?", (name,))
    return None if row is None or row[0] is None else bytes(row[0])


def _reused(tx: Tx) -> bool:
    return tx.one("SELECT 1 FROM received GROUP BY ack HAVING count(*) > 1 LIMIT 1") is not None


def _states(tx: Tx) -> dict[str, str]:
    return dict(tx.all("SELECT name, state FROM contact"))
