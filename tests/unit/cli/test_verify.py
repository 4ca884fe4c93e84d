"""``contacts verify``, ``contacts sms-proof`` and ``id qr`` against a fake node."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from p2pchat.api import objects
from p2pchat.base.errors import UsageError
from p2pchat.cli import qr
from tests.fake_api import QR, SAFETY_NUMBER, SMS, Served
from tests.unit.cli.conftest import Cli

LINES = [SAFETY_NUMBER[:23], SAFETY_NUMBER[24:47], SAFETY_NUMBER[48:]]


class Terminal(io.TextIOWrapper):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], io.BytesIO]:
    """Type so on a terminal; what it shows."""

    def make(typed: bytes) -> io.BytesIO:
        shown = io.BytesIO()
        monkeypatch.setattr(sys, "stdin", Terminal(io.BytesIO(typed)))
        monkeypatch.setattr(sys, "stdout", Terminal(shown, encoding="utf-8", write_through=True))
        return shown

    return make


def modules(png: bytes) -> list[str]:
    """The rows of pixels of a QR code's picture, one bit each, as text."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    assert (depth, kind) in ((1, 0), (1, 3))
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += 12 + length
    raw, stride = zlib.decompress(data), (width + 7) // 8 + 1
    rows = [raw[y * stride + 1 : (y + 1) * stride] for y in range(height)]
    return ["".join(f"{byte:08b}" for byte in row)[:width] for row in rows]


# -- verify --------------------------------------------------------------------------------------------------------


def test_the_number_and_the_code_are_shown_and_nothing_is_asked_without_a_terminal(cli: Cli, node: Served) -> None:
    node.api.contact("Bob")
    outcome = cli("contacts", "verify", "Bob", stdin=b"y\n")
    assert outcome.status == 0
    assert outcome.out.splitlines()[-4:] == [QR, *LINES]
    assert "\x1b" not in outcome.out
    assert outcome.out.count("\u2588") > 100
    assert [method for method, _ in node.api.calls] == ["contacts.safety"]
    assert cli("contacts", "verify", "Bob", "--json").lines == [
        {"id": node.api.contacts[0].id, "safety_number": SAFETY_NUMBER, "qr": QR}
    ]


@pytest.mark.parametrize("typed", [b"y\n", b"YES\n", b" Y \n"])
def test_yes_on_a_terminal_verifies_the_number_that_was_shown(
    cli: Cli, node: Served, terminal: Callable[[bytes], io.BytesIO], typed: bytes
) -> None:
    bob = node.api.contact("Bob")
    shown = terminal(typed)
    assert cli("contacts", "verify", "Bob").status == 0
    assert node.api.calls[-1] == ("contacts.verify", {"to": bob.id, "safety_number": SAFETY_NUMBER})
    assert shown.getvalue().decode().endswith("Do they match? [y/N] Bob: in_person\n")


@pytest.mark.parametrize("typed", [b"\n", b"n\n", b"yess\n", b"x\n", b""])
def test_anything_else_changes_nothing(
    cli: Cli, node: Served, terminal: Callable[[bytes], io.BytesIO], typed: bytes
) -> None:
    node.api.contact("Bob")
    terminal(typed)
    outcome = cli("contacts", "verify", "Bob")
    assert (outcome.status, outcome.err) == (0, "Nothing was changed.\n")
    assert [method for method, _ in node.api.calls] == ["contacts.safety"]


@pytest.mark.parametrize("option", [("--safety-number", SAFETY_NUMBER), ("--scanned", QR)])
def test_what_was_compared_elsewhere_is_given(cli: Cli, node: Served, option: tuple[str, str]) -> None:
    bob = node.api.contact("Bob")
    outcome = cli("contacts", "verify", "Bob", *option, "--idempotency-key", "k")
    assert outcome.out == "Bob: in_person\n"
    param = option[0].removeprefix("--").replace("-", "_")
    assert node.api.calls == [("contacts.verify", {"to": "Bob", param: option[1], "idempotency_key": "k"})]
    assert cli("contacts", "verify", "Bob", *option, "--json").lines == [msgspec.to_builtins(bob)]
    assert "in_person" in cli("contacts", "list").out
    node.api.fail["contacts.verify"] = UsageError("Not the same.", name="UNTRUSTED_KEY")
    outcome = cli("contacts", "verify", "Bob", *option)
    assert (outcome.status, outcome.err) == (76, "UNTRUSTED_KEY: Not the same.\n")


def test_one_way_at_a_time(cli: Cli, node: Served) -> None:
    for options in (("--safety-number", "1", "--scanned", "x"), ("--png", "f", "--scanned", "x")):
        assert cli("contacts", "verify", "Bob", *options).status == 2
    assert cli("contacts", "sms-proof", "Bob", "--timeout", "3").status == 2
    assert node.api.calls == []


# -- QR codes ------------------------------------------------------------------------------------------------------


def test_what_is_drawn_has_its_own_colours_on_a_terminal(
    cli: Cli, node: Served, terminal: Callable[[bytes], io.BytesIO]
) -> None:
    shown = terminal(b"")
    assert cli("id", "qr").status == 0
    *rows, link = shown.getvalue().decode().splitlines()
    assert link == QR
    assert all(row.startswith("\x1b[38;5;231;48;5;16m") and row.endswith("\x1b[0m") for row in rows)
    bare = [row[len("\x1b[38;5;231;48;5;16m") : -len("\x1b[0m")] for row in rows]
    assert {character for row in bare for character in row} == set(" \u2580\u2584\u2588")
    assert len(set(map(len, bare))) == 1


def test_the_terminal_and_the_picture_show_the_same(cli: Cli, node: Served, tmp_path: Path) -> None:
    picture = tmp_path / "qr.png"
    assert cli("id", "qr", "--png", str(picture)).out == ""
    drawn: list[str] = []
    for row in cli("id", "qr").out.splitlines()[:-1]:
        drawn.append("".join("1" if block in "\u2580\u2588" else "0" for block in row))  # 1: light
        drawn.append("".join("1" if block in "\u2584\u2588" else "0" for block in row))
    pixels = modules(picture.read_bytes())
    small = [row[:: qr._PIXELS] for row in pixels[:: qr._PIXELS]]
    assert small[0] in ("1" * len(small), "0" * len(small))
    light = small[0][0]
    assert drawn[: len(small)] == ["".join("1" if bit == light else "0" for bit in row) for row in small]


def test_a_link_goes_into_the_dense_mode() -> None:
    assert qr._code(QR).mode == "alphanumeric"


def test_where_blocks_cannot_be_written_the_link_alone_is(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    qr.show_link(QR)
    assert written.getvalue() == QR.encode() + b"\n"


@pytest.mark.parametrize("command", [("contacts", "verify", "Bob"), ("id", "qr")])
def test_a_picture_replaces_no_file(cli: Cli, node: Served, tmp_path: Path, command: tuple[str, ...]) -> None:
    node.api.contact("Bob")
    picture = tmp_path / "qr.png"
    outcome = cli(*command, "--png", str(picture))
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines() == (LINES if command[0] == "contacts" else [])
    before = picture.read_bytes()
    outcome = cli(*command, "--png", str(picture))
    assert (outcome.status, outcome.err.split(":")[0]) == (73, "ALREADY_EXISTS")
    assert picture.read_bytes() == before
    for path, why in ((tmp_path / "none" / "qr.png", "No such file"), (picture / "x.png", "Not a directory")):
        outcome = cli(*command, "--png", str(path))
        assert (outcome.status, outcome.err.startswith(f"STORE: The picture cannot be written: {why}")) == (74, True)


# -- sms-proof -----------------------------------------------------------------------------------------------------


def test_who_asks_is_told_what_to_text_and_to_whom(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob", "+821098765432")
    outcome = cli("contacts", "sms-proof", "Bob")
    assert outcome.out == f"{SMS}\n"
    assert "+821098765432 by ordinary SMS, not through p2pchat" in outcome.err
    assert node.api.calls[-1] == ("contacts.sms_proof", {"to": bob.id})
    outcome = cli("-q", "contacts", "sms-proof", "Bob")
    assert (outcome.out, outcome.err) == (f"{SMS}\n", "")
    assert cli("contacts", "sms-proof", "Bob", "--json").lines[0]["text"] == SMS


def test_a_repeated_question_has_no_text(cli: Cli, node: Served) -> None:
    node.api.contact("Bob")
    node.do(lambda: setattr(node.api, "sms", None))
    outcome = cli("contacts", "sms-proof", "Bob", "--idempotency-key", "k")
    assert (outcome.status, outcome.out) == (0, "")
    assert "told once" in outcome.err


def test_who_answers_types_the_code(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob")
    outcome = cli("contacts", "sms-proof", "Bob", "ABCD-EFGH-JKLM-NPQR")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "Sent to Bob.\n")
    assert node.api.calls[-1] == ("contacts.sms_proof", {"to": bob.id, "code": "ABCD-EFGH-JKLM-NPQR"})


def result(contact: objects.Contact, ok: bool) -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(contact)
    return told | {"ok": ok}


@pytest.mark.parametrize(
    ("code", "results", "status"),
    [
        ([], [True], 0),
        ([], [False, False, True], 0),
        ([], [False, False, False], 76),
        ([], [False], 75),
        ([], [], 75),
        (["ABCD-EFGH-JKLM-NPQR"], [True], 0),
        (["ABCD-EFGH-JKLM-NPQR"], [False], 76),
        (["ABCD-EFGH-JKLM-NPQR"], [], 75),
    ],
)
def test_waiting_ends_with_the_result(
    cli: Cli, node: Served, code: list[str], results: list[bool], status: int
) -> None:
    bob, eve = node.api.contact("Bob"), node.api.contact("Eve")
    node.api.emit("contact.proof_result", result(bob, True))  # of another question, before

    def answered() -> None:
        node.api.emit("contact.proof_result", result(eve, True))
        for ok in results:
            node.api.emit("contact.proof_result", result(bob, ok))

    node.api.asked = answered
    outcome = cli("contacts", "sms-proof", "Bob", *code, "--wait", "--timeout", "0.3", "--json")
    assert outcome.status == status
    assert [line["ok"] for line in outcome.lines[1:]] == results
    if status:
        assert outcome.err.splitlines()[-1].startswith({75: "TIMEOUT: ", 76: "UNTRUSTED_KEY: "}[status])


def test_a_proof_that_is_right_is_said_in_words(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob")
    node.api.asked = lambda: node.api.emit("contact.proof_result", result(bob, True))
    assert cli("contacts", "sms-proof", "Bob", "--wait").out.splitlines()[-1] == "Bob: the proof is right"


def test_the_daemon_that_goes_away_ends_the_wait(cli: Cli, node: Served) -> None:
    node.api.contact("Bob")
    node.api.asked = node.api.stop.set
    assert cli("contacts", "sms-proof", "Bob", "--wait").status == 69
