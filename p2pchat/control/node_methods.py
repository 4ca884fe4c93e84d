"""``node.*`` of an unlocked node: what runs here."""

from __future__ import annotations

import time
from typing import Final

import trio

import p2pchat
from p2pchat.api import calls, objects
from p2pchat.api.doctor_objects import Diagnosis
from p2pchat.control import locked
from p2pchat.control.diagnosing import diagnosis
from p2pchat.control.net_methods import addresses
from p2pchat.control.server import Connection
from p2pchat.net.addresses import format_peer_id
from p2pchat.net.transport import Network
from p2pchat.services import doctor
from p2pchat.services.context import Context
from p2pchat.services.examine import Files
from p2pchat.store import contacts, messages

_PATIENCE_S: Final = 2.0

_Counts = tuple[dict[str, int], int, int]
"""Contacts by state, messages that wait, and those of them that are held."""


class NodeMethods:
    """One method of the API each.

    Args:
        started: when the daemon did, on the monotonic clock.
        files: the profile's; None: there are none, as in a simulation.
    """

    def __init__(self, context: Context, profile: str, started: float, files: Files | None = None) -> None:
        self._context = context
        self._profile = profile
        self._started = started
        self._counts: _Counts | None = None
        self._files = files

    async def doctor(self, params: calls.NodeDoctor, _: Connection) -> Diagnosis:
        findings = await doctor.examine_unlocked(self._context, self._files, send=params.send)
        return diagnosis(findings, self._profile)

    async def hello(self, _params: calls.NodeHello, _: Connection) -> objects.Hello:
        shown = locked.hello(self._profile)
        known = self._context.db.log  # not asked of the store: every client comes with this
        shown.log, shown.head, shown.oldest = known.log, known.head, known.oldest
        return shown

    async def status(self, _params: calls.NoParams, _: Connection) -> objects.Status:
        context = self._context
        states, outbox, held = await self._counted()
        shown = addresses(context)
        return objects.Status(
            profile=self._profile,
            number=context.profile.number or None,
            name=context.profile.name,
            locked=False,
            uptime_s=int(time.monotonic() - self._started),
            peer_id=format_peer_id(context.network.peer_id),
            addresses=shown,
            peers=len(context.network.links()),
            contacts=objects.ContactCounts(
                matched=states.get("matched", 0), pending=states.get("pending", 0), requests=states.get("request", 0)
            ),
            outbox=outbox,
            held=held,
            reachability=_reachability(context.network, shown),
            clock_ok=context.health.clock_ok,
            version=p2pchat.__version__,
            replaced_ms=context.replaced_ms,
            alone=None if context.network.links() else context.health.proxy or context.health.alone or None,
            proxy=context.reach.proxy,
            mode=context.reach.mode,
            disk=context.db.disk,
        )

    async def _counted(self) -> _Counts:
        """What was counted now; or last, while the disk keeps everybody waiting."""
        with trio.move_on_after(_PATIENCE_S if self._counts is not None else float("inf")):
            self._counts = await self._context.db.run(
                lambda tx: (contacts.count_states(tx), messages.outbox_size(tx), messages.held_size(tx))
            )
        assert self._counts is not None  # noqa: S101  the first time there is no hurry
        return self._counts


def _reachability(network: Network, shown: list[str]) -> objects.Reachability:
    """What is known of it: others have said that they reach this node, it has relays, or neither."""
    if network.standing == "public":
        return "public"
    if network.circuits():
        return "relayed"
    return "lan" if shown else "none"
