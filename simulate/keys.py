"""Whose key counts as a friend's: another one only where the user has said so (PROTOCOL.md 3.3)."""

from __future__ import annotations

from collections.abc import Iterable

from p2pchat.store.db import Database, Tx


class Keys:
    """The keys that everybody trusts, from one look to the next."""

    def __init__(self) -> None:
        self._trusted: dict[tuple[int, int, str], bytes] = {}
        self._allowed: set[tuple[int, str]] = set()

    def allow(self, who: int, name: str) -> None:
        """The user has chosen another key for a friend, or has deleted them: until the next look."""
        self._allowed.add((who, name))

    async def complaints(self, newest: Iterable[tuple[int, int, Database]]) -> list[str]:
        """Keys that were changed behind a user's back.

        Args:
            newest: people, which of their devices is the newest, and its store.
        """
        found: list[str] = []
        for who, index, database in newest:
            for name, root in await database.run(_roots):
                before = self._trusted.get((who, index, name), root)
                self._trusted[who, index, name] = root
                if before != root and (who, name) not in self._allowed:
                    found.append(f"p{who:03} trusts another key of {name}, and nobody said so")
        self._allowed.clear()
        return found


def _roots(tx: Tx) -> list[tuple[str, bytes]]:
    rows = tx.all("SELECT name, root FROM contact WHERE root IS NOT NULL")
    return [(str(name), bytes(root)) for name, root in rows]
