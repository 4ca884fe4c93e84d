"""What is said of a method beside its types, and the errors that any may have."""

from __future__ import annotations

from types import UnionType
from typing import Final, NamedTuple

from msgspec import Struct

from p2pchat.api.calls import Params

COMMON_ERRORS: Final = (
    "PARSE",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "INVALID_PARAMS",
    "INTERNAL",
    "LOCKED",
    "STORE",
    "TOO_LARGE",
    "NO_SPACE",
    "CORRUPT",
)
"""What any call may be answered: of the request itself, or of the disk. No method lists them, unless for a meaning of
its own."""

MUTATING_ERRORS: Final = ("FORBIDDEN", "IDEMPOTENCY_CONFLICT")
"""What every method that changes the store may answer: on a device that was replaced, and for a key that was used."""

UNNAMED: Final = ("CONTACT_NOT_FOUND", "AMBIGUOUS")
"""Of every parameter that names a contact."""


class MethodSpec(NamedTuple):
    """One method: its types, whether it changes the store, what it does (Markdown; the first sentence is its summary),
    whether it works while the node is locked, and the errors of its own: see :attr:`answers`."""

    params: type[Params]
    result: type[Struct] | UnionType
    mutating: bool
    doc: str
    while_locked: bool = False
    errors: tuple[str, ...] = ()

    @property
    def answers(self) -> tuple[str, ...]:
        """Every error that it may answer beside :data:`COMMON_ERRORS`."""
        return tuple(dict.fromkeys((*self.errors, *(MUTATING_ERRORS if self.mutating else ()))))
