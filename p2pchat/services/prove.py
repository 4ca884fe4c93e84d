"""Ownership of a number by SMS: ask a contact for a proof, and give one (PROTOCOL.md 3.6).

- Of each contact there is one question in each direction, the newest. A proof for another is ignored.
- What is taken is noted by its message id, so that a repeat is no second try; after the third nothing is taken.
- The code is told to the user who asked, once, and not stored: the store has the key that comes from it, until the
  question is closed or over.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from p2pchat.base.errors import DecodeError, UsageError
from p2pchat.core.crypto import equal
from p2pchat.core.events import DomainEvent, EventKind
from p2pchat.core.params import DAY_S, Params
from p2pchat.core.proof import (
    CODE_BYTES,
    VID_BYTES,
    Proof,
    ProofAsk,
    ProofItem,
    ProofResult,
    SmsCode,
    decode_ask,
    decode_proof,
    decode_result,
    encode_proof,
    parse_code,
    proof_mac,
)
from p2pchat.core.wire import PROOF, PROOF_ASK, PROOF_RESULT, Item
from p2pchat.services.contacts import contact_event, refuse_blocked, snapshot
from p2pchat.services.context import Context
from p2pchat.services.verify import own_root, verified
from p2pchat.store import contacts, notices, proofs
from p2pchat.store.contacts import ContactRow
from p2pchat.store.db import Tx
from p2pchat.store.notices import NoticeRow
from p2pchat.store.proofs import ProofRow

KINDS: Final = frozenset((PROOF_ASK, PROOF, PROOF_RESULT))

_KEPT_S: Final = DAY_S  # a result may come as late, and a repeat of what was taken must be known as one
_SET_BACK_S: Final = 60  # a clock may be set back by so much without ending a question


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user is to text, and until when (unix seconds) an answer counts."""

    sms: str = field(repr=False)
    until_s: int


def ask(tx: Tx, context: Context, row: ContactRow) -> Asked:
    """Draw a code for ``row`` and tell its node that a proof is asked for; an earlier question is void.

    Raises:
        UsageError: INVALID_PARAMS, the contact is not matched or has no number.
    """
    _check_matched(row)
    if row.number is None:
        raise _not("has no number that could be proven")
    code, vid = SmsCode(context.entropy.bytes(CODE_BYTES)), context.entropy.bytes(VID_BYTES)
    until_s = tx.now_s + context.params.proof_life_s
    proofs.save(tx, ProofRow(row.id, own=True, vid=vid, key=code.key, until_s=until_s))
    _tell(tx, context, row.id, PROOF_ASK, ProofAsk(vid), until_s)
    return Asked(code.sms(), until_s)


def prove(tx: Tx, context: Context, row: ContactRow, typed: str) -> None:
    """Answer the question of ``row`` with the code that was texted to this profile's number.

    Raises:
        UsageError: INVALID_PARAMS, there is no question, or it is no code: nothing is sent then.
    """
    code = parse_code(typed)
    _check_matched(row)
    number, params = context.profile.number, context.params
    question = proofs.get(tx, row.id, own=False)
    if not number or row.root is None:
        raise _not("cannot be given a proof: this profile has no number")
    if question is None or question.closed or not question.lives(tx.now_s, _longest_s(params)):
        raise _not("has not asked for a proof, or its time is over: they have to ask anew")
    if question.tries >= params.proof_tries:
        raise _not("was sent as many proofs as count: they have to ask anew")
    mac = proof_mac(code.key, question.vid, row.root, own_root(context), number)
    proofs.save(tx, replace(question, tries=question.tries + 1))
    _tell(tx, context, row.id, PROOF, Proof(question.vid, mac), question.until_s)


def take(tx: Tx, context: Context, contact: int, item: Item) -> bool:
    """An item of :data:`KINDS` came from ``contact``; False if its body is not of its form."""
    try:
        if item.kind == PROOF_ASK:
            _asked(tx, context, contact, decode_ask(item.body))
        elif item.kind == PROOF:
            _answered(tx, context, contact, decode_proof(item.body), item.message_id)
        else:
            _heard(tx, context, contact, decode_result(item.body), item.message_id)
    except DecodeError:
        return False  # kept by the caller, as an item of a newer version
    return True


def _asked(tx: Tx, context: Context, contact: int, asked: ProofAsk) -> None:
    known = proofs.get(tx, contact, own=False)
    if known is not None and known.vid == asked.vid:
        return  # sealed again
    until_s = tx.now_s + context.params.proof_life_s
    proofs.save(tx, ProofRow(contact, own=False, vid=asked.vid, key=None, until_s=until_s))
    notices.withdraw(tx, contact, PROOF)
    tx.emit(contact_event(tx, EventKind.CONTACT_PROOF_ASKED, contact))


def _answered(tx: Tx, context: Context, contact: int, proof: Proof, message_id: bytes) -> None:
    question, row = proofs.get(tx, contact, own=True), contacts.get(tx, contact)
    if question is None or question.closed or question.vid != proof.vid or message_id in question.heard:
        return
    in_time = question.lives(tx.now_s, _longest_s(context.params))
    ok = in_time and row is not None and _is_right(context, row, question, proof)
    question = replace(question, tries=question.tries + 1, heard=(*question.heard, message_id))
    if ok or not in_time or question.tries >= context.params.proof_tries:
        question = question.close()
    proofs.save(tx, question)
    notices.withdraw(tx, contact, PROOF_ASK)  # it has arrived
    if ok and row is not None:
        verified(tx, row, "number_verified")
    _tell(tx, context, contact, PROOF_RESULT, ProofResult(proof.vid, ok), tx.now_s + _KEPT_S)
    tx.emit(_result_event(tx, contact, ok=ok))


def _is_right(context: Context, row: ContactRow, question: ProofRow, proof: Proof) -> bool:
    if question.key is None or row.root is None or row.number is None:
        return False
    return equal(proof_mac(question.key, question.vid, own_root(context), row.root, row.number), proof.mac)


def _heard(tx: Tx, context: Context, contact: int, result: ProofResult, message_id: bytes) -> None:
    question = proofs.get(tx, contact, own=False)
    if question is None or question.closed or question.vid != result.vid or message_id in question.heard:
        return
    if len(question.heard) >= question.tries:
        return  # of a proof that was not given
    question = replace(question, heard=(*question.heard, message_id))
    if result.ok or len(question.heard) >= context.params.proof_tries:
        question = question.close()
    proofs.save(tx, question)
    tx.emit(_result_event(tx, contact, ok=result.ok))


def forget(tx: Tx, context: Context) -> None:
    """What time does: keys of questions that are over go, and notices that have no use any more."""
    proofs.prune(tx, _longest_s(context.params), _KEPT_S)
    notices.prune(tx, KINDS, _KEPT_S)


def _tell(tx: Tx, context: Context, contact: int, kind: int, item: ProofItem, until_s: int) -> None:
    notices.put(tx, contact, NoticeRow(kind, context.message_id(), encode_proof(item)), until_s)


def _longest_s(params: Params) -> int:
    return params.proof_life_s + _SET_BACK_S


def _check_matched(row: ContactRow) -> None:
    refuse_blocked(row)
    if row.state != "matched":
        raise _not("is not matched yet, so that there is nobody to ask or to answer")


def _not(why: str) -> UsageError:
    return UsageError(f"to: {why}", data={"param": "to"})


_Result = tuple[bytes, bool]
_results: Final[msgspec.msgpack.Decoder[_Result]] = msgspec.msgpack.Decoder(_Result)


def _result_event(tx: Tx, contact: int, *, ok: bool) -> DomainEvent:
    row = contacts.get(tx, contact)
    assert row is not None  # noqa: S101  the caller holds the contact in this transaction
    detail = msgspec.msgpack.encode((snapshot(row), ok))
    return DomainEvent(EventKind.CONTACT_PROOF_RESULT, contact, detail, contact)


def open_result(detail: bytes) -> _Result:
    """The snapshot of the contact, and whether the proof was right."""
    return _results.decode(detail)
