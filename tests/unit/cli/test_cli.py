"""The command line against a fake node: what it asks, what it prints, how it exits."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from p2pchat.api import objects
from p2pchat.api.errors import TABLE, Row
from p2pchat.base.errors import UsageError
from p2pchat.cli import listen as listen_module
from p2pchat.cli import node as node_module
from p2pchat.cli import output
from p2pchat.cli.app import run
from p2pchat.cli.program import daemon_program
from tests.fake_api import Served
from tests.unit.cli.conftest import Cli

# -- how a command ends --------------------------------------------------------------------------------------------


def test_no_profile_and_no_daemon_say_what_to_do(cli: Cli, home: Path) -> None:
    outcome = cli("status")
    assert outcome.status == 69
    assert outcome.out == ""
    assert outcome.err.startswith("NO_DAEMON: ")
    assert "p2pchat init" in outcome.err
    (home / "data" / "work").mkdir(parents=True)
    (home / "data" / "work" / "p2pchat.db").touch()
    outcome = cli("--profile", "work", "status")
    assert (outcome.status, "p2pchat --profile work daemon" in outcome.err) == (69, True)
    assert "init" not in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["send"],
        ["send", "Bob", "x", "--wait", "seen"],
        ["send", "Bob", "x", "--timeout", "5"],
        ["--nope", "status"],
        ["listen", "--since", "x"],
        ["history", "Bob", "--since", "yesterday"],
        ["contacts"],
    ],
)
def test_usage_errors_exit_2(cli: Cli, node: Served, arguments: list[str]) -> None:
    outcome = cli(*arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    assert node.api.calls == []


REPLIES = [row for row in TABLE if row.code is not None and row.name != "INTERNAL"]


@pytest.mark.parametrize("row", REPLIES, ids=lambda row: row.name)
def test_error_replies_have_their_exit_status(cli: Cli, node: Served, row: Row) -> None:
    name, status = row.name, row.exit_status
    node.api.fail["node.status"] = UsageError("One sentence.", name=name)
    outcome = cli("status")
    assert outcome.status == status
    assert outcome.out == ""
    assert outcome.err.startswith(f"{name}: ")
    assert outcome.err.count("\n") == 1


def test_near_names_are_shown_beside_the_message(cli: Cli, node: Served) -> None:
    near: dict[str, object] = {"near": ["Bob", "Bo\x1bb"]}
    node.api.fail["node.status"] = UsageError("Nobody.", name="CONTACT_NOT_FOUND", data=near)
    assert cli("status").err == "CONTACT_NOT_FOUND: Nobody. Did you mean Bob or Bo\\x1bb?\n"


def test_a_defect_of_the_daemon_is_internal(cli: Cli, node: Served) -> None:
    node.api.fail["node.status"] = UsageError("x", name="of no table")
    outcome = cli("status")
    assert (outcome.status, outcome.err.split(":")[0]) == (70, "INTERNAL")


def test_a_defect_of_the_command_line_is_internal(cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "emit", lambda value: 1 / 0)
    outcome = cli("status", "--json")
    assert outcome.status == 70
    assert "ZeroDivisionError" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("INTERNAL: ")


@pytest.mark.parametrize("arguments", [["--help"], ["send", "--help"], ["contacts", "-h"], ["--version"]])
def test_help_is_success(cli: Cli, arguments: list[str]) -> None:
    outcome = cli(*arguments)
    assert outcome.status == 0
    assert "p2pchat" in outcome.out


def test_every_command_is_listed_and_loads(cli: Cli) -> None:
    out = cli("--help").out
    names = ("init", "daemon", "status", "stop", "lock", "unlock", "passphrase", "wipe")
    for command in (*names, "id", "contacts", "send", "listen", "history", "net", "rpc"):
        assert f"\n  {command} " in out
        assert cli(command, "--help").status == 0


def test_an_interrupt_exits_130(cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    node.do(lambda: node.api.message(node.api.contact("Bob"), "x", incoming=True))
    monkeypatch.setattr(listen_module, "_print", interrupt)
    assert cli("listen", "--since", "0").status == 130


def test_a_bad_profile_is_an_error(cli: Cli) -> None:
    outcome = cli("--profile", "../x", "status")
    assert (outcome.status, outcome.err.startswith("INVALID_PARAMS: profile")) == (65, True)


def test_a_socket_can_be_named(cli: Cli, node: Served) -> None:
    assert cli("--profile", "other", "--socket", str(node.path), "status").status == 0
    assert cli("--socket", "/" + "x" * 200, "status").status == 65
    assert cli("--socket", "/nowhere.sock", "status").status == 69


# -- init and daemon -----------------------------------------------------------------------------------------------


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []

    def execv(program: str, arguments: list[str]) -> None:
        assert program == sys.executable
        calls.append(arguments)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execv)
    return calls


@pytest.mark.parametrize(
    ("arguments", "passed_on"),
    [
        (["init"], ["--profile", "default", "init"]),
        (
            [
                "--profile",
                "b",
                "init",
                "--number",
                "+821012345678",
                "--name",
                "-x",
                "--region",
                "KR",
                "--no-passphrase",
            ],
            ["--profile", "b", "init", "--number=+821012345678", "--name=-x", "--region=KR", "--no-passphrase"],
        ),
        (
            ["init", "--no-number", "--passphrase-file", "f", "--json"],
            ["--profile", "default", "init", "--passphrase-file=f", "--no-number", "--json"],
        ),
        (["--json", "init"], ["--profile", "default", "init", "--json"]),
        (["daemon"], ["--profile", "default", "run"]),
        (
            ["--socket", "s", "daemon", "--listen", "/a", "--listen", "/b", "--bootstrap", "/c"],
            ["--profile", "default", "--socket=s", "run", "--listen=/a", "--listen=/b", "--bootstrap=/c"],
        ),
        (
            ["daemon", "--passphrase-file", "f", "--log-level", "debug"],
            ["--profile", "default", "run", "--passphrase-file=f", "--log-level=debug"],
        ),
    ],
)
def test_init_and_daemon_become_the_daemons_program(
    cli: Cli, executed: list[list[str]], arguments: list[str], passed_on: list[str]
) -> None:
    with pytest.raises(SystemExit):
        cli(*arguments)
    assert executed == [[sys.executable, "-m", "p2pchat.daemon", *passed_on]]


def test_an_isolated_command_line_starts_an_isolated_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    assert daemon_program() == [sys.executable, "-m", "p2pchat.daemon"]
    monkeypatch.setattr(sys, "flags", SimpleNamespace(isolated=1))
    assert daemon_program() == [sys.executable, "-I", "-m", "p2pchat.daemon"]


# -- what is printed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--json", "status"], ["status", "--json"]])
def test_json_before_or_after_the_command(cli: Cli, node: Served, arguments: list[str]) -> None:
    outcome = cli(*arguments)
    assert outcome.err == ""
    assert outcome.lines[0]["peer_id"] == "12D3KooWFake"


@pytest.mark.parametrize(
    "arguments", [["--json", "net", "addrs"], ["net", "--json", "addrs"], ["net", "addrs", "--json"]]
)
def test_json_at_any_place_of_a_group(cli: Cli, node: Served, arguments: list[str]) -> None:
    assert cli(*arguments).lines == [{"addresses": node.api.addresses}]


def test_json_prints_exactly_the_objects_one_a_line(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob", "+821098765432")
    eve = node.api.contact("이브 🙂", None, "pending")
    assert cli("contacts", "list", "--json").lines == [msgspec.to_builtins(bob), msgspec.to_builtins(eve)]
    assert cli("contacts", "show", "Bob", "--json").lines == [msgspec.to_builtins(bob)]
    message = node.api.message(bob, "\x1b[2J\u202e\0\n한글", incoming=True)
    assert cli("history", "Bob", "--json").lines == [msgspec.to_builtins(message)]
    assert "한글" in cli("history", "Bob", "--json").out


def test_a_message_is_explained_in_words(cli: Cli, node: Served) -> None:
    message = node.api.message(node.api.contact("Bob"), "hello", incoming=False)
    lines = cli("explain", message.id).out.splitlines()
    assert lines[0] == "queued: Bob cannot be reached now."
    assert lines[1].endswith("  /ip4/10.0.0.9/tcp/4001  Nothing listens there.")
    assert lines[2].endswith("  connected  The connection is lost.")
    assert cli("explain", message.id, "--json").lines[0]["next_try_ms"] is not None
    assert cli("explain", "00" * 16).status == 66


def test_a_message_is_taken_back_or_forgotten(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob")
    first, second = (node.api.message(bob, text, incoming=False) for text in ("one", "two"))
    assert cli("cancel", first.id).out == f"cancelled  {first.id}\n"
    assert cli("delete", first.id, second.id).out == f"deleted  {first.id}\ndeleted  {second.id}\n"
    assert node.api.messages == []
    assert cli("delete", first.id).status == 66
    assert cli("cancel", "nonsense").status == 65
    assert cli("delete").status == 2


def test_status_in_words(cli: Cli, node: Served) -> None:
    out = cli("status").out
    assert "Alice (+821012345678)" in out
    assert "1 h 2 min" in out
    assert "2 peers" in out
    assert "newer device" not in out
    assert "no other node" not in out
    node.api.alone = "no other node answers; asked: 3 nodes named by the user"
    assert "no other node answers; asked: 3 nodes named by the user\n" in cli("status").out
    assert "through a proxy" not in out
    node.api.proxy = True
    assert "2 peers, reachability lan, through a proxy\n" in cli("status").out
    node.api.replaced_ms = 1_800_000_000_000
    assert "replaced: a newer device of yours is in use since 20" in cli("status").out


def test_id_and_net_in_words(cli: Cli, node: Served) -> None:
    assert "abab" in cli("id", "show").out
    assert cli("net", "addrs").out == "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWFake\n"
    assert cli("net", "peers").out.startswith("12D3KooWPeer  direct  1.5 ms")
    assert "connected to 12D3KooWPeer" in cli("net", "dial", "/ip4/127.0.0.1/tcp/1/p2p/x").err
    assert cli("net", "bootstrap", "/ip4/127.0.0.1/tcp/1/p2p/x", "-q").status == 2
    assert cli("-q", "net", "bootstrap", "/ip4/127.0.0.1/tcp/1/p2p/x").err == ""


def test_what_others_wrote_cannot_act_on_the_terminal(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob\x1b]0;x\x07")
    node.api.message(bob, "one\x1b[2J\r\n12:00:00  Eve: two\u202e", incoming=True)
    for arguments in (["history", bob.id], ["contacts", "list"], ["contacts", "show", bob.id]):
        out = cli(*arguments).out
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(out)
    assert "\n    12:00:00  Eve: two" in cli("history", bob.id).out


def test_what_the_locale_cannot_show_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    output.line("이브")
    output.emit({"name": "이브"})
    assert written.getvalue() == b"\\uc774\\ube0c\n" + '{"name":"이브"}\n'.encode()


# -- contacts ------------------------------------------------------------------------------------------------------


def test_contacts_are_added_renamed_and_removed(cli: Cli, node: Served) -> None:
    outcome = cli("contacts", "add", "+821098765432", "--name", "Bob", "--idempotency-key", "k")
    assert (outcome.status, outcome.out.split()[:3]) == (0, ["Bob", "+821098765432", "pending"])
    assert "find each other" in outcome.err
    assert node.api.calls[-1] == (
        "contacts.add",
        {"number": "+821098765432", "name": "Bob", "idempotency_key": "k"},
    )
    assert cli("contacts", "rename", "Bob", "Robert").out.startswith("Robert")
    assert cli("contacts", "list", "--state", "matched").out == ""
    assert cli("contacts", "remove", "Robert", "--json").lines[0]["name"] == "Robert"
    assert cli("contacts", "show", "Robert").status == 66


def test_claimants_are_shown_and_one_is_chosen(cli: Cli, node: Served) -> None:
    node.api.contact("Bob", "+821098765432", "pending")
    node.api.claimants = [
        objects.Claimant(id="aa" * 32, first_seen_ms=1_700_000_000_000, chosen=False, contact_id=None),
        objects.Claimant(id="bb" * 32, first_seen_ms=1_700_000_001_000, chosen=True, contact_id=None),
    ]
    shown = [line for line in cli("contacts", "show", "Bob").out.splitlines() if line.startswith("claimant")]
    assert [line.split()[1] for line in shown] == ["aa" * 32, "bb" * 32]
    assert [line.endswith("chosen") for line in shown] == [False, True]
    assert cli("contacts", "choose", "Bob", "bbbb").out.startswith("Bob")
    assert node.api.calls[-1] == ("contacts.choose", {"to": "Bob", "claimant": "bbbb"})
    outcome = cli("contacts", "choose", "Bob", "xyz!")
    assert (outcome.status, outcome.err.startswith("INVALID_PARAMS: claimant: ")) == (65, True)
    several: dict[str, object] = {"claimants": ["aa" * 32, "bb" * 32]}
    node.api.fail["contacts.choose"] = UsageError("Several claim.", name="AMBIGUOUS", data=several)
    outcome = cli("contacts", "choose", "Bob")
    assert outcome.status == 66
    assert outcome.err == f"AMBIGUOUS: Several claim. Claimants: {'aa' * 8}, {'bb' * 8}.\n"


def test_it_is_shown_what_a_match_waits_for_and_what_to_do(cli: Cli, node: Served) -> None:
    dave, bob = node.api.contact("Dave"), node.api.contact("Bob", "+821098765432", "pending")
    node.api.claimants = [
        objects.Claimant(id="aa" * 32, first_seen_ms=1_700_000_000_000, chosen=False, contact_id=dave.id)
    ]
    node.api.waiting = 2
    shown = cli("contacts", "show", "Bob").out
    assert f"that is Dave: p2pchat contacts merge {dave.id} {bob.id}\n" in shown
    assert f"held up by 2 who said hello and showed no card: p2pchat contacts choose {bob.id}\n" in shown
    assert cli("contacts", "merge", "Dave", "Bob").out.startswith("Dave")
    assert node.api.calls[-1] == ("contacts.merge", {"to": "Dave", "other": "Bob"})
    node.api.claimants = []
    assert "held up" not in cli("contacts", "show", "Bob").out  # by nobody, and there is nobody to choose


# -- send ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a", "안녕 🙂", "שלום", "two\nlines\n", "\t\x1b[31m", " ", "x" * 65_536])
def test_text_is_sent_as_it_is(cli: Cli, node: Served, text: str) -> None:
    node.api.contact("Bob")
    assert cli("send", "Bob", text).status == 0
    assert cli("send", "Bob", "-", stdin=text.encode()).status == 0
    assert cli("send", "Bob", stdin=text.encode()).status == 0
    assert [message.text for message in node.api.messages] == [text] * 3


@pytest.mark.parametrize("command", [("send", "Bob", "-"), ("rpc", "node.status", "-")])
def test_a_stdin_that_is_closed_or_no_text_is_an_error(
    cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    assert cli(*command, stdin=b"\xff").err.startswith("INVALID_PARAMS: ")
    monkeypatch.setattr(sys, "stdin", None)
    outcome = cli(*command)
    assert (outcome.status, "stdin is closed" in outcome.err) == (2, True)
    assert node.api.calls == []


def test_stdin_carries_what_arguments_cannot(cli: Cli, node: Served) -> None:
    node.api.contact("Bob")
    assert cli("send", "Bob", "-", stdin=b"\0\r\n\n").status == 0
    assert node.api.messages[0].text == "\0\r\n\n"


def test_text_that_begins_with_a_dash_follows_two(cli: Cli, node: Served) -> None:
    node.api.contact("Bob")
    assert cli("send", "Bob", "--wait").status == 2
    refused = cli("send", "Bob", "hello", "world")
    assert (refused.status, "put it in quotes" in refused.err) == (2, True)
    assert cli("send", "Bob", "--", "--wait").status == 0
    assert cli("send", "--json", "--", "Bob", "-5 °C").status == 0
    assert [message.text for message in node.api.messages] == ["--wait", "-5 °C"]


@pytest.mark.parametrize(
    ("stdin", "status", "name"),
    [
        (b"", 65, "INVALID_PARAMS"),
        (b"\xff", 65, "INVALID_PARAMS"),
        (b"\xed\xa0\x80", 65, "INVALID_PARAMS"),
        (b"x" * 65_537, 74, "TOO_LARGE"),
        ("한".encode() * 21_846, 74, "TOO_LARGE"),
    ],
)
def test_what_is_no_text_is_refused_and_nothing_is_stored(
    cli: Cli, node: Served, stdin: bytes, status: int, name: str
) -> None:
    node.api.contact("Bob")
    outcome = cli("send", "Bob", "-", stdin=stdin)
    assert (outcome.status, outcome.err.split(":")[0]) == (status, name)
    assert node.api.messages == []


def test_an_argument_that_is_no_unicode_is_refused(cli: Cli, node: Served) -> None:
    node.api.contact("Bob")
    outcome = cli("send", "Bob", os.fsdecode(b"caf\xe9"))
    assert (outcome.status, outcome.err.split(":")[0]) == (65, "INVALID_PARAMS")


def test_without_a_text_on_a_terminal_nothing_is_read(cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert cli("send", "Bob").status == 2
    assert node.api.calls == []


def test_a_message_for_a_live_stream_alone_is_refused_in_one_sentence(cli: Cli, node: Served) -> None:
    node.api.contact("Bob")
    assert cli("send", "--live-only", "Bob", "x", "--json").status == 0
    (sent,) = [params for method, params in node.api.calls if method == "message.send"]
    assert sent == {"to": "Bob", "text": "x", "live_only": True}
    refusal = UsageError("The contact is not connected now: nothing was sent.", name="PEER_OFFLINE")
    node.api.fail["message.send"] = refusal
    outcome = cli("send", "--live-only", "Bob", "x")
    assert (outcome.status, outcome.out) == (75, "")
    assert outcome.err == "PEER_OFFLINE: The contact is not connected now: nothing was sent.\n"


def test_notes_to_oneself(cli: Cli, node: Served) -> None:
    node.api.contact("Note to self").self_ = True
    node.api.contact("Bob", "+821098765432")
    assert cli("send", "self", "milk").out.startswith("queued  ")
    assert cli("history", "self").out.endswith("milk\n")
    listed = cli("contacts", "list").out.splitlines()
    assert listed[0].split("  ")[0] == "Note to self"
    assert "claimed" not in listed[0]
    assert "claimed" in listed[1]
    shown = cli("contacts", "show", "self")
    assert (shown.status, shown.out.count("\n")) == (0, 1)
    assert "contacts.claimants" not in [method for method, _ in node.api.calls]
    assert cli("contacts", "show", "self", "--json").lines[0]["self"] is True


def test_send_passes_its_options_on(cli: Cli, node: Served) -> None:
    node.api.contact("Bob")
    options = ["--wait", "delivered", "--timeout", "1.5", "--idempotency-key", "k"]
    assert cli("send", "Bob", "x", *options, "--json").lines[0]["text"] == "x"
    assert node.api.calls[-1][1] == {
        "to": "Bob",
        "text": "x",
        "wait": "delivered",
        "timeout_ms": 1500,
        "idempotency_key": "k",
    }
    assert cli("send", "Bob", "x").out.startswith("queued  ")
    assert cli("-q", "send", "Bob", "x").out == ""


# -- history and listen --------------------------------------------------------------------------------------------


def texts(cli: Cli, *options: str) -> list[object]:
    return [message["text"] for message in cli("history", "Bob", "--json", *options).lines]


def test_history_shows_the_newest_oldest_first(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob")
    for n in range(250):
        node.api.message(bob, f"{n}", incoming=n % 2 == 0)
    assert texts(cli) == [f"{n}" for n in range(200, 250)]
    assert texts(cli, "--limit", "230") == [f"{n}" for n in range(20, 250)]
    assert texts(cli, "--limit", "1000") == [f"{n}" for n in range(250)]
    assert texts(cli, "--search", "24") == ["24", "124", "224", *(f"24{n}" for n in range(10))]
    out = cli("history", "Bob", "--limit", "2").out.splitlines()
    assert out[0].endswith("  Bob: 248")
    assert out[1].endswith("  me (queued): 249")


def test_history_says_where_messages_have_not_arrived(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob\x1b[2J")
    for n, missing in enumerate((0, 1, 2, 1024)):
        node.api.message(bob, f"{n}", incoming=True).missing = missing
    assert cli("history", bob.id).out.splitlines()[1:6:2] == [
        "    1 message of Bob\\x1b[2J has not arrived",
        "    2 messages of Bob\\x1b[2J have not arrived",
        "    1,024 or more messages of Bob\\x1b[2J have not arrived",
    ]
    assert len(cli("history", bob.id, "--search", "2").out.splitlines()) == 1
    assert [message["missing"] for message in cli("history", bob.id, "--json").lines] == [0, 1, 2, 1024]


def test_history_since_a_time_goes_by_this_nodes_clock(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob")
    clocks = ((9_000, 1_000), (0, 2_000_000_000_000), (3_000_000_000_000, 5_000))
    for n, (created_ms, delivered_ms) in enumerate(clocks):
        message = node.api.message(bob, f"{n}", incoming=True)
        message.created_ms, message.delivered_ms = created_ms, delivered_ms
    assert texts(cli, "--since", "2023-11-01") == ["1"]


def test_history_since_a_time(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob")
    for n in range(3):
        node.api.message(bob, f"{n}", incoming=True)
    assert texts(cli, "--since", "2023-11-01") == ["0", "1", "2"]
    assert texts(cli, "--since", "12h") == []
    node.api.messages[0].created_ms = 0
    assert texts(cli, "--since", "2023-11-01T00:00") == ["1", "2"]


def test_history_of_long_texts_is_read_in_smaller_pages(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob")
    for n in range(100):
        node.api.message(bob, f"{n}" + "\0" * 60_000, incoming=True)
    assert [str(text).rstrip("\0") for text in texts(cli, "--limit", "100")] == [f"{n}" for n in range(100)]


def test_search_shows_the_newest_first_of_all_conversations_or_of_one(cli: Cli, node: Served) -> None:
    bob, eve = node.api.contact("Bob"), node.api.contact("Eve\x1b[2J")
    for n in range(250):
        node.api.message(bob if n % 2 else eve, f"한글 {n}", incoming=n % 3 == 0)
    node.api.message(bob, "something else", incoming=True)

    def found(*options: str) -> list[object]:
        return [message["text"] for message in cli("search", "한글", "--json", *options).lines]

    assert found("--limit", "3") == ["한글 249", "한글 248", "한글 247"]
    assert found("--limit", "1000") == [f"한글 {n}" for n in reversed(range(250))]
    assert found("--limit", "2", "--to", "Bob") == ["한글 249", "한글 247"]
    assert found("--to", "Bob") == [f"한글 {n}" for n in range(249, 149, -2)]
    first, second = cli("search", "한글", "--limit", "2").out.splitlines()
    assert first.endswith("  Bob: 한글 249")
    assert second.endswith("  me to Eve\\x1b[2J (queued): 한글 248")
    assert cli("search", "nothing").out == ""
    assert cli("search", "한글", "--to", "Nobody").status == 66


def test_what_is_found_in_long_texts_is_read_in_smaller_pages(cli: Cli, node: Served) -> None:
    bob = node.api.contact("Bob")
    for n in range(100):
        node.api.message(bob, f"x{n}" + "\0" * 60_000, incoming=True)
    found = [str(message["text"]).rstrip("\0") for message in cli("search", "x", "--json", "--limit", "100").lines]
    assert found == [f"x{n}" for n in reversed(range(100))]


def test_listen_from_an_expired_event(cli: Cli, node: Served) -> None:
    node.api.fail["events.subscribe"] = UsageError("Events that old are gone.", name="CURSOR_EXPIRED")
    assert cli("listen", "--since", "1").status == 65


# -- stop and rpc --------------------------------------------------------------------------------------------------


def test_stop_returns_when_the_socket_is_gone(cli: Cli, node: Served) -> None:
    outcome = cli("stop")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "stopped\n")
    assert not node.path.exists()
    assert cli("stop").status == 69


def test_rpc_prints_the_result(cli: Cli, node: Served) -> None:
    assert cli("rpc", "net.addrs").lines == [{"addresses": node.api.addresses}]
    assert cli("rpc", "contacts.add", '{"number": "+821098765432"}').lines[0]["state"] == "pending"
    assert cli("rpc", "contacts.list", "-", stdin=b'{"state": "matched"}').lines == [{"contacts": []}]


@pytest.mark.parametrize("params", ["{", "[]", "5", '{"a": NaN', "[" * 100_000])
def test_rpc_with_bad_json_is_invalid_params(cli: Cli, node: Served, params: str) -> None:
    outcome = cli("rpc", "node.status", params)
    assert (outcome.status, outcome.err.split(":")[0]) == (65, "INVALID_PARAMS")


def test_rpc_of_an_unknown_method_or_parameter(cli: Cli, node: Served) -> None:
    assert cli("rpc", "node.sttaus").err.startswith("METHOD_NOT_FOUND: ")
    assert cli("rpc", "node.status", json.dumps({"x": 1})).err.startswith("INVALID_PARAMS: x: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("send", "Bob", "hi", "--wait", "sent", "--timeout", "3x"), "'3x' is not a valid number of seconds."),
        (("listen", "--since", "now"), "'now' is not a valid whole number."),
        (("history", "Bob", "--limit", "many"), "'many' is not a valid whole number."),
    ],
)
def test_what_is_no_number_is_said_in_a_persons_words(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    outcome = cli(*arguments)
    assert (outcome.status, outcome.err.splitlines()[-1].endswith(said)) == (2, True)


def test_an_output_that_is_closed_throws_away_and_is_no_failure(node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    statuses = run(["status"]), run(["--json", "status"]), run(["contacts", "show", "Nobody"])
    for each in (sys.stdout, sys.stderr):
        each.close()
    assert statuses == (0, 0, 66)
