"""The double ratchet with header encryption and ML-KEM steps (PROTOCOL.md 4.3, 4.4).

Rules:

1. An envelope is opened only when its hint is that of a header key at hand; junk costs a comparison.
2. A header under the *next* receiving key is a DH step: the rest of the old chain is kept as skipped keys, the peer's
   ratchet key makes a receiving chain, and, once the body has opened, a fresh key of ours makes a sending chain.
3. A sending chain whose step is a multiple of ``kem_every`` advertises a KEM key in every header. A DH step carries a
   ciphertext exactly when the chain that it answers advertised one; anything else is refused.
4. Any failure raises one of the declared errors and leaves the caller with the state it has.

What the caller commits together: the returned state, and the envelope sealed or the content opened.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from p2pchat.base.errors import DecodeError, DecryptionError, HandshakeError, InternalError, LimitError, ReplayError
from p2pchat.core.crypto import (
    KEM_SEED_BYTES,
    NONCE_BYTES,
    ZERO32,
    Entropy,
    KeyPair,
    aead_open,
    aead_seal,
    hkdf,
    hmac_sha256,
    kem_decapsulate,
    kem_public,
    x25519,
    x25519_pair,
)
from p2pchat.core.envelope import (
    COUNTER_MAX,
    Header,
    Parts,
    decode_header,
    encode_header,
    join_prefix,
    split_envelope,
)
from p2pchat.core.padding import pad, unpad
from p2pchat.core.params import Params
from p2pchat.core.ratchet_state import (
    RatchetState,
    ReceivingChain,
    SendingChain,
    SkippedKey,
    dump_core,
    dump_skipped,
    header_key,
    hints,
    load,
)

__all__ = [
    "RatchetState",
    "decrypt",
    "dump_core",
    "dump_skipped",
    "encrypt",
    "forget_expired",
    "hints",
    "load",
    "start_initiator",
    "start_responder",
]

ACK_BYTES: Final = 16

_INIT: Final = b"p2pchat/1 init"
_ROOT: Final = b"p2pchat/1 ratchet"
_MESSAGE: Final = b"p2pchat/1 msg"
_HEADER: Final = b"p2pchat/1 hdr"


def start_initiator(sk: bytes, spk_public: bytes, entropy: Entropy, params: Params) -> RatchetState:
    """The state of who made the first flight; it can send at once.

    Args:
        sk: 32 bytes, from the handshake.
        spk_public: the responder's signed prekey, 32 bytes.
        entropy: for the first ratchet key and the KEM key of step 0.
        params: ``kem_every``.

    Raises:
        HandshakeError: ``spk_public`` is of low order.
    """
    rk, hks, nhkr = _three(hkdf(ZERO32, sk, _INIT, 96))
    dhs = x25519_pair(entropy.bytes(32))
    rk, chain_key, nhks = _root_step(rk, x25519(dhs.secret, spk_public))
    seed, public = _kem_key(0, entropy, params)
    sending = SendingChain(header_key(hks), chain_key, 0, 0, seed, public, None)
    return RatchetState(rk=rk, dhs=dhs, nhks=nhks, nhkr=header_key(nhkr), step=0, sending=sending, receiving=None)


def start_responder(sk: bytes, spk: KeyPair) -> RatchetState:
    """The state of who accepted a first flight; it can send once it has opened an envelope."""
    rk, nhkr, nhks = _three(hkdf(ZERO32, sk, _INIT, 96))
    return RatchetState(rk=rk, dhs=spk, nhks=nhks, nhkr=header_key(nhkr), step=0, sending=None, receiving=None)


def encrypt(state: RatchetState, content: bytes, ad: bytes, entropy: Entropy) -> tuple[RatchetState, bytes, bytes]:
    """Seal ``content`` as the next message of the sending chain.

    Args:
        state: not used again once the result is committed.
        content: any bytes; the caller bounds them.
        ad: 32 bytes that name the session.
        entropy: for the nonce.

    Returns:
        The next state, the envelope, and the 16 bytes with which a peer that opened it will answer.

    Raises:
        LimitError: the chain is exhausted (2^32 messages without an answer).
    """
    chain = state.sending
    if chain is None:
        raise InternalError("a responder's ratchet has not opened its first envelope")
    if chain.n > COUNTER_MAX:
        raise LimitError("a sending chain is exhausted")
    message_key, chain_key = _chain_step(chain.key)
    body_key, ack = _message_keys(message_key)
    header = Header(state.dhs.public, chain.pn, chain.n, chain.kem_public, chain.kem_ciphertext)
    nonce = entropy.bytes(NONCE_BYTES)
    sealed_header = aead_seal(chain.header.key, nonce, encode_header(header), _HEADER + ad)
    prefix = join_prefix(chain.header.hint, nonce, sealed_header)
    envelope = prefix + aead_seal(body_key, nonce, pad(content), ad + prefix)
    return structs.replace(state, sending=structs.replace(chain, key=chain_key, n=chain.n + 1)), envelope, ack


def decrypt(
    state: RatchetState, envelope: bytes, ad: bytes, now_s: int, entropy: Entropy, params: Params
) -> tuple[RatchetState, bytes, bytes]:
    """Open an envelope of the peer.

    Args:
        state: not used again once the result is committed.
        envelope: any bytes.
        ad: 32 bytes that name the session.
        now_s: unix time, from which skipped keys have their end.
        entropy: for the keys of an answering chain.
        params: the limits and ``kem_every``.

    Returns:
        The next state, the content, and the 16 bytes that prove the opening to the sender.

    Raises:
        DecodeError: malformed, or authenticated and against the rules.
        DecryptionError: no key fits, or it does not open.
        ReplayError: its key was used already or is no longer kept.
        LimitError: it is too far ahead in its chain.
    """
    parts = split_envelope(envelope)
    state = forget_expired(state, now_s)
    key = _key_for(state, parts.hint)
    header = decode_header(aead_open(key, parts.nonce, parts.sealed_header, _HEADER + ad))
    try:
        if key == state.nhkr.key:
            return _take_step(state, header, parts, ad, now_s, entropy, params)
    except HandshakeError as error:
        raise DecryptionError("a key within a ratchet header was refused") from error
    chain = state.receiving
    if chain is not None and key == chain.header.key and header.n >= chain.n:
        return _receive(state, chain, header.n, parts, ad, now_s, params)
    return _open_skipped(state, key, header.n, parts, ad)


def passed_over(state: RatchetState, envelope: bytes, ad: bytes, params: Params) -> int:
    """How many keys of other envelopes :func:`decrypt` derives for this one, whether its body opens or not."""
    try:
        parts = split_envelope(envelope)
        key = _key_for(state, parts.hint)
        header = decode_header(aead_open(key, parts.nonce, parts.sealed_header, _HEADER + ad))
    except (DecodeError, DecryptionError):
        return 0  # nothing is derived for what has no header that opens
    chain, gaps = state.receiving, [0]
    if key == state.nhkr.key:
        gaps = [header.n, 0 if chain is None else header.pn - chain.n]
    elif chain is not None and key == chain.header.key:
        gaps = [header.n - chain.n]
    return sum(gap for gap in gaps if 0 < gap <= params.skip_per_message)


def forget_expired(state: RatchetState, now_s: int) -> RatchetState:
    """Drop the skipped keys whose time is over; the same object where there are none."""
    if not state.skipped:
        return state
    kept = tuple(skipped for skipped in state.skipped if skipped.until_s > now_s)
    return state if len(kept) == len(state.skipped) else structs.replace(state, skipped=kept)


def _three(okm: bytes) -> tuple[bytes, bytes, bytes]:
    return okm[:32], okm[32:64], okm[64:96]


def _kem_key(step: int, entropy: Entropy, params: Params) -> tuple[bytes, bytes] | tuple[None, None]:
    """What the sending chain of ``step`` advertises: seed and public key, or nothing."""
    if step % params.kem_every:
        return None, None
    seed = entropy.bytes(KEM_SEED_BYTES)
    return seed, kem_public(seed)


def _root_step(rk: bytes, secrets: bytes) -> tuple[bytes, bytes, bytes]:
    """rk', chain key, next header key."""
    return _three(hkdf(rk, secrets, _ROOT, 96))


def _chain_step(chain_key: bytes) -> tuple[bytes, bytes]:
    """Message key, next chain key."""
    return hmac_sha256(chain_key, b"\x01"), hmac_sha256(chain_key, b"\x02")


def _message_keys(message_key: bytes) -> tuple[bytes, bytes]:
    """Body key, ack."""
    okm = hkdf(ZERO32, message_key, _MESSAGE, 32 + ACK_BYTES)
    return okm[:32], okm[32:]


def _key_for(state: RatchetState, hint: bytes) -> bytes:
    if state.receiving is not None and state.receiving.header.hint == hint:
        return state.receiving.header.key
    if state.nhkr.hint == hint:
        return state.nhkr.key
    for skipped in state.skipped:
        if skipped.header.hint == hint:
            return skipped.header.key
    raise DecryptionError("no header key fits an envelope")


def _open_body(message_key: bytes, parts: Parts, ad: bytes) -> tuple[bytes, bytes]:
    body_key, ack = _message_keys(message_key)
    return unpad(aead_open(body_key, parts.nonce, parts.sealed_body, ad + parts.prefix)), ack


def _open_skipped(
    state: RatchetState, key: bytes, n: int, parts: Parts, ad: bytes
) -> tuple[RatchetState, bytes, bytes]:
    for index, skipped in enumerate(state.skipped):
        if skipped.n == n and skipped.header.key == key:
            content, ack = _open_body(skipped.key, parts, ad)
            return structs.replace(state, skipped=state.skipped[:index] + state.skipped[index + 1 :]), content, ack
    raise ReplayError("the key of an envelope was used or is no longer kept")


def _advance(chain: ReceivingChain, until_n: int, until_s: int) -> tuple[ReceivingChain, tuple[SkippedKey, ...]]:
    """The chain at position ``until_n``, and the keys of what it passed."""
    passed: list[SkippedKey] = []
    chain_key = chain.key
    for n in range(chain.n, until_n):
        message_key, chain_key = _chain_step(chain_key)
        passed.append(SkippedKey(chain.header, n, message_key, until_s))
    return ReceivingChain(chain.header, chain_key, until_n), tuple(passed)


def _with_skipped(state: RatchetState, more: tuple[SkippedKey, ...], params: Params) -> RatchetState:
    return structs.replace(state, skipped=(state.skipped + more)[-params.skip_per_session :]) if more else state


def _receive(
    state: RatchetState, chain: ReceivingChain, n: int, parts: Parts, ad: bytes, now_s: int, params: Params
) -> tuple[RatchetState, bytes, bytes]:
    if n - chain.n > params.skip_per_message:
        raise LimitError("an envelope is too far ahead in its chain")
    chain, passed = _advance(chain, n, now_s + params.skipped_kept_s)
    message_key, chain_key = _chain_step(chain.key)
    content, ack = _open_body(message_key, parts, ad)
    state = structs.replace(state, receiving=ReceivingChain(chain.header, chain_key, n + 1))
    return _with_skipped(state, passed, params), content, ack


def _take_step(
    state: RatchetState, header: Header, parts: Parts, ad: bytes, now_s: int, entropy: Entropy, params: Params
) -> tuple[RatchetState, bytes, bytes]:
    seed = None if state.sending is None else state.sending.kem_seed
    kem_secret = _answered_secret(seed, header.kem_ciphertext)
    state = _end_receiving_chain(state, header.pn, now_s, params)
    rk, chain_key, nhkr = _root_step(state.rk, x25519(state.dhs.secret, header.dhs) + kem_secret)
    chain = ReceivingChain(state.nhkr, chain_key, 0)
    state = structs.replace(state, rk=rk, nhkr=header_key(nhkr))
    state, content, ack = _receive(state, chain, header.n, parts, ad, now_s, params)
    return _start_sending_chain(state, header, entropy, params), content, ack


def _answered_secret(seed: bytes | None, ciphertext: bytes | None) -> bytes:
    if seed is None and ciphertext is None:
        return b""
    if seed is None or ciphertext is None:
        raise DecodeError("a DH step and the chain it answers disagree about a KEM step")
    return kem_decapsulate(seed, ciphertext)


def _end_receiving_chain(state: RatchetState, pn: int, now_s: int, params: Params) -> RatchetState:
    """Keep the keys up to ``pn``. A gap beyond the limit is forgotten: it must never block the step."""
    chain = state.receiving
    if chain is None or pn - chain.n > params.skip_per_message:
        return state
    _, passed = _advance(chain, pn, now_s + params.skipped_kept_s)
    return _with_skipped(state, passed, params)


def _start_sending_chain(state: RatchetState, header: Header, entropy: Entropy, params: Params) -> RatchetState:
    step = state.step + 1
    dhs = x25519_pair(entropy.bytes(32))
    kem_secret, ciphertext = b"", None
    if header.kem_public is not None:
        kem_secret, ciphertext = entropy.encapsulate(header.kem_public)
    seed, public = _kem_key(step, entropy, params)
    rk, chain_key, nhks = _root_step(state.rk, x25519(dhs.secret, header.dhs) + kem_secret)
    sending = SendingChain(
        header=header_key(state.nhks),
        key=chain_key,
        n=0,
        pn=0 if state.sending is None else state.sending.n,
        kem_seed=seed,
        kem_public=public,
        kem_ciphertext=ciphertext,
    )
    return structs.replace(state, rk=rk, dhs=dhs, nhks=nhks, step=step, sending=sending)
