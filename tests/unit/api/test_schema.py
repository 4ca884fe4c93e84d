"""The check before every method: what is refused, under which name, naming which parameter."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import pytest

from p2pchat.api import objects, schema
from p2pchat.api.calls import MessageSend
from p2pchat.api.schema import METHODS, parse, type_matches
from p2pchat.base.errors import UsageError

SEND: dict[str, object] = {"to": "Bob", "text": "Hello"}
ENTRY: dict[str, object] = {"line": 1, "number": "+821012345678"}


def refused(method: str, params: dict[str, object]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(method, params)
    return caught.value


def test_parameters_become_a_struct() -> None:
    assert parse("message.send", {**SEND, "wait": "delivered"}) == MessageSend(to="Bob", text="Hello", wait="delivered")


@pytest.mark.parametrize(
    ("method", "params", "param"),
    [
        ("contacts.verify", {"to": "Bob"}, "safety_number"),
        ("contacts.verify", {"to": "Bob", "safety_number": "1", "scanned": "p2pchat:aa"}, "safety_number"),
        ("contacts.verify", {"to": "Bob", "scanned": "x" * 4097}, "scanned"),
        ("contacts.sms_proof", {"to": "Bob", "code": "x" * 65}, "code"),
        ("message.send", {"to": "Bob"}, "text"),
        ("message.send", {**SEND, "txet": "x"}, "txet"),
        ("message.send", {**SEND, "text": ""}, "text"),
        ("message.send", {**SEND, "text": b"x"}, "text"),
        ("message.send", {**SEND, "text": None}, "text"),
        ("message.send", {**SEND, "text": "a\ud800"}, "text"),
        ("message.send", {**SEND, "to": "\udfff"}, "to"),
        ("message.send", {**SEND, "to": ""}, "to"),
        ("message.send", {**SEND, "wait": "seen"}, "wait"),
        ("message.send", {**SEND, "timeout_ms": -1}, "timeout_ms"),
        ("message.send", {**SEND, "timeout_ms": 1.0}, "timeout_ms"),
        ("message.send", {**SEND, "idempotency_key": "k" * 129}, "idempotency_key"),
        ("message.send", {**SEND, "idempotency_key": ""}, "idempotency_key"),
        ("message.list", {"to": "Bob", "limit": 0}, "limit"),
        ("message.list", {"to": "Bob", "limit": 1001}, "limit"),
        ("message.list", {"to": "Bob", "limit": True}, "limit"),
        ("message.list", {"to": "Bob", "before": 1 << 80}, "before"),
        ("message.get", {"id": "XYZ"}, "id"),
        ("contacts.add", {"number": "1", "name": "a\x1b[2J"}, "name"),
        ("contacts.add", {"number": "1", "name": "  "}, "name"),
        ("contacts.rename", {"to": "Bob", "name": "a\u202eb"}, "name"),
        ("contacts.import", {"entries": []}, "entries"),
        ("contacts.import", {"entries": [ENTRY] * 501}, "entries"),
        ("contacts.import", {"entries": [{**ENTRY, "line": -1}]}, "entries"),
        ("contacts.import", {"entries": [ENTRY, {"number": "1"}]}, "entries"),
        ("contacts.import", {"entries": [{**ENTRY, "number": "1" * 257}]}, "entries"),
        ("contacts.import", {"entries": [{**ENTRY, "number": "1\ud800"}]}, "entries"),
        ("contacts.import", {"entries": [{**ENTRY, "name": "\udfff"}]}, "entries"),
        ("contacts.import", {"entries": [{**ENTRY, "colour": "red"}]}, "entries"),
        ("contacts.import", {"entries": [[1, "1"]]}, "entries"),
        ("contacts.find", {"to": []}, "to"),
        ("contacts.find", {"to": "Bob"}, "to"),
        ("contacts.find", {"to": ["Bob"] * 101}, "to"),
        ("contacts.find", {"to": ["Bob", "\ud800"]}, "to"),
        ("contacts.list", {"state": "gone"}, "state"),
        ("contacts.choose", {"to": "Bob", "claimant": "abc"}, "claimant"),
        ("contacts.choose", {"to": "Bob", "claimant": "abcg"}, "claimant"),
        ("contacts.choose", {"to": "Bob", "claimant": "a" * 65}, "claimant"),
        ("events.subscribe", {"since": "then"}, "since"),
        ("events.subscribe", {"since": -1}, "since"),
        ("events.subscribe", {"types": ["message"]}, "types"),
        ("events.subscribe", {"types": []}, "types"),
        ("events.fetch", {}, "since"),
        ("events.fetch", {"since": "now"}, "since"),
        ("events.subscribe", {"since": {}}, "since"),
        ("events.subscribe", {"since": {"consumer": "bot", "seq": 5}}, "since"),
        ("events.subscribe", {"since": {"consumer": ""}}, "since"),
        ("events.subscribe", {"since": {"consumer": "a" * 65}}, "since"),
        ("events.subscribe", {"since": {"consumer": "a bot"}}, "since"),
        ("events.subscribe", {"since": {"consumer": "bot\n"}}, "since"),
        ("events.subscribe", {"since": {"consumer": "b\u00f6t"}}, "since"),
        ("events.subscribe", {"since": {"consumer": "bot", "start": -1}}, "since"),
        ("events.subscribe", {"since": {"consumer": "bot", "start": "\ud800"}}, "since"),
        ("events.subscribe", {"since": {"consumer": "\ud800"}}, "since"),
        ("events.subscribe", {"since": {"consumer": "bot", "start": {"consumer": "bot"}}}, "since"),
        ("events.ack", {"consumer": "bot"}, "seq"),
        ("events.ack", {"consumer": "a/b", "seq": 1}, "consumer"),
        ("events.ack", {"consumer": "bot", "seq": -1}, "seq"),
        ("events.ack", {"consumer": "bot", "seq": 1, "idempotency_key": "k"}, "idempotency_key"),
        ("events.forget", {"consumer": ["bot"]}, "consumer"),
        ("message.list", {"to": "Bob", "before": 1, "after": 1}, "after"),
        ("backup.create", {"path": "relative", "passphrase": "x"}, "path"),
        ("backup.create", {"path": "/a\0b", "passphrase": "x"}, "path"),
        ("backup.create", {"path": "", "passphrase": "x"}, "path"),
        ("backup.create", {"path": "/a"}, "passphrase"),
        ("backup.create", {"path": "/a", "passphrase": ""}, "passphrase"),
        ("backup.verify", {"path": "/a", "passphrase": "x" * 1025}, "passphrase"),
        ("backup.verify", {"path": "/a", "passphrase": None}, "passphrase"),
        ("node.status", {"verbose": True}, "verbose"),
        ("node.unlock", {}, "passphrase"),
        ("node.unlock", {"passphrase": ""}, "passphrase"),
        ("node.unlock", {"passphrase": "x" * 1025}, "passphrase"),
        ("node.unlock", {"passphrase": "é" * 513}, "passphrase"),
        ("node.unlock", {"passphrase": b"x" * 1025}, "passphrase"),
        ("node.unlock", {"passphrase": None}, "passphrase"),
        ("node.unlock", {"passphrase": 5}, "passphrase"),
        ("node.unlock", {"passphrase": ["x"]}, "passphrase"),
        ("passphrase.change", {"old": "x"}, "new"),
        ("passphrase.change", {"old": "", "new": "x"}, "old"),
        ("passphrase.change", {"new": ""}, "new"),
        ("passphrase.change", {"new": "a\ud800"}, "new"),
        ("node.status", {"\ud800": True}, "params"),
    ],
)
def test_a_bad_parameter_is_named(method: str, params: dict[str, object], param: str) -> None:
    error = refused(method, params)
    assert error.error_name == "INVALID_PARAMS"
    assert error.data == {"param": param}
    assert error.message.startswith(f"{param}: ")


def test_choices_are_listed() -> None:
    assert refused("message.send", {**SEND, "wait": "x"}).message == (
        "wait: must be one of: queued, sent, held, delivered, read"
    )
    assert refused("events.subscribe", {"since": "x"}).message == (
        "since: must be one of: a whole number, now, an object"
    )
    assert refused("events.fetch", {"since": {"consumer": "bot", "start": "then"}}).message == (
        "since: start must be one of: a whole number, now"
    )


@pytest.mark.parametrize("character", ["a", "é", "한", "🙂", "\0"])
def test_the_size_of_a_text_is_counted_in_utf8_bytes(character: str) -> None:
    width = len(character.encode())
    longest = character * (65_536 // width) + "a" * (65_536 % width)
    parse("message.send", {**SEND, "text": longest})
    error = refused("message.send", {**SEND, "text": longest + "a"})
    assert (error.error_name, error.data) == ("TOO_LARGE", {"param": "text"})


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    canary = "canary-4711"
    values: list[object] = [canary, [canary], {canary: 1}]
    for value in values:
        assert canary not in refused("message.send", {**SEND, "wait": value}).message
        assert canary not in refused("events.fetch", {"since": value}).message


@pytest.mark.parametrize("value", ["\ud800", ["\ud800"], {"\ud800": 1}], ids=["text", "list", "map"])
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(value: object) -> None:
    for method, spec in METHODS.items():
        for field in spec.params.__struct_encode_fields__:
            assert refused(method, {field: value}).error_name == "INVALID_PARAMS", (method, field)


def test_an_unknown_method_is_not_found() -> None:
    assert refused("message.sned", {}).error_name == "METHOD_NOT_FOUND"


def test_what_changes_the_store_takes_an_idempotency_key() -> None:
    for name, spec in METHODS.items():
        assert ("idempotency_key" in spec.params.__struct_encode_fields__) is spec.mutating, name


def test_unknown_fields_of_a_newer_daemon_are_ignored() -> None:
    holder = msgspec.convert({"id": "ab", "until_ms": 1, "colour": "red"}, objects.Holder)
    assert holder == objects.Holder(id="ab", until_ms=1)


def test_null_is_sent_and_replayed_is_not_unless_it_happened() -> None:
    contact = objects.Contact(
        id="ab", name="Bob", number=None, state="pending", trust="claimed", claimants=0, online=False, last_seen_ms=None
    )
    shown = msgspec.to_builtins(contact)
    assert shown["number"] is None
    assert "replayed" not in shown
    contact.replayed = True
    assert msgspec.to_builtins(contact)["replayed"] is True


@pytest.mark.parametrize(
    "params",
    [
        {**SEND, "canary text": 1},
        {**SEND, "canary \ud800": 1},
        {**SEND, "wait": "canary"},
        {**SEND, "text": ["canary"]},
        {**SEND, "text": "canary \ud800"},
        {"to": "canary", "timeout_ms": "canary"},
    ],
)
def test_no_error_quotes_what_is_in_the_wrong_place(params: dict[str, object]) -> None:
    _says_nothing_of_a_canary(refused("message.send", params))


@pytest.mark.parametrize("value", ["canary \ud800", "canary" * 200, b"canary" * 200, ["canary"], {"canary": 1}])
def test_no_error_quotes_a_passphrase(value: object) -> None:
    _says_nothing_of_a_canary(refused("node.unlock", {"passphrase": value}))
    _says_nothing_of_a_canary(refused("passphrase.change", {"old": value, "new": None}))
    _says_nothing_of_a_canary(refused("passphrase.change", {"new": value}))


def test_a_passphrase_shows_nothing_of_itself() -> None:
    params = parse("node.unlock", {"passphrase": "canary"})
    assert "canary" not in f"{params!r} {getattr(params, 'passphrase')!r}"  # noqa: B009  any kind of parameters


@pytest.mark.parametrize(
    "entry",
    [
        {**ENTRY, "canary": 1},
        {**ENTRY, "line": "canary"},
        {"line": 1, "name": "canary"},
        {"canary \ud800": 1},
        "canary",
    ],
)
def test_no_error_quotes_an_entry_of_a_book(entry: object) -> None:
    _says_nothing_of_a_canary(refused("contacts.import", {"entries": [entry]}))


def _says_nothing_of_a_canary(error: BaseException | None) -> None:
    while error is not None:
        assert "canary" not in f"{error!r} {error}"
        error = error.__context__


def test_a_parameter_that_is_no_text_is_unknown() -> None:
    params: dict[Any, object] = {**SEND, 5: 1}
    assert refused("message.send", params).data["param"] == "5"


def structs() -> list[type[msgspec.Struct]]:
    return [
        value
        for module in (objects, schema)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == module.__name__
    ]


@pytest.mark.parametrize("struct", structs(), ids=lambda struct: struct.__name__)
def test_no_object_holds_bytes(struct: type[msgspec.Struct]) -> None:
    # the JSON framing writes bytes as {"$b64": …} in dicts alone
    def kinds(hint: object) -> set[object]:
        return {hint}.union(*(kinds(inner) for inner in typing.get_args(hint)))

    for name, hint in typing.get_type_hints(struct).items():
        assert bytes not in kinds(hint), name


@pytest.mark.parametrize(
    ("method", "params", "sentence"),
    [
        ("message.explain", {"id": "Bob"}, "id: must be lower-case hex"),
        ("contacts.accept", {"id": "0A"}, "id: must be lower-case hex"),
        (
            "events.fetch",
            {"since": 0, "types": ["*", "Message"]},
            "types: must be event types: such as message.sent, message.* or *",
        ),
        (
            "events.fetch",
            {"since": 0, "types": ["message.received\n"]},
            "types: must be event types: such as message.sent, message.* or *",
        ),
        ("message.explain", {"id": "0a\n"}, "id: must be lower-case hex"),
        ("events.fetch", {"since": 0, "log": "0A"}, "log: must be 16 hex digits, as node.hello says them"),
        ("message.send", {"to": "Bob", "text": 5}, "text: must be a text in quotes, not a number"),
        ("message.send", {"to": "Bob", "text": None}, "text: must be a text in quotes, not null"),
        ("message.send", {**SEND, "live_only": "yes"}, "live_only: must be true or false, not a text"),
        ("contacts.add", {"number": 821012345678}, "number: must be a text in quotes, not a number"),
        ("message.search", {"text": ""}, "text: must have at least 1 character"),
        ("contacts.rename", {"to": "Bob", "name": "x" * 101}, "name: must have at most 100 characters"),
        ("contacts.find", {"to": ["Bob"] * 101}, "to: must have at most 100 elements"),
        ("contacts.find", {"to": ["Bob", 5]}, "to: each must be a text in quotes, not a number"),
        ("contacts.find", {"to": "Bob"}, "to: must be a list, not a text"),
        ("message.list", {"to": "Bob", "limit": 0}, "limit: must be at least 1"),
        ("message.list", {"to": "Bob", "limit": 1001}, "limit: must be at most 1,000"),
        ("message.list", {"to": "Bob", "limit": 1.5}, "limit: must be a whole number, not a number"),
        ("events.ack", {"consumer": ["bot"], "seq": 1}, "consumer: must be a text in quotes, not a list"),
        ("events.fetch", {"since": True}, "since: must be a whole number or an object, not true or false"),
        ("backup.verify", {"path": "/a\0b", "passphrase": "x"}, "path: must not hold a NUL"),
        (
            "events.fetch",
            {"since": {"consumer": "a bot"}},
            "since: consumer must be a name of 1 to 64 characters: letters and digits of ASCII, dots, dashes and "
            "underscores",
        ),
    ],
)
def test_what_has_a_form_is_told_in_words(method: str, params: dict[str, object], sentence: str) -> None:
    assert refused(method, params).message == sentence


def test_every_parameter_with_a_pattern_has_words() -> None:
    def patterned(hint: object) -> bool:
        if any(getattr(meta, "pattern", None) for meta in getattr(hint, "__metadata__", ())):
            return True
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            return any(map(patterned, typing.get_type_hints(hint, include_extras=True).values()))
        return any(patterned(inner) for inner in typing.get_args(hint))

    hints = (typing.get_type_hints(spec.params, include_extras=True) for spec in METHODS.values())
    names = {name for each in hints for name, hint in each.items() if patterned(hint)}
    assert names - {"since"} == {"id", "types", "consumer", "log"} == set(schema._FORMS)  # "since" has a consumer in it


@pytest.mark.parametrize(
    ("patterns", "matches"),
    [
        (None, True),
        (["*"], True),
        (["message.*"], True),
        (["contact.*", "message.sent"], True),
        (["message.read"], False),
        (["contact.*"], False),
        ([], False),
    ],
)
def test_event_patterns(patterns: list[str] | None, matches: bool) -> None:
    assert type_matches(patterns, "message.sent") is matches
