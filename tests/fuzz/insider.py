"""Junk from somebody who is matched: authenticated, sealed in a true session, and then not what it should be.

The victim is matched with a third daemon, which is stopped; whoever holds its profile is this contact.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from typing import Final

from msgspec import structs

from p2pchat.api.paths import ProfilePaths
from p2pchat.core.crypto import ed25519_pair
from p2pchat.core.params import PRODUCTION
from p2pchat.core.prekeys import ask_proof
from p2pchat.core.session import Session, seal
from p2pchat.core.wire import CONTENT_MAX_BYTES
from p2pchat.daemon.profile import unlock
from p2pchat.daemon.system import SystemEntropy
from p2pchat.net.addresses import peer_id_from_key
from p2pchat.store import contact_peers, contacts, meta, sessions
from p2pchat.store.db import Tx
from p2pchat.store.sqlite import connect
from tests.e2e.daemons import ALICE, Daemon, environment, until
from tests.fuzz.frames import HELLO, framed, junk_frame, message
from tests.fuzz.mutation import Tree, abyss, damaged, mutated, packed, sized

_NUMBER: Final = "+821055556666"
_REPEATS: Final = 200
_LONG: Final = ("a" * 65_536, "a" * 65_537, "가" * 21_845)
_SHORT: Final = ("x", "", "\0", "\ud800", "\u202e", "가" * 3)
_JUMPS: Final = (1, 2, 999, 1_000, 1_001, 5_000)


class Insider:
    """A contact of the victim whose profile is ours.

    Args:
        folder: where its profile is made.
        victim: running; gets a contact named Mallory.
    """

    def __init__(self, folder: Path, victim: Daemon) -> None:
        mallory = Daemon(folder, _NUMBER)
        mallory.start("--bootstrap", victim.address)
        try:
            mallory.call("contacts.add", number=ALICE, name="Alice")
            victim.call("contacts.add", number=_NUMBER, name="Mallory")
            until(lambda: mallory.state_of("Alice") == victim.state_of("Mallory") == "matched", "no match")
        finally:
            mallory.stop()
        paths = ProfilePaths(environ=environment(folder))
        database = connect(paths.database, unlock(paths, None).take())
        tx = Tx(database, int(time.time() * 1000))
        profile = meta.load_profile(tx)
        owner = contacts.everyone(tx)[0].id
        self.seed = profile.node_seed
        self.peer = peer_id_from_key(ed25519_pair(profile.node_seed).public)
        self._session: Session = max(sessions.of_contact(tx, owner), key=lambda row: row.session.ms).session
        self._victim = contact_peers.of_contact(tx, owner)[0]
        database.close()
        self._sent: list[bytes] = []

    def stream(self, chance: Random) -> bytes:
        """One side of ``/p2pchat/msg/1`` as a contact may write it: what opens, what does not, in any order."""
        frames = [framed(packed(chance, HELLO))]
        for _ in range(chance.choice((1, 1, 2, 4))):
            kind = chance.randrange(10)
            if kind < 6:
                frames.append(framed(packed(chance, self._batch(chance))))
            elif kind == 6:
                frames.append(framed(packed(chance, [1, self._proof()])))
            else:
                frames.append(junk_frame(chance, self._batch(chance) if kind == 7 else message(chance)))
        return b"".join(frames)

    def _batch(self, chance: Random) -> Tree:
        envelopes: list[Tree] = [self._envelope(chance) for _ in range(chance.choice((1, 1, 2, 5)))]
        return [4, envelopes]

    def _envelope(self, chance: Random) -> bytes:
        kind = chance.randrange(12)
        if kind == 0 and self._sent:
            return chance.choice(self._sent)
        content = _content(chance)
        if kind == 1:
            return damaged(chance, self._seal(content))
        if kind == 2:
            return self._with_n(chance.choice(_JUMPS), content)
        for _ in range(chance.choice((1, 20)) if kind == 3 else 0):
            self._seal(content)  # never arrives: the victim keeps the keys of what it has not seen
        sealed = self._seal(content)
        self._sent = [*self._sent[-_REPEATS:], sealed]
        return sealed

    def _seal(self, content: bytes) -> bytes:
        self._session, sealed = seal(self._session, content, SystemEntropy(), PRODUCTION)
        return sealed.envelope

    def _with_n(self, jump: int, content: bytes) -> bytes:
        """An envelope whose true header says that ``jump`` others went before."""
        session, chain = self._session, self._session.ratchet.sending
        assert chain is not None
        lying = structs.replace(
            session, ratchet=structs.replace(session.ratchet, sending=structs.replace(chain, n=chain.n + jump))
        )
        return seal(lying, content, SystemEntropy(), PRODUCTION)[1].envelope

    def _proof(self) -> bytes:
        """True, unless the match came before the victim's Reach was read."""
        return ask_proof(self._victim.ask or bytes(32), self._victim.peer, self.peer)


def _content(chance: Random) -> bytes:
    """Items, right and wrong."""
    kind = chance.randrange(10)
    if kind == 0:
        return sized(chance, 4_096)
    if kind == 1:
        return abyss(chance)
    items: Tree = [_item(chance) for _ in range(chance.choice((1, 1, 1, 2, 3, 0)))]
    if kind == 2:
        small: list[Tree] = [[chance.randbytes(16), chance.choice((0, 1, 2)), b""]]
        items = small * chance.choice((2, 1_024, 1_025))
    if kind == 3:
        items = mutated(chance, items)
    content = packed(chance, items, loose=0.2 if kind == 4 else 0.0)
    return (damaged(chance, content) if kind == 5 else content)[:CONTENT_MAX_BYTES]


def _item(chance: Random) -> Tree:
    text: Tree = [
        chance.choice((1, 0, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, chance.getrandbits(20))),
        chance.choice((0, 1_700_000_000_000, (1 << 63), (1 << 64) - 1)),
        chance.choice(_LONG if chance.random() < 0.02 else _SHORT),
    ]
    body = packed(chance, mutated(chance, text) if chance.random() < 0.3 else text)
    return [chance.randbytes(16), chance.choice((0, 1, 1, 1, 1, 2, 65_535)), body]
