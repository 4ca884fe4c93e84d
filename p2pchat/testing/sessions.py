"""Ready-made sessions, for tests of whatever lies above them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from p2pchat.core.crypto import Entropy
from p2pchat.core.keys import Identity, create_identity
from p2pchat.core.params import PRODUCTION, Params
from p2pchat.core.prekeys import PrekeySecret, make_bundle, make_signed_prekey, open_bundle
from p2pchat.core.session import Sealed, Session, accept_session, open_session, seal
from p2pchat.core.wire import OPEN, Item, encode_content

NOW_S: Final = 1_800_000_000
HELLO: Final = encode_content([Item(bytes(16), OPEN, b"")])


@dataclass(frozen=True, slots=True)
class Flown:
    """A first flight underway: the initiator's session and first envelope, and what the responder needs for it."""

    session: Session
    sealed: Sealed
    responder: Identity
    secret: PrekeySecret


def fly(
    initiator: Identity,
    responder: Identity,
    entropy: Entropy,
    params: Params = PRODUCTION,
    ms: int = NOW_S * 1000,
    content: bytes = HELLO,
) -> Flown:
    """``initiator`` opens a session with a fresh bundle of ``responder``."""
    secret = make_bundle(responder, make_signed_prekey(entropy, NOW_S), entropy, NOW_S, params)
    bundle = open_bundle(secret.bundle, responder.cert.root, NOW_S, params)
    session, sealed = seal(open_session(initiator, bundle, ms, entropy, params), content, entropy, params)
    return Flown(session, sealed, responder, secret)


def land(flown: Flown, entropy: Entropy, params: Params = PRODUCTION) -> Session:
    """The responder's session out of an accepted flight."""
    if flown.session.flight is None:
        raise ValueError("a confirmed session has no flight")
    session, *_ = accept_session(
        flown.responder, flown.secret, flown.session.flight, flown.sealed.envelope, NOW_S * 1000, entropy, params
    )
    return session


def session_pair(entropy: Entropy, params: Params = PRODUCTION) -> tuple[Session, Session]:
    """The two ends of one session: the initiator's, which sent :data:`HELLO`, and the responder's, which opened it."""
    a, b = create_identity(entropy, NOW_S * 1000), create_identity(entropy, NOW_S * 1000)
    flown = fly(a, b, entropy, params)
    return flown.session, land(flown, entropy, params)
