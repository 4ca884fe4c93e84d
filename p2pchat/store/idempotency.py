"""Idempotency keys, kept in the transaction of the effect that they stand for."""

from __future__ import annotations

from p2pchat.base.errors import UsageError
from p2pchat.store.db import Tx


def recall(tx: Tx, key: str, digest: bytes) -> bytes | None:
    """The stored result of an earlier call with this key and the same parameters, or None.

    Raises:
        UsageError: IDEMPOTENCY_CONFLICT, the key was used with other parameters.
    """
    row = tx.one("SELECT digest, result FROM idempotency WHERE key = ?", (key,))
    if row is None:
        return None
    if bytes(row[0]) != digest:
        raise UsageError("This idempotency key was used with other parameters.", name="IDEMPOTENCY_CONFLICT")
    return bytes(row[1])


def remember(tx: Tx, key: str, digest: bytes, result: bytes) -> None:
    tx.execute("INSERT INTO idempotency VALUES (?, ?, ?, ?)", (key, digest, result, tx.now_s))


def prune(tx: Tx, before_s: int) -> None:
    tx.execute("DELETE FROM idempotency WHERE at_s < ?", (before_s,))


def forget(tx: Tx, name: str) -> None:
    """Drop the results that name a contact which is gone; ``name``: its id as the API shows it."""
    tx.execute("DELETE FROM idempotency WHERE instr(result, CAST(? AS BLOB)) > 0", (name,))


def empty(tx: Tx, name: str) -> None:
    """Take the text out of the results that are the message ``name``, its id as the API shows it.

    The keys stay: a call that is repeated must not queue its message again.
    """
    tx.execute(
        "UPDATE idempotency SET result = CAST(json_replace(CAST(result AS TEXT), '$.text', '') AS BLOB) "
        "WHERE instr(result, CAST(?1 AS BLOB)) > 0 AND json_extract(CAST(result AS TEXT), '$.id') = ?1",
        (name,),
    )


def rename(tx: Tx, uid: str, new: str) -> None:
    """Let the results that name the contact ``uid`` name the contact ``new``, of the same length, which it became."""
    tx.execute(
        "UPDATE idempotency SET result = CAST(replace(CAST(result AS TEXT), ?1, ?2) AS BLOB) "
        "WHERE instr(result, CAST(?1 AS BLOB)) > 0",
        (uid, new),
    )
