"""A silent struct is a struct in all but its repr."""

from __future__ import annotations

import msgspec

from p2pchat.base.silent import Silent


class Sample(Silent, msgspec.Struct, frozen=True, kw_only=True):
    key: bytes


def test_its_repr_is_its_name() -> None:
    assert repr(Sample(key=b"canary")) == str(Sample(key=b"canary")) == "Sample(…)"
    assert repr([Sample(key=b"canary")]) == "[Sample(…)]"


def test_it_is_encoded_and_compared_as_any_other() -> None:
    sample = Sample(key=b"canary")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sample), type=Sample) == sample
    assert hash(sample) == hash(Sample(key=b"canary"))
