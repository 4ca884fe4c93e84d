"""The check that stands before every method of the control API: its parameters, by the table of methods.

Rules:

- Parameters are named; an unknown one, a wrong type or a value out of bounds is INVALID_PARAMS, and the sentence
  begins with the parameter's name, which also stands in ``data.param``.
- Every text must be Unicode that UTF-8 can carry. The text of a message has 1 to 65,536 UTF-8 bytes: none is
  INVALID_PARAMS, more is TOO_LARGE.
- Whatever changes the store takes an ``idempotency_key``, but what is the same done twice.
- What a locked node can do is marked in the table, method by method; all else is LOCKED, and so is a method that is
  added.

Source: docs/CONTROL-API.md, "Methods".
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final, Literal

import msgspec
from msgspec import Struct

from p2pchat.api.calls import Params, invalid
from p2pchat.api.methods import METHODS, MethodSpec
from p2pchat.api.passphrase import Passphrase
from p2pchat.api.text import is_unicode
from p2pchat.base.errors import UsageError

__all__ = ["API_MAJOR", "API_MINOR", "METHODS", "MethodSpec", "parse", "type_matches"]

API_MAJOR: Final = 1
API_MINOR: Final = 1


def parse(method: str, params: Mapping[str, object]) -> Params:
    """The checked parameters of a call, as ``METHODS[method].params``.

    Raises:
        UsageError: METHOD_NOT_FOUND, INVALID_PARAMS or TOO_LARGE.
    """
    spec = METHODS.get(method)
    if spec is None:
        raise UsageError("there is no such method", name="METHOD_NOT_FOUND")
    value = _converted(method, spec.params, params)
    for name, text in params.items():
        if isinstance(text, str) and not is_unicode(text):
            raise invalid(name, "holds half of a surrogate pair, which is no character")
    value.check()
    return value


def _converted(method: str, kind: type[Params], params: Mapping[str, object]) -> Params:
    _refuse_what_msgspec_would_quote(method, kind, params)
    try:
        return msgspec.convert(params, kind, dec_hook=_revived)
    except msgspec.ValidationError as error:
        raise _explained(str(error), method, kind) from None
    except UnicodeEncodeError:  # a lone surrogate where no text belongs: msgspec fails at quoting it
        raise _explained("", method, kind) from None


def type_matches(patterns: Sequence[str] | None, event_type: str) -> bool:
    """Whether an event type fits one of ``patterns`` (``message.sent``, ``message.*``, ``*``); all fit None."""
    if patterns is None:
        return True
    wide = {"*", event_type.partition(".")[0] + ".*", event_type}
    return any(pattern in wide for pattern in patterns)


def _revived(kind: type, value: object) -> object:
    assert kind is Passphrase  # noqa: S101  the only type of a parameter that msgspec does not know
    return Passphrase.revive(value)


_MISSING: Final = re.compile(r"missing required field `(\w+)`")
_NUMBER: Final = "a whole number"
_OBJECT: Final = "an object"
_WORD: Final = re.compile(r"\w{1,64}", re.ASCII)
_AT: Final = re.compile(r"^(.*) - at `\$\.(\w+)(\[[^]]*\])?(?:\.(\w+))?", re.DOTALL)
_KINDS: Final = {
    "str": "a text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "bytes": "bytes",
}
_GOT: Final = _KINDS | {"str": "a text", "int": "a number", "bytes": "bytes"}
_COUNTED: Final = {"str": "character", "array": "element"}
_WRONG_KIND: Final = re.compile(r"Expected `([a-z |]+)`, got `([a-z]+)`")
_WRONG_LENGTH: Final = re.compile(r"Expected `(str|array)` of length (>=|<=) (\d+)")
_WRONG_NUMBER: Final = re.compile(r"Expected `int` (>=|<=) (-?\d+)")
_AT_LEAST: Final = {">=": "at least", "<=": "at most"}
_NAME: Final = "must be a name of 1 to 64 characters: letters and digits of ASCII, dots, dashes and underscores"
_FORMS: Final = {
    "id": "must be lower-case hex",
    "types": "must be event types: such as message.sent, message.* or *",
    "log": "must be 16 hex digits, as node.hello says them",
    "consumer": _NAME,
}
"""What the parameters that have a pattern must be, for a person."""


def _explained(report: str, method: str, kind: type[Params]) -> UsageError:
    missing = _MISSING.search(report)
    if found := _AT.search(report):
        if missing is not None:
            return invalid(found[2], f"holds an object without {missing[1]}")
        name, inner = found[2], found[4]
        if " matching regex " in found[1]:
            return invalid(name, f"{inner} {_FORMS[inner]}" if inner else _FORMS[name])
        if inner is not None:
            inner += " "
        return invalid(name, f"{inner or ('each ' if found[3] else '')}{_in_words(found[1])}")
    return invalid(missing[1], "is required") if missing is not None else _unknown("", method, kind)


def _in_words(report: str) -> str:
    """What a report of msgspec means, for whoever has made the call."""
    if found := _WRONG_KIND.fullmatch(report):
        wanted = [_KINDS[kind] for kind in found[1].split(" | ") if kind != "null" or found[1] == "null"]
        return f"must be {' or '.join(wanted)}, not {_GOT[found[2]]}"
    if found := _WRONG_LENGTH.fullmatch(report):
        counted = _COUNTED[found[1]] + ("" if found[3] == "1" else "s")
        return f"must have {_AT_LEAST[found[2]]} {int(found[3]):,} {counted}"
    if found := _WRONG_NUMBER.fullmatch(report):
        return f"must be {_AT_LEAST[found[1]]} {int(found[2]):,}"
    return report[0].lower() + report[1:]


def _refuse_what_msgspec_would_quote(method: str, kind: type[Params], params: Mapping[str, object]) -> None:
    """What is in the wrong place may be a text or a number: no exception may hold it."""
    if not _names(kind).issuperset(params):
        unknown = next(name for name in params if name not in _names(kind))
        raise _unknown(str(unknown), method, kind)  # msgpack has other keys, too
    for name, inner in _objects(kind).items():
        fields = frozenset(inner.__struct_fields__)
        for each in _dicts(params.get(name)):
            if not fields.issuperset(each):
                raise invalid(name, f"has objects with {', '.join(sorted(fields))}, and nothing else")
            if (wrong := _wrong_word(inner, each)) is not None:
                raise invalid(name, " ".join(wrong))
    if (wrong := _wrong_word(kind, params)) is not None:
        raise invalid(*wrong)


def _wrong_word(kind: type[Struct], given: Mapping[typing.Any, object]) -> tuple[str, str] | None:
    """The first field that must be one of a few words and is another, and what it must be."""
    for name, (words, choices) in _words(kind).items():
        value = given.get(name)
        if isinstance(value, str) and value not in words:
            return name, f"must be one of: {', '.join(choices)}"
    return None


def _unknown(name: str, method: str, kind: type[Params]) -> UsageError:
    names = ", ".join(kind.__struct_encode_fields__) or "none"
    if _WORD.fullmatch(name):
        return invalid(name, f"is no parameter of {method}, which knows {names}")
    return UsageError(f"params: {method} knows {names}", data={"param": "params"})


@cache
def _names(kind: type[Params]) -> frozenset[str]:
    return frozenset(kind.__struct_encode_fields__)


@cache
def _objects(kind: type[Params]) -> dict[str, type[Struct]]:
    """The parameters of ``kind`` that are objects or lists of them, and of what type these are."""
    inner = {name: typing.get_args(hint) for name, hint in typing.get_type_hints(kind).items()}
    return {
        name: struct
        for name, structs in inner.items()
        for struct in structs
        if isinstance(struct, type) and issubclass(struct, Struct)
    }


def _dicts(value: object) -> Iterable[dict[object, object]]:
    found = typing.cast("list[object]", value) if isinstance(value, list) else [value]
    return (typing.cast("dict[object, object]", each) for each in found if isinstance(each, dict))


@cache
def _words(kind: type[Struct]) -> dict[str, tuple[list[str], list[str]]]:
    """The fields of ``kind`` that take one of a few words: these, and all that may be given."""
    hints = typing.get_type_hints(kind)
    called = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))  # "for" is no name in Python
    choices = {called[name]: _choices(hint) for name, hint in hints.items() if name in called}
    words = {name: [choice for choice in of if choice not in (_NUMBER, _OBJECT)] for name, of in choices.items()}
    return {name: (words[name], choices[name]) for name in choices if words[name]}


def _choices(hint: object) -> list[str]:
    if typing.get_origin(hint) is Literal:
        return [str(value) for value in typing.get_args(hint)]
    if hint is int:
        return [_NUMBER]
    if isinstance(hint, type) and issubclass(hint, Struct):
        return [_OBJECT]
    return [value for inner in typing.get_args(hint) for value in _choices(inner)]
