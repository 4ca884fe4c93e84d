"""Every decoder takes the inputs that were kept: those that reach furthest, and those that once failed."""

from __future__ import annotations

import pytest

from p2pchat.core.padding import pad
from tests.fuzz.decoders import __main__ as decoders
from tests.fuzz.decoders.corpus import FOLDER, fewest, kept
from tests.fuzz.decoders.registry import TARGETS
from tests.fuzz.decoders.target import Malleable, Target, exactly, joined, parted

_ALL_BYTES = 300_000


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_what_was_kept_is_accepted_or_refused_as_declared(target: Target) -> None:
    outcomes = [target.take(data) for data in kept(target)]
    assert outcomes
    if target.declared:
        assert not all(outcomes), "no refusal of this decoder is kept"


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_valid_input_is_taken(target: Target) -> None:
    seeds = target.seeds()
    assert all(len(data) <= target.max_bytes for data in seeds)
    if target.name != "ratchet":  # whose envelopes have no body: only headers are made
        assert any(target.take(data) for data in seeds)


def test_each_folder_is_a_decoder_and_all_of_them_are_small() -> None:
    folders = [folder for folder in FOLDER.iterdir() if folder.is_dir()]
    assert {folder.name for folder in folders} == set(TARGETS)
    assert sum(path.stat().st_size for folder in folders for path in folder.iterdir()) < _ALL_BYTES


def test_an_undeclared_error_is_a_finding() -> None:
    with pytest.raises(ZeroDivisionError):
        Target("x", lambda data: 1 // len(data), (ValueError,), list).take(b"")
    with pytest.raises(Malleable):
        Target("x", lambda data: exactly(data, b"y"), (ValueError,), list).take(b"x")


def test_of_two_inputs_that_reach_as_much_the_shorter_is_kept() -> None:
    target = TARGETS["padding"]
    short, long, wrong = pad(b""), pad(bytes(300)), b""
    assert fewest(target, [long, short, wrong]) == [wrong, short]


def test_two_parts_in_one_input() -> None:
    assert parted(joined(b"one", b"two")) == (b"one", b"two")
    assert parted(b"\xff") == (b"", b"")


def test_where_the_fuzzer_is_absent_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(decoders, "find_spec", lambda name: None)
    assert decoders.main(["cert"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("atheris is not installed: ")
    assert said.err.count("\n") == 1
