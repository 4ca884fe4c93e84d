"""The node examines itself, for a person who wonders why something does not work.

Rules:

- Each check stands for itself: one that cannot be made says why, and the others are made.
- What blocks is done in threads. Others are asked only where the user has not forbidden it.
- A check says what was looked at just now, or what the node knows from its work; it repairs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final

import trio

from p2pchat.api.diagnosis import TITLES, Finding, found
from p2pchat.base import limits
from p2pchat.base.errors import Corrupt, P2PChatError, StoreError
from p2pchat.net.addresses import Scope, endpoint, scope_of
from p2pchat.services import observed, to_self
from p2pchat.services.context import Context
from p2pchat.services.examine import Files, examine
from p2pchat.store import own_mailbox
from p2pchat.store.db import Database
from p2pchat.store.integrity import Integrity, check
from p2pchat.store.tx import Tx

_MIB: Final = 1 << 20
_SHOWN: Final = 6  # addresses

_OF_NETWORK: Final = ("addresses", "nat", "mapping", "bootstrap", "dht", "relays", "mailboxes", "test")


async def examine_locked(files: Files, now_s: float) -> list[Finding]:
    """What can be looked at without the key; of all else that it cannot. ``now_s``: unix seconds."""
    rest = {name: found(f"{name}.locked") for name in ("database", "device", *_OF_NETWORK)}
    return _in_order(rest | _by_name(await trio.to_thread.run_sync(examine, files, now_s)))


async def examine_unlocked(context: Context, files: Files | None, *, send: bool) -> list[Finding]:
    """All checks of a node that has its key, in the order of the table.

    Args:
        files: None: there are none, as in a simulation.
        send: whether others may be asked to take part.

    Concurrency: half a minute at most; cancelled, nothing goes on.
    """
    by_files = await trio.to_thread.run_sync(examine, files, context.now()) if files is not None else []
    findings = _by_name(by_files)
    findings["clock"] = _clock(context, findings.get("clock", found("clock.plausible")))
    port = to_self.port_of(context.network)
    findings["port"] = _port(context, port)

    async def put(name: str, look: Callable[[], Awaitable[Finding]]) -> None:
        try:
            findings[name] = await look()
        except P2PChatError as error:
            findings[name] = found(f"{name}.broken", reason=error.message)

    stranger = context.stranger if send else None
    async with trio.open_nursery() as nursery:
        if files is not None:
            nursery.start_soon(put, "database", partial(_database, context.db, files))
        if context.replaced_ms is not None:
            findings["device"] = found("device.replaced")
            findings |= {name: found(f"{name}.replaced") for name in _OF_NETWORK}
        else:
            findings["device"] = found("device.newest")
            findings["addresses"] = _addresses(context)
            findings["mapping"] = _mapping(context, port)
            findings["bootstrap"] = _bootstrap(context)
            findings["dht"] = _dht(context)
            findings["relays"] = _relays(context)
            nursery.start_soon(put, "mailboxes", partial(context.db.run, _mailboxes))
            nursery.start_soon(put, "nat", partial(observed.look, context, stranger))
            if context.reach.proxy:
                findings["test"] = found("test.proxied")
            elif stranger is None:
                findings["test"] = found("test.not_sent")
            else:
                nursery.start_soon(put, "test", partial(to_self.send, context, stranger))
    return _in_order(findings)


def _by_name(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {each.name: each for each in findings}


def _in_order(findings: dict[str, Finding]) -> list[Finding]:
    return [findings[name] for name in TITLES if name in findings]


def _port(context: Context, port: int) -> Finding:
    if port:
        return found("port.listening", port=port)
    return found("port.proxied") if context.reach.proxy else found("port.any")


def _clock(context: Context, by_files: Finding) -> Finding:
    if not context.health.clock_ok:
        return found("clock.refused")
    if by_files.code == "clock.plausible" and context.replaced_ms is None and context.dht.peers():
        return found("clock.ok")
    return by_files


async def _database(database: Database, files: Files) -> Finding:
    over = threading.Event()

    def look() -> Integrity:
        with database.snapshot() as tx:
            return check(tx, limits.DATABASE_CHECK_S, over.is_set)

    try:
        return of_integrity(await trio.to_thread.run_sync(look, abandon_on_cancel=True), files)
    except Corrupt:
        return found("database.unreadable", folder=str(files.folder))
    except StoreError as error:  # such as no descriptor being left for another look at it
        return found("database.refused", reason=error.message, folder=str(files.folder))
    finally:
        over.set()


def of_integrity(seen: Integrity, files: Files) -> Finding:
    """What follows from the check of a database."""
    size = {"mib": max(seen.bytes // _MIB, 1), "ms": max(round(seen.took_s * 1000), 1)}
    if seen.problems:
        return found("database.damaged", places=seen.problems, folder=str(files.folder))
    if not seen.is_finished:
        return found("database.unfinished", **size)
    if seen.schema != seen.newest:
        code = "database.older" if seen.schema < seen.newest else "database.newer"
        return found(code, schema=seen.schema, newest=seen.newest)
    return found("database.ok", **size)


def _addresses(context: Context) -> Finding:
    if context.reach.proxy:
        return found("addresses.proxied")
    ends = [endpoint(address) for address in context.network.addresses()]
    scopes = {scope_of(end.host) for end in ends}
    shown = [f"[{end.host}]:{end.port}" if ":" in end.host else f"{end.host}:{end.port}" for end in ends][:_SHOWN]
    if Scope.GLOBAL in scopes:
        return found("addresses.global", addresses=shown)
    if Scope.PRIVATE in scopes:
        return found("addresses.private", addresses=shown)
    return found("addresses.loopback" if scopes else "addresses.none")


def _mapping(context: Context, port: int) -> Finding:
    if context.reach.proxy:
        return found("mapping.proxied")
    return (
        found("mapping.lan_only") if context.reach.is_local else found(f"mapping.{context.health.mapping}", port=port)
    )


def _bootstrap(context: Context) -> Finding:
    health, peers = context.health, len(context.network.links())
    if peers:
        return found(f"bootstrap.{health.met or 'connected'}", peers=peers)
    if health.proxy:
        return found("bootstrap.proxy_unusable")
    if health.tried is None:
        return found("bootstrap.starting")
    known, named, names = health.tried.known, health.tried.named, health.tried.names
    if not health.tried.anybody:
        return found("bootstrap.proxied_alone" if context.reach.proxy else "bootstrap.nobody_known")
    return found("bootstrap.nobody_answers", known=known, named=named, names=names)


def _dht(context: Context) -> Finding:
    peers = context.dht.peers()
    if not peers:
        return found("dht.none")
    return found("dht.ok" if peers >= limits.DHT_FEW else "dht.few", peers=peers)


def _relays(context: Context) -> Finding:
    network, relays = context.network, len(to_self.relays_of(context.network))
    if context.reach.mode == "lan":
        return found("relays.lan_only")
    if not context.reach.relay_use:
        return found("relays.off")
    if network.standing == "public":
        return found("relays.unneeded")
    if relays:
        return found("relays.one") if relays == 1 else found("relays.ok", relays=relays)
    if not any(link.path == "direct" for link in network.links()):
        return found("relays.alone")
    return found("relays.none_proxied") if context.reach.proxy else found("relays.none", port=to_self.port_of(network))


def _mailboxes(tx: Tx) -> Finding:
    used = [row for row in own_mailbox.everyone(tx) if row.ends_s is None]
    failing = sum(row.failed_s >= limits.MAILBOX_FAILING_S for row in used)
    asked = sum(row.honoured(tx.now_s) is None for row in used)
    count = len(used)
    if not used:
        return found("mailboxes.none")
    if failing:
        code = "mailboxes.all_failing" if failing == count else "mailboxes.failing"
        return found(code, mailboxes=count, failing=failing)
    return found("mailboxes.asked", mailboxes=count, asked=asked) if asked else found("mailboxes.ok", mailboxes=count)
