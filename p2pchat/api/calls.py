"""The parameters of every method: their types and bounds, and what the types do not say.

Rules:

- Whatever changes the store takes an ``idempotency_key``, but what is the same done twice: ``events.ack``, ``forget``.
- A sentence about a wrong value begins with the parameter's name, which also stands in ``data.param``; it never quotes
  the value.
- What a parameter is for stands in the docstring behind its name and a colon, or else with its type;
  docs/CONTROL-API.md and ``rpc.discover`` have it from there.

Source: docs/CONTROL-API.md, "Methods".
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from p2pchat.api.mailbox_objects import OfferedTo
from p2pchat.api.objects import ContactState
from p2pchat.api.passphrase import Passphrase
from p2pchat.api.text import TEXT_BYTES, is_safe, is_unicode, utf8_bytes
from p2pchat.base.errors import UsageError
from p2pchat.base.silent import Silent

_ROOT_BEGINNING: Final = re.compile("[0-9a-fA-F]{4,64}")

Key = Annotated[str, Meta(min_length=1, max_length=128, description="the same call is carried out once with it")]
Target = Annotated[
    str, Meta(min_length=1, max_length=256, description="a contact: its name, its number or the beginning of its id")
]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
HexId = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[0-9a-f]+(?![\s\S])")]
Link = Annotated[str, Meta(min_length=1, max_length=4096)]
Multiaddr = Annotated[str, Meta(min_length=1, max_length=1024)]
Words = Annotated[str, Meta(min_length=1, max_length=256)]
PageSize = Annotated[int, Meta(ge=1, le=1000, description="how many at most")]
Wait = Literal["queued", "sent", "held", "delivered", "read"]


class Params(Silent, Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The named parameters of one method."""

    def check(self) -> None:
        """What the types do not say.

        Raises:
            UsageError: INVALID_PARAMS or TOO_LARGE.
        """

    def may_wait(self) -> bool:
        """Whether the call may take long: it is cut off when the node is locked."""
        return False


class Mutation(Params, kw_only=True, frozen=True):
    """Parameters of a method that changes the store."""

    idempotency_key: Key | None = None


class NoParams(Params, kw_only=True, frozen=True):
    """A method without parameters."""


class NodeHello(Params, kw_only=True, frozen=True):
    """``client``: the name of the program; ``api``: the major version that it speaks."""

    client: Annotated[str, Meta(max_length=128)] | None = None
    api: Annotated[int, Meta(ge=0, le=65_535)] | None = None


class NodeDoctor(Params, kw_only=True, frozen=True):
    """``send``: whether other nodes are asked to take part."""

    send: bool = True

    def may_wait(self) -> bool:
        return True


class NodeUnlock(Params, kw_only=True, frozen=True):
    """``passphrase``: of the profile."""

    passphrase: Passphrase


class PassphraseChange(Params, kw_only=True, frozen=True):
    """``old``: the one until now, left out where there was none; ``new``: null where there shall be none."""

    old: Passphrase | None = None
    new: Passphrase | None


class IdentitySet(Mutation, kw_only=True, frozen=True):
    """``receipts``: whether read receipts are exchanged."""

    receipts: bool


class IdentityInvite(Mutation, kw_only=True, frozen=True):
    """``uses``: for how many people; ``expires_s``: for how many seconds; ``ask``: each of them becomes a contact in
    the state request until ``contacts.accept``."""

    uses: Annotated[int, Meta(ge=1, le=100)] = 1
    expires_s: Annotated[int, Meta(ge=60, le=31_536_000)] = 604_800
    ask: bool = False


class IdentityRevoke(Mutation, kw_only=True, frozen=True):
    """``id``: of an invite, the whole."""

    id: HexId


class ContactsAdd(Mutation, kw_only=True, frozen=True):
    """One of ``number`` and ``invite`` is given. ``number``: in any form that a person writes; ``invite``: a link of
    ``identity.invite``; ``name``: the user's own word for them."""

    number: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    invite: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    name: Name | None = None

    def check(self) -> None:
        if (self.number is None) == (self.invite is None):
            raise invalid("number", "or invite is required, and not both")
        if self.name is not None:
            _check_name(self.name)


class BookEntry(Silent, Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One number of an address book. ``line``: where it stands there; what is wrong with it is told with that."""

    line: Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]
    number: Annotated[str, Meta(max_length=256)]
    name: Annotated[str, Meta(max_length=1024)] | None = None


class ContactsImport(Mutation, kw_only=True, frozen=True):
    """``entries``: of an address book."""

    entries: Annotated[list[BookEntry], Meta(min_length=1, max_length=500)]

    def check(self) -> None:
        if not all(is_unicode(entry.number) and is_unicode(entry.name or "") for entry in self.entries):
            raise invalid("entries", "holds half of a surrogate pair, which is no character")


class ContactsFind(Mutation, kw_only=True, frozen=True):
    """``to``: each of them a contact as elsewhere; left out: everybody who is not looked for."""

    to: Annotated[list[Target], Meta(min_length=1, max_length=100)] | None = None

    def check(self) -> None:
        if not all(map(is_unicode, self.to or ())):
            raise invalid("to", "holds half of a surrogate pair, which is no character")


class ContactsList(Params, kw_only=True, frozen=True):
    """``state``: those in that state alone."""

    state: ContactState | None = None


class ContactsGet(Params, kw_only=True, frozen=True):
    """One contact."""

    to: Target


class ContactsRename(Mutation, kw_only=True, frozen=True):
    """Another name. ``name``: the user's own word for them."""

    to: Target
    name: Name

    def check(self) -> None:
        _check_name(self.name)


class ContactsRemove(Mutation, kw_only=True, frozen=True):
    """One contact."""

    to: Target


class ContactsBlock(Mutation, kw_only=True, frozen=True):
    """One contact."""

    to: Target


class ContactsAnswer(Mutation, kw_only=True, frozen=True):
    """``id``: of a contact in the state request, or its beginning, 4 digits or more."""

    id: HexId


class ContactsChoose(Mutation, kw_only=True, frozen=True):
    """``claimant``: the beginning (4 digits or more) of an ``id`` of ``contacts.claimants``, which may be left out
    where there is one; a whole id (64 digits) may also be of somebody who was not seen yet."""

    to: Target
    claimant: Annotated[str, Meta(max_length=128)] | None = None

    def check(self) -> None:
        if self.claimant is not None and not _ROOT_BEGINNING.fullmatch(self.claimant):
            raise invalid("claimant", "is no beginning of a root key, 4 to 64 hexadecimal digits")


class ContactsMerge(Mutation, kw_only=True, frozen=True):
    """``to``: the contact that came by an invite, and stays; ``other``: the one that was added by number, and goes: its
    number and messages go to ``to``."""

    to: Target
    other: Target


class ContactsVerify(Mutation, kw_only=True, frozen=True):
    """Exactly one of the two is given. ``safety_number``: the number that the contact has on its screen; ``scanned``:
    the link that was scanned there."""

    to: Target
    safety_number: Annotated[str, Meta(max_length=256)] | None = None
    scanned: Link | None = None

    def check(self) -> None:
        if (self.safety_number is None) == (self.scanned is None):
            raise invalid("safety_number", "is to be given, or scanned, and not both")


class ContactsSmsProof(Mutation, kw_only=True, frozen=True):
    """``code``: what came by SMS; without it a proof is asked for."""

    to: Target
    code: Annotated[str, Meta(max_length=64)] | None = None


class ContactsReceipts(Mutation, kw_only=True, frozen=True):
    """``on``: whether read receipts are exchanged with it; null: as ``Identity.receipts`` says."""

    to: Target
    on: bool | None


class MessageSend(Mutation, kw_only=True, frozen=True):
    """``text``: 1 to 65,536 bytes of UTF-8; ``live_only``: on a stream that is open now, or not at all; ``wait``: the
    reply comes when the message has got that far; ``timeout_ms``: or TIMEOUT comes after so long."""

    to: Target
    text: str
    live_only: bool = False
    wait: Wait | None = None
    timeout_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 60_000

    def check(self) -> None:
        if not self.text:
            raise invalid("text", "is empty")
        if utf8_bytes(self.text) > TEXT_BYTES:
            raise UsageError(f"text: is longer than {TEXT_BYTES} bytes", name="TOO_LARGE", data={"param": "text"})

    def may_wait(self) -> bool:
        return self.wait is not None


class MessageList(Params, kw_only=True, frozen=True):
    """``before``: the newest messages at positions below it; ``after``: the oldest at positions above it, and not both;
    ``search``: those alone that ``message.search`` finds with it."""

    to: Target
    before: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] | None = None
    after: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] | None = None
    limit: PageSize = 100
    search: Words | None = None

    def check(self) -> None:
        if self.before is not None and self.after is not None:
            raise invalid("after", "or before is given, and not both")

    def may_wait(self) -> bool:
        return self.search is not None


class MessageSearch(Params, kw_only=True, frozen=True):
    """``text``: the words; ``to``: in the conversation with one contact; ``before``: at positions below it."""

    text: Words
    to: Target | None = None
    before: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] | None = None
    limit: PageSize = 100

    def may_wait(self) -> bool:
        return True  # where the index of words is behind, years of messages are read


class MessageMarkRead(Mutation, kw_only=True, frozen=True):
    """``id``: the whole id of a message that came."""

    id: HexId


class MessageGet(Params, kw_only=True, frozen=True):
    """``id``: the whole id of a message."""

    id: HexId


class MessageChange(Mutation, kw_only=True, frozen=True):
    """``id``: the whole id of a message."""

    id: HexId


class MailboxUse(Mutation, kw_only=True, frozen=True):
    """``with``: matched contacts, invites or links of mailboxes, whose nodes shall hold what comes while this one is
    away; none: nobody shall; ``auto``: this node chooses what is missing, and replaces what is gone."""

    with_: Annotated[list[Link], Meta(max_length=2)] | None = field(default=None, name="with")
    auto: bool | None = None

    def check(self) -> None:
        if self.with_ is None and self.auto is None:
            raise invalid("with", "or auto is required")
        if not all(map(is_unicode, self.with_ or ())):
            raise invalid("with", "holds half of a surrogate pair, which is no character")

    def may_wait(self) -> bool:
        return True


class MailboxOffer(Mutation, kw_only=True, frozen=True):
    """``for``: for whom mailboxes are held; ``quota``: bytes of all boxes, at most."""

    for_: OfferedTo | None = field(default=None, name="for")
    quota: Annotated[int, Meta(ge=1 << 20, le=1 << 50)] | None = None


class BackupFile(Params, kw_only=True, frozen=True):
    """``path``: of the file, absolute; ``passphrase``: what it is sealed with."""

    path: Annotated[str, Meta(min_length=1, max_length=4096)]
    passphrase: Passphrase

    def check(self) -> None:
        if "\0" in self.path:
            raise invalid("path", "must not hold a NUL")
        if not self.path.startswith("/"):
            raise invalid("path", "must be absolute: the daemon has a working directory of its own")

    def may_wait(self) -> bool:
        return True  # a backup of years takes a while, and locking does not wait for it


def invalid(param: str, why: str) -> UsageError:
    """INVALID_PARAMS, of a parameter."""
    return UsageError(f"{param}: {why}", data={"param": param})


def _check_name(name: str) -> None:
    if not name.strip() or not is_safe(name):
        raise invalid("name", "must be visible and free of control characters")
