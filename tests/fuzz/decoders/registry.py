"""All decoders, by name, and the module in which each stands."""

from __future__ import annotations

from typing import Final

from tests.fuzz.decoders import edges, finding, mailboxes, reachability, sessions

_MODULES: Final = (sessions, finding, edges, mailboxes, reachability)

TARGETS: Final = {target.name: target for module in _MODULES for target in module.TARGETS}
MODULES: Final = {target.name: module.__name__ for module in _MODULES for target in module.TARGETS}
