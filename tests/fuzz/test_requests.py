"""``scripts/fuzz requests``, shorter; and that it would notice."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from p2pchat.control.channel import Channel
from p2pchat.control.node_methods import NodeMethods
from p2pchat.control.outgoing import Outgoing
from tests.fuzz.requests import answered, answers, fuzz, main


def test_requests_are_answered_once_and_harm_nothing() -> None:
    report = fuzz(seed=1, start=0, count=400)
    assert report.feed.findings == [], "\n".join(report.lines())
    assert report.feed.taken == 400
    assert report.feed.outcomes["result"] > 20
    assert report.requests > 300


def test_a_defect_of_a_method_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def broken(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(NodeMethods, "hello", broken)
    assert main(["--seed", "1", "--count", "400"]) == 1
    told = capsys.readouterr().out
    assert "requests: FAILED" in told
    assert "FOUND     a defect: ValueError" in told


def test_what_is_answered_twice_or_never_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    put = Outgoing.put

    async def twice(self: Outgoing, frame: bytes) -> None:
        await put(self, frame)
        await put(self, frame)

    async def never(self: Channel, *_: object) -> None:
        """Nothing is sent."""

    for kind, name, instead, said in (
        (Outgoing, "put", twice, "too often"),
        (Channel, "_settle", never, "not Counter({("),
    ):
        with monkeypatch.context() as broken:
            broken.setattr(kind, name, instead)
            report = fuzz(seed=2, start=0, count=60)
        assert any(said in finding for finding in report.feed.findings)


CALL = {"jsonrpc": "2.0", "id": 1, "method": "node.hello"}
TOLD = {"jsonrpc": "2.0", "method": "node.hello"}


@pytest.mark.parametrize(
    ("lines", "ids"),
    [
        ([CALL, CALL | {"id": "a"}], [("1",), ("'a'",)]),
        ([CALL, CALL], [("1",), ("1",)]),
        ([TOLD], []),
        ([TOLD | {"params": []}, TOLD | {"more": 1}, CALL | {"id": 1.5}, 5], [("None",)] * 4),
        ([[CALL, TOLD, CALL | {"id": 2}]], [("list", "1", "2")]),
        ([[TOLD], []], [("None",)]),
        ([[CALL, []]], [("list", "1", "None")]),
    ],
)
def test_what_is_to_be_answered(lines: list[object], ids: list[tuple[str, ...]]) -> None:
    assert answers(b"".join(json.dumps(line).encode() + b"\n" for line in lines)) == Counter(ids)


def test_junk_is_to_be_answered_once_and_ends_the_stream_where_it_must() -> None:
    assert answers(b"{]\n\n{}") == Counter({("None",): 2})
    assert answers(b"\0\0\0\1\xc1" + b"\0\xff\xff\xff") == Counter({("None",): 1})
    assert answers(b"x" + json.dumps(CALL).encode() + b"\n") == Counter({("None",): 1})


def test_what_came() -> None:
    event = {"jsonrpc": "2.0", "method": "event", "params": {}}
    replies: list[object] = [{"id": 1}, event, [{"id": 2}, {"id": None}]]
    assert answered(replies) == Counter({("1",): 1, ("list", "2", "None"): 1})
