"""Commands as a person runs them in a terminal, and as a program does in a pipe."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from p2pchat.api import doctor_objects, mailbox_objects, objects
from p2pchat.api.diagnosis import State
from p2pchat.api.paths import ProfilePaths
from p2pchat.cli import output
from p2pchat.cli.app import run
from p2pchat.cli.colour import Colour, Coloured
from p2pchat.control.server import Connection
from tests.fake_api import NOW_MS, QR, FakeApi, Served, served
from tests.unit.cli.conftest import Cli

HOSTILE = "Bob\x1b]0;x\x07"
SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")


def check(name: str, state: State, code: str, said: str) -> doctor_objects.Check:
    return doctor_objects.Check(name=name, state=state, code=code, facts={}, text=said, advice="Do something.")


class Full(FakeApi):
    """Has one of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.alone = "no other node answers"
        bob = self.contact(HOSTILE, "+821098765432")
        bob.online = True
        self.contact("김영희", None, "pending").searching = False
        self.contact("Mallory", None, "blocked")
        self.message(bob, "one\x1b[2J", incoming=True)
        self.message(bob, "two", incoming=False)
        self.checks = [
            check("disk", "failed", "disk.full", "The disk is full."),
            check("clock", "ok", "clock.ok", "The clock is right."),
        ]

    async def dispatch(self, method: str, params: dict[str, object], connection: Connection) -> object:
        match method:
            case "net.rules":
                rule = objects.Rule(
                    id="0" * 16, what="192.0.2.0/24", contact_id=None, kind="network", allow=False, made_ms=NOW_MS
                )
                return objects.Rules(rules=[rule])
            case "identity.invites":
                invite = objects.Invite(id="0" * 16, invite=QR, uses=2, used=1, expires_ms=NOW_MS, ask=True, open=True)
                return objects.Invites(invites=[invite])
            case "mailbox.list":
                held = mailbox_objects.Mailbox(
                    id="ab" * 20,
                    contact_id=None,
                    name=None,
                    chosen=False,
                    state="failing",
                    granted_ms=NOW_MS,
                    heard_ms=None,
                    quota=None,
                )
                return mailbox_objects.Mailboxes(auto=True, mailboxes=[held])
            case _:
                return await super().dispatch(method, params, connection)


@pytest.fixture
def node() -> Iterator[Served]:
    with served(Full, ProfilePaths().socket) as running:
        yield running


@dataclass
class Screen:
    """What a terminal was given: ``status`` is the command's."""

    status: int
    text: str


@contextmanager
def a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> Iterator[Callable[[], str]]:
    """Stdout and stderr are a pseudo-terminal; what it was given is read beside them, since it holds little."""
    master, slave = os.openpty()
    parts: list[bytes] = []

    def read() -> None:
        while True:
            try:
                part = os.read(master, 65_536)
            except OSError:  # the other end is closed
                return
            parts.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    stream = io.TextIOWrapper(io.FileIO(slave, "w"), encoding="utf-8", write_through=True)
    with monkeypatch.context() as patched:
        patched.setenv("COLUMNS", str(columns))
        patched.setenv("TERM", "xterm-256color")
        patched.delenv("NO_COLOR", raising=False)
        patched.setattr(sys, "stdout", stream)
        patched.setattr(sys, "stderr", stream)
        try:
            yield lambda: b"".join(parts).decode().replace("\r\n", "\n")
        finally:
            stream.close()
            reader.join()
            os.close(master)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Screen]:
    def call(*arguments: str, columns: int = 80, **environ: str) -> Screen:
        with a_terminal(monkeypatch, columns) as shown, pytest.MonkeyPatch.context() as patched:
            for name, value in environ.items():
                patched.setenv(name, value)
            status = run(list(arguments))
        return Screen(status, shown())

    return call


READING = [
    ["status"],
    ["doctor"],
    ["id", "show"],
    ["id", "qr"],
    ["id", "invites"],
    ["contacts", "list"],
    ["contacts", "show", "Mallory"],
    ["history", "Mallory"],
    ["history", "00000000"],
    ["search", "o"],
    ["explain", f"{2:032x}"],
    ["mailbox", "list"],
    ["mailbox", "offer"],
    ["transparency"],
    ["net", "peers"],
    ["net", "addrs"],
    ["net", "rules"],
    ["stats"],
    ["rpc", "node.status"],
    ["export"],
]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_what_only_reads_is_read_in_a_terminal_and_in_a_pipe(
    arguments: list[str], cli: Cli, node: Served, terminal: Callable[..., Screen]
) -> None:
    status = 1 if arguments == ["doctor"] else 0  # something failed there
    screen = terminal(*arguments)
    assert screen.status == status, screen.text
    assert "\x1b" not in re.sub(r"\x1b\[[0-9;]*m", "", screen.text), "colours alone, and none of the others' sequences"
    assert "\x07" not in screen.text
    for quiet in ((), ("-q",)):
        piped = cli(*quiet, *arguments)
        assert piped.status == status
        assert "\x1b" not in piped.out + piped.err
    if arguments != ["id", "qr"]:  # which is drawn in fixed colours, since a camera must read it
        assert "\x1b" not in terminal(*arguments, NO_COLOR="1").text
    if arguments[0] not in ("rpc", "export"):
        machine = cli("--json", *arguments)
        assert [json.loads(line) for line in machine.out.splitlines()] or arguments == ["history", "Mallory"]
        assert terminal("--json", *arguments).text.replace(machine.err, "") == machine.out


def test_a_table_has_a_head_colours_and_a_width_on_a_terminal_alone(
    cli: Cli, node: Served, terminal: Callable[..., Screen]
) -> None:
    shown = terminal("contacts", "list").text
    head, *rows = SEQUENCE.sub("", shown).splitlines()
    assert head.split() == ["NAME", "NUMBER", "STATE", "TRUST", "ID"]
    assert [
        row[head.index("STATE") - (2 if "김" in row else 0) - (1 if "김" in row else 0) :].split()[0] for row in rows
    ]
    assert "\x1b[32mmatched\x1b[0m" in shown
    assert "\x1b[31mblocked\x1b[0m" in shown
    assert [line.rstrip() for line in rows] == rows
    assert "NAME" not in cli("contacts", "list").out
    assert SEQUENCE.search(terminal("contacts", "list", TERM="dumb").text) is None
    assert SEQUENCE.sub("", terminal("config", "get").text).split()[:3] == ["KEY", "VALUE", "FROM"]
    assert "KEY" not in cli("config", "get").out


def test_an_error_has_its_name_in_red_on_a_terminal(cli: Cli, node: Served, terminal: Callable[..., Screen]) -> None:
    assert terminal("contacts", "show", "Nobody").text.startswith("\x1b[31mCONTACT_NOT_FOUND:\x1b[0m No contact")
    assert cli("contacts", "show", "Nobody").err.startswith("CONTACT_NOT_FOUND: No contact")


def test_an_empty_list_says_so_and_a_pipe_gets_nothing(cli: Cli, node: Served, terminal: Callable[..., Screen]) -> None:
    node.do(node.api.contacts.clear)
    assert terminal("contacts", "list").text == "There is no contact yet.\n"
    outcome = cli("contacts", "list")
    assert (outcome.out, outcome.err) == ("", "There is no contact yet.\n")
    assert cli("-q", "contacts", "list").err == ""


def test_one_is_one(cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\n2 peers, reachability lan" in cli("status").out
    about = node.api._about

    def alone(method: str) -> msgspec.Struct:
        status = about(method)
        if isinstance(status, objects.Status):
            status.peers = status.outbox = 1
            status.contacts = objects.ContactCounts(matched=1, pending=0, requests=1)
        return status

    monkeypatch.setattr(node.api, "_about", alone)
    out = cli("status").out
    assert "\n1 peer, reachability lan" in out
    assert "\n1 contact matched, 0 pending\n1 request to become a contact; see: p2pchat contacts list" in out
    assert "\n1 message not delivered yet" in out


@pytest.mark.parametrize(
    ("zone", "shown"), [("UTC", "22:13:21"), ("Asia/Seoul", "07:13:21"), ("America/Lima", "17:13:21")]
)
def test_times_are_the_users_own_and_machines_get_milliseconds(
    cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch, zone: str, shown: str
) -> None:
    import time

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert shown in cli("history", "00000000").out
        assert cli("history", "00000000", "--json").lines[0]["created_ms"] == NOW_MS + 1000
    finally:
        monkeypatch.undo()
        time.tzset()


# -- tables --------------------------------------------------------------------------------------------------------


def table_on(
    monkeypatch: pytest.MonkeyPatch, columns: int, rows: list[list[output.Cell]], *, cut: tuple[int, ...] = ()
) -> list[str]:
    with a_terminal(monkeypatch, columns) as shown:
        output.table(rows, cut=cut)
    return SEQUENCE.sub("", shown()).splitlines()


def test_wide_and_combining_characters_are_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["Bob", "김영희", "Zoe\u0308", "\u1100\u1161\u11a8", "👍"]
    lines = table_on(monkeypatch, 80, [[name, "x"] for name in names])
    assert lines == [
        "Bob     x",
        "김영희  x",
        "Zoe\u0308     x",
        "\u1100\u1161\u11a8      x",
        "👍      x",
    ]


def test_a_long_table_is_cut_where_it_may_be_and_never_in_a_pipe(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    rows: list[list[output.Cell]] = [["a" * 50, "b" * 20], ["김" * 30, "b"]]
    assert table_on(monkeypatch, 40, rows, cut=(0,)) == ["a" * 17 + "…  " + "b" * 20, "김" * 8 + "…   b"]
    assert table_on(monkeypatch, 40, rows[:1]) == ["a" * 50 + "  " + "b" * 20]
    assert table_on(monkeypatch, 10, rows, cut=(0,))[0] == "a" * 7 + "…  " + "b" * 20


def test_a_colour_never_reaches_a_pipe(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    output.table([[Coloured("a", Colour.BAD), "b"]], ("HEAD", "OF"))
    output.line("c", Colour.BAD)
    output.failure("NAME", "x\x1b")
    captured = capsysbinary.readouterr()
    assert captured.out == b"a  b\nc\n"
    assert captured.err == b"NAME: x\\x1b\n"


def test_nothing_is_no_table(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    output.table([], ("HEAD",))
    assert capsysbinary.readouterr().out == b""


def test_a_screen_that_knows_no_ellipsis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with a_terminal(monkeypatch, 20) as shown:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(sys.stdout.buffer, encoding="ascii", write_through=True))
        output.table([["a" * 30, "b"]], cut=(0,))
    assert shown() == "a" * 16 + "~  b\n"
