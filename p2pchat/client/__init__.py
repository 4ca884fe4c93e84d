"""Clients of the control socket, for the command line and for scripts. No libp2p, and trio in ``on_trio`` alone.

====================================  ==============================================================================
``p2pchat.client.Client``             blocking; the standard library alone, so that a command starts fast
``p2pchat.client.on_trio``            ``TrioClient``
``p2pchat.client.on_asyncio``         ``AsyncioClient``
====================================  ==============================================================================

The three do the same in the same words. Below them: ``protocol`` turns bytes into messages and ``following`` knows
where a reader of events is, both pure; ``link`` and ``caller`` are what the three share of everything else, and
``awaited`` what the two share that are awaited.
"""

from p2pchat.api.errors import ApiError, NoDaemon
from p2pchat.client.blocking import Client
from p2pchat.client.protocol import Event

__all__ = ["ApiError", "Client", "Event", "NoDaemon"]
