"""What is mutated, and the quickest tests that ought to notice: those that kill most stand first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_CORE: Final = "tests/unit/core/test"
_SESSIONS: Final = "tests/vectors/test_sessions.py"
_STOLEN: Final = f"{_CORE}_ratchet_stolen.py"


@dataclass(frozen=True, slots=True)
class Subject:
    """A module of the core. ``tests``: files, relative to the checkout."""

    name: str
    tests: Sequence[str]

    @property
    def module(self) -> str:
        return f"p2pchat.core.{self.name}"

    @property
    def file(self) -> str:
        return f"p2pchat/core/{self.name}.py"


_ALL: Final = (
    Subject("handshake", (f"{_CORE}_handshake.py", _SESSIONS, f"{_CORE}_session.py")),
    Subject(
        "ratchet", (f"{_CORE}_ratchet.py", _SESSIONS, f"{_CORE}_mutants_ratchet.py", f"{_CORE}_session.py", _STOLEN)
    ),
    Subject("ratchet_state", (f"{_CORE}_ratchet.py", _SESSIONS, f"{_CORE}_session.py")),
    Subject("session", (f"{_CORE}_session.py", _SESSIONS, f"{_CORE}_mutants_session.py", f"{_CORE}_handshake.py")),
    Subject("discovery", (f"{_CORE}_discovery.py", f"{_CORE}_mutants_discovery.py", "tests/vectors/test_discovery.py")),
    Subject("mailbox", (f"{_CORE}_mailbox.py", "tests/vectors/test_mailbox.py")),
    Subject("mailbox_link", (f"{_CORE}_mailbox_link.py", "tests/vectors/test_mailbox.py")),
    Subject("nodes_link", (f"{_CORE}_nodes_link.py", "tests/vectors/test_nodes.py")),
    Subject("presence", (f"{_CORE}_mutants_presence.py", "tests/vectors/test_presence.py")),
)

SUBJECTS: Final = {subject.name: subject for subject in _ALL}
