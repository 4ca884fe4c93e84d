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
        before, now = self._trusted, dict[tuple[int, int, str], bytes]()
        for who, index, database in newest:
            now |= {(who, index, name): root for name, root in await database.run(_roots)}
        changed = [
            (who, name) for (who, index, name), root in now.items() if before.get((who, index, name), root) != root
        ]
        self._trusted = now  # whoever was deleted may come back with any key
        found = [
            f"p{who:03} trusts another key of {name}, and nobody said so"
            for who, name in changed
            if (who, name) not in self._allowed
        ]
        self._allowed.clear()
        return found


def _roots(tx: Tx) -> list[tuple[str, bytes]]:
    rows = tx.all("SELECT name, root FROM contact WHERE root IS NOT NULL")
    return [(str(name), bytes(root)) for name, root in rows]
