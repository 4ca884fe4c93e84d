"""The methods of the control API: one table a family. docs/CONTROL-API.md and ``rpc.discover`` are made of them.

A method is added here, with its handler in :mod:`p2pchat.control`; then ``scripts/control-api`` writes it into the
page, and the tests ask for a call that succeeds and one for every error that it lists (tests/sim/test_every_method.py).
"""

from __future__ import annotations

from typing import Final

from p2pchat.api.methods.contacts import CONTACTS
from p2pchat.api.methods.identity import IDENTITY
from p2pchat.api.methods.messages import EVENTS, MESSAGE
from p2pchat.api.methods.net import MAILBOX, NET
from p2pchat.api.methods.node import BACKUP, CONFIG, NODE, PASSPHRASE, RPC, STATS
from p2pchat.api.methods.spec import COMMON_ERRORS, MethodSpec

__all__ = ["COMMON_ERRORS", "METHODS", "MethodSpec"]

METHODS: Final[dict[str, MethodSpec]] = {
    **NODE,
    **PASSPHRASE,
    **RPC,
    **IDENTITY,
    **CONTACTS,
    **MESSAGE,
    **EVENTS,
    **MAILBOX,
    **NET,
    **CONFIG,
    **STATS,
    **BACKUP,
}
