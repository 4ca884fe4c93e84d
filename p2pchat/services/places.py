"""Where a contact is looked for: the active slots of the pair of numbers, with what is known of each from before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from p2pchat.core.invite import invite_root
from p2pchat.core.pair import PairState, load_pair
from p2pchat.core.slots import active_epochs, active_eras, era_of_epoch, next_idsec, role
from p2pchat.core.slots import era as era_of
from p2pchat.services.context import Context
from p2pchat.services.roots import Roots
from p2pchat.store import pairs
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx


@dataclass(slots=True)
class Place:
    """One slot of a pair during a poll; ``publish``: whether hellos are published in it now."""

    era: int
    epoch: int
    publish: bool
    state: PairState


async def places_of(context: Context, roots: Roots, row: ContactRow) -> list[Place]:
    """The active slots of a contact's pair of numbers, begun where hellos are published.

    It waits for the root of the current era alone. The next era's is asked for; while there is none this era's slots
    must not wait for it.
    """
    now_s = int(context.now())
    places: list[Place] = []
    current = era_of(now_s, context.params)
    for era, era_publish in active_eras(now_s, context.params):
        root = await roots.root(row, era) if era == current else await roots.known(row, era, ask=era_publish)
        if root is None:
            continue
        idsec = await context.db.run(partial(idsec_of, context, era))
        for epoch, epoch_publish in active_epochs(root, now_s, context.params):
            publish = era_publish and epoch_publish
            state = await _state(context, row, era, epoch, root, idsec, begin=publish)
            if state is not None:
                places.append(Place(era, epoch, publish, state))
    return places


async def invite_places(
    context: Context, secret: bytes, role: int, kept: Callable[[Tx, int, int], bytes | None]
) -> list[Place]:
    """The active slots of an invite, begun where hellos are published.

    Args:
        secret: the invite's, 32 bytes.
        role: the own one.
        kept: (tx, era, epoch) → the state of that slot, if it was begun.
    """
    root, params = invite_root(secret), context.params
    places: list[Place] = []
    for epoch, publish in active_epochs(root, int(context.now()), params):
        era = era_of_epoch(root, epoch, params)
        idsec = await context.db.run(partial(idsec_of, context, era))
        raw = await context.db.run(partial(_kept, kept, era, epoch))
        state = load_pair(raw, idsec, by_invite=True) if raw is not None else None
        if state is not None and state.root == root:  # else it is of an earlier link of the same person
            places.append(Place(era, epoch, publish, state))
        elif publish:
            places.append(Place(era, epoch, publish, PairState(role, root, era, epoch, idsec, by_invite=True)))
    return places


def _kept(kept: Callable[[Tx, int, int], bytes | None], era: int, epoch: int, tx: Tx) -> bytes | None:
    return kept(tx, era, epoch)


async def _state(
    context: Context, row: ContactRow, era: int, epoch: int, root: bytes, idsec: bytes, *, begin: bool
) -> PairState | None:
    own, number = context.profile.number, row.number or ""
    kept = await context.db.run(partial(_slot, row.id, own, number, era, epoch))
    if kept is not None:
        return load_pair(kept, idsec)
    return PairState(role(own, number), root, era, epoch, idsec) if begin else None


async def is_new_epoch(context: Context, roots: Roots, row: ContactRow) -> bool:
    """Whether a slot that is published in now was not begun."""
    now_s = int(context.now())
    own, number = context.profile.number, row.number or ""
    for era, era_publish in active_eras(now_s, context.params):
        if not era_publish:
            continue
        root = await roots.root(row, era)
        for epoch, publish in active_epochs(root, now_s, context.params):
            kept = await context.db.run(partial(_slot, row.id, own, number, era, epoch))
            if publish and kept is None:
                return True
    return False


def _slot(contact: int, own: str, number: str, era: int, epoch: int, tx: Tx) -> bytes | None:
    return pairs.slot(tx, contact, own, number, era, epoch)


def idsec_of(context: Context, era: int, tx: Tx) -> bytes:
    """The own secret of ``era``, stepped forward from the newest kept one. Source: PROTOCOL.md 3.1."""
    known = pairs.idsec(tx, era)
    if known is not None:
        return known
    newest = pairs.newest_idsec(tx)
    if newest is None or newest[0] > era:
        # a first start, or an era before it: secrets do not step back, so it gets one of its own
        secret = context.entropy.bytes(32)
        pairs.save_idsec(tx, era, secret)
        return secret
    at, secret = newest
    for step in range(at + 1, era + 1):
        secret = next_idsec(secret)
        if step >= era - 1:
            pairs.save_idsec(tx, step, secret)
    return secret
