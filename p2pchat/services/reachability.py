"""How this node comes to be reached: what others see of it, the router's mapping, and the ways around relays."""

from __future__ import annotations

from collections.abc import Callable

import trio

from p2pchat.base.ids import PeerId
from p2pchat.services.context import Context
from p2pchat.services.knock import Knocker
from p2pchat.services.mapping import Mapper
from p2pchat.services.standing import Survey
from p2pchat.services.upgrade import Upgrader


class Reachability:
    """All of it together.

    Args:
        changed: called when this node has other addresses, or others can reach it no longer or again.
        arrived: called with a contact's node that was met when nothing connected it.
    """

    def __init__(self, context: Context, changed: Callable[[], None], arrived: Callable[[PeerId], None]) -> None:
        self._context = context
        self._survey = Survey(context, changed)
        self._mapper = Mapper(context, self._mapped)
        self._knocker = Knocker(context, arrived)
        self._upgrader = Upgrader(context, self._survey.candidates, self._knocker.met)
        self._changed = changed

    def hurry(self) -> None:
        """The network has changed: look at everything at once."""
        self._survey.hurry()
        self._mapper.hurry()
        self._upgrader.hurry()
        self._knocker.hurry()

    async def run(self) -> None:
        """Until cancelled, or at once where nobody beyond the local network is to reach this node."""
        if self._context.reach.is_local:
            return
        async with trio.open_nursery() as nursery:
            await nursery.start(self._survey.run)
            await nursery.start(self._upgrader.run)
            await nursery.start(self._knocker.run)
            nursery.start_soon(self._mapper.run)

    def _mapped(self) -> None:
        self._changed()
        self._survey.hurry()
