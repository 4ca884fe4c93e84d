"""The document of ``rpc.discover``: whole, and of the form that OpenRPC 1.3 has.

It was held to the published meta schema by hand as well; what stands here is what a change of ours could break.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from p2pchat.api import openrpc, schema
from p2pchat.api.codec import JSON_LINES, MSGPACK_FRAMES
from p2pchat.api.errors import TABLE
from p2pchat.api.methods import COMMON_ERRORS
from p2pchat.api.methods import METHODS as TABLE_OF_METHODS
from tests.openrpc import DOCUMENT, METHODS, Json, resolved


def objects(value: object) -> Iterator[Json]:
    """Every object of the document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from objects(each)


def test_every_method_is_described_once_with_what_it_takes_replies_and_refuses() -> None:
    assert list(METHODS) == list(TABLE_OF_METHODS)
    assert len(METHODS) == len(DOCUMENT["methods"])
    for name, method in METHODS.items():
        spec = TABLE_OF_METHODS[name]
        assert method["paramStructure"] == "by-name"
        assert {each["name"] for each in method["params"]} == set(spec.params.__struct_encode_fields__)
        assert (method["x-mutating"], method["x-while-locked"]) == (spec.mutating, spec.while_locked)
        errors = [resolved(each) for each in method["errors"]]
        assert {each["data"]["name"] for each in errors} == {*COMMON_ERRORS, *spec.answers}
        assert len({each["code"] for each in errors}) == len(errors)
        assert method["summary"].endswith(".")
        assert method["description"].startswith(method["summary"][:-1])


@pytest.mark.parametrize("name", list(TABLE_OF_METHODS))
def test_every_parameter_says_what_it_is_for(name: str) -> None:
    assert [each["name"] for each in METHODS[name]["params"] if not each["description"]] == []
    assert openrpc._described(TABLE_OF_METHODS[name].params).keys() <= {
        each["name"] for each in METHODS[name]["params"]
    }


def test_every_reference_leads_somewhere_and_every_component_is_referred_to() -> None:
    found = {each["$ref"] for each in objects(DOCUMENT) if "$ref" in each}
    for reference in found:
        assert resolved({"$ref": reference})
    components = DOCUMENT["components"]
    assert {f"#/components/schemas/{name}" for name in components["schemas"]} <= found
    assert set(components["errors"]) == {row.name for row in TABLE if row.code is not None}


def test_only_errors_that_a_reply_can_carry_are_listed() -> None:
    codes = {row.name for row in TABLE if row.code is not None}
    for name, spec in TABLE_OF_METHODS.items():
        assert codes.issuperset(spec.answers), name
    assert codes.issuperset(COMMON_ERRORS)


def test_the_form_is_that_of_openrpc() -> None:
    assert DOCUMENT["openrpc"] == "1.3.2"
    assert DOCUMENT["info"]["version"] == f"{schema.API_MAJOR}.{schema.API_MINOR}.0"
    assert {name for name in DOCUMENT if not name.startswith("x-")} == {"openrpc", "info", "methods", "components"}
    allowed = {"name", "summary", "description", "paramStructure", "params", "result", "errors"}
    for method in METHODS.values():
        assert {name for name in method if not name.startswith("x-")} == allowed
        for content in (*method["params"], method["result"]):
            assert content.keys() <= {"name", "description", "required", "schema"}
            assert {"name", "schema"} <= content.keys()


def test_events_are_described() -> None:
    assert [each["name"] for each in DOCUMENT["x-notifications"]] == ["event"]
    told = DOCUMENT["x-events"]
    assert told["contact.matched"]["schema"] == {"$ref": "#/components/schemas/Contact"}
    assert [name for name, each in told.items() if not each["x-stored"]] == [
        *("peer.online", "peer.offline", "discovery.progress"),
        *("mailbox.deposited", "mailbox.fetched", "mailbox.deleted"),
    ]


def test_it_is_made_once_and_looks_the_same_in_both_framings() -> None:
    assert openrpc.document() is openrpc.document()
    lines, frames = (framing.encode(openrpc.document()) for framing in (JSON_LINES, MSGPACK_FRAMES))
    assert json.loads(lines) == msgspec.msgpack.decode(frames) == DOCUMENT
    assert len(lines) < 1 << 20


def test_no_start_pays_for_it() -> None:
    code = "import sys, p2pchat.control.dispatch; sys.exit('p2pchat.api.openrpc' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=True, timeout=60)
