"""No repr shows a secret: what holds bytes or texts hides them, or stands below with the reason why it need not."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import typing
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

import p2pchat

SHOWN = {
    "p2pchat.api.errors.Row": {"name", "meaning"},  # of the table
    "p2pchat.api.event_table.EventSpec": {"types", "data"},
    "p2pchat.api.methods.spec.MethodSpec": {"doc", "errors"},
    "p2pchat.cli.demo_story.Person": {"name", "number", "received"},  # nobody: invented for the demo
    "p2pchat.cli.invocation.Invocation": {"profile", "socket"},  # this machine's own
    "p2pchat.control.subscriptions._Subscription": {"name", "types"},
    "p2pchat.core.storer._Key": {"loc", "writer"},  # public: where a record lies, and under which key
    "p2pchat.services.config.Config": {"listen", "bootstrap", "public_entry", "log_level", "log_format"},  # its user's
    "p2pchat.net.connections.PeerConnections": {"serving"},  # protocols
    "p2pchat.services.context.Context": {"message_prefix"},  # in front of message ids
    "p2pchat.services.receive.Answer": {"nacks"},  # hashes of what nobody could open
    "p2pchat.store.eventlog.EventRow": {"kind"},
    "p2pchat.store.sessions.EnvelopeRow": {"eid"},  # a hash of ciphertext
}


def modules() -> list[str]:
    found = (module.name for module in pkgutil.walk_packages(p2pchat.__path__, "p2pchat."))
    return [name for name in found if not name.endswith("__main__") and not name.startswith("p2pchat.testing")]


def records() -> list[type]:
    """Every dataclass, struct and named tuple."""
    members = (value for name in modules() for value in vars(importlib.import_module(name)).values())
    classes = {value for value in members if isinstance(value, type) and value.__module__.startswith("p2pchat.")}
    return sorted(filter(is_record, classes), key=name_of)


def is_record(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct) or hasattr(kind, "_field_defaults")


def name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def shown_by(kind: type) -> set[str]:
    """The fields that the repr shows and that could hold a secret."""
    if has_own_repr(kind):
        return set()
    hints = typing.get_type_hints(kind, localns={"itertools": SimpleNamespace(count=list)})  # generic for mypy alone
    if dataclasses.is_dataclass(kind):
        return {field.name for field in dataclasses.fields(kind) if field.repr and tells(hints[field.name])}
    return {name for name, hint in hints.items() if tells(hint) and not name.startswith("_")}


def has_own_repr(kind: type) -> bool:
    """One that stands in our code, of the class or of one above it."""
    code = getattr(kind.__repr__, "__code__", None)
    return code is not None and Path(code.co_filename).is_relative_to(Path(p2pchat.__file__).parent)


def tells(hint: object) -> bool:
    """Whether a value of this type shows bytes or a text."""
    if isinstance(hint, type):
        return issubclass(hint, str | bytes | bytearray) and not issubclass(hint, Enum) and hint.__repr__ in PLAIN
    if typing.get_origin(hint) is typing.Literal:
        return False
    return any(map(tells, typing.get_args(hint)))


PLAIN = {str.__repr__, bytes.__repr__, bytearray.__repr__}


@pytest.mark.parametrize("kind", records(), ids=name_of)
def test_a_repr_shows_no_bytes_and_no_text(kind: type) -> None:
    assert shown_by(kind) == SHOWN.get(name_of(kind), set())


def test_everything_is_looked_at() -> None:
    names = {name_of(kind) for kind in records()}
    assert names >= SHOWN.keys()
    assert {"p2pchat.core.crypto.KeyPair", "p2pchat.store.keyfile._Plain", "p2pchat.api.objects.Message"} <= names
    assert len(names) > 100


def test_a_careless_record_is_found() -> None:
    class Struct(msgspec.Struct):
        key: bytes

    class Tuple(typing.NamedTuple):
        text: str | None

    @dataclasses.dataclass
    class Data:
        keys: list[tuple[int, bytes]]
        hidden: bytes = dataclasses.field(repr=False)

    assert [shown_by(kind) for kind in (Struct, Tuple, Data)] == [{"key"}, {"text"}, {"keys"}]
