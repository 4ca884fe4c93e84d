"""``doctor``: what is asked, what is printed in which language, and the exit status."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import p2pchat
from p2pchat.api.diagnosis import found
from p2pchat.api.doctor_objects import Check, shown
from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import UsageError
from p2pchat.cli import doctor as doctor_command
from p2pchat.cli import output, socket_look
from p2pchat.cli.app import cli as program
from p2pchat.cli.invocation import Invocation
from tests.fake_api import Served
from tests.unit.cli.conftest import Cli


@pytest.fixture(autouse=True)
def _version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p2pchat, "__version__", "0.0.0")  # the fake node's


def checks(*findings: str, **facts: int) -> list[Check]:
    return [shown(found(code, **facts), "p2pchat") for code in findings]


def diagnosed(node: Served, *rows: Check) -> None:
    node.api.checks = list(rows)


def test_what_is_well_is_told_in_a_line_each(cli: Cli, node: Served) -> None:
    diagnosed(node, *checks("configuration.ok", "dht.ok", peers=9))
    outcome = cli("doctor")
    assert outcome.status == 0
    assert outcome.out.splitlines() == [
        "✓ daemon          The daemon is running, version 0.0.0.",
        "✓ socket          The daemon answers on its socket.",
        "✓ configuration   The configuration file is in order.",
        "✓ DHT neighbours  Nodes of the DHT that answer: 9.",
    ]
    assert outcome.err == "Nothing that was looked at is in disorder.\n"
    assert ("node.doctor", {"send": True}) in node.api.calls


def test_what_is_not_comes_with_what_to_do_and_exit_status_1(cli: Cli, node: Served) -> None:
    diagnosed(node, *checks("clock.refused", "relays.one", "mailboxes.none"))
    outcome = cli("doctor", "--no-send")
    assert outcome.status == 1
    lines = outcome.out.splitlines()
    assert lines[2].startswith("✗ clock")
    clock = "Set the clock of this machine, and let it keep time by itself (as root: timedatectl set-ntp true)."
    assert lines[3].split() == [">", *clock.split()]
    assert [line[0] for line in lines] == ["✓", "✓", "✗", " ", "!", " ", "–", " "]
    assert "failed: 1" in outcome.err
    assert ("node.doctor", {"send": False}) in node.api.calls
    warned = cli("-q", "doctor")
    assert [line[0] for line in warned.out.splitlines()] == ["✗", " ", "!", " "]
    assert warned.err == ""


def test_a_warning_is_no_failure(cli: Cli, node: Served) -> None:
    diagnosed(node, *checks("relays.one"))
    assert cli("doctor").status == 0


def test_in_korean_by_the_code_and_never_for_a_program(cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    diagnosed(node, *checks("dht.few", peers=2))
    english = cli("doctor", "--json")
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    outcome = cli("doctor")
    assert "✓ 데몬      데몬이 실행 중입니다. 버전은 0.0.0입니다." in outcome.out
    assert "! DHT 이웃  응답하는 DHT 노드: 2개." in outcome.out
    assert outcome.err == "확인한 것에는 이상이 없습니다.\n"
    assert cli("doctor", "--json").out == english.out
    rows = {row["name"]: row for row in english.lines}
    assert rows["dht"]["code"] == "dht.few"
    assert rows["dht"]["facts"] == {"peers": 2}
    assert rows["daemon"]["text"] == "The daemon is running, version 0.0.0."
    assert list(rows["socket"]) == ["name", "state", "code", "facts", "text", "advice"]


def test_what_a_newer_daemon_finds_is_told_in_its_words(cli: Cli, node: Served) -> None:
    newer = Check(name="moon", state="warning", code="moon.full", facts={}, text="It is full.", advice="Wait.")
    lacking = Check(name="dht", state="ok", code="dht.ok", facts={"nodes": 3}, text="Three.", advice="")
    diagnosed(node, newer, lacking)
    lines = cli("doctor").out.splitlines()
    assert lines[-3:] == ["✓ DHT neighbours  Three.", "! moon            It is full.", "                  > Wait."]


def test_another_version_a_locked_and_an_old_daemon(cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    node.api.locked = True
    assert cli("doctor", "--json").lines[0]["code"] == "daemon.locked"
    monkeypatch.setattr(p2pchat, "__version__", "9.9")
    assert cli("doctor", "--json").lines[0]["facts"] == {"version": "0.0.0", "own": "9.9"}
    node.api.fail["node.doctor"] = UsageError("there is no such method", name="METHOD_NOT_FOUND")
    assert [row["code"] for row in cli("doctor", "--json").lines] == ["daemon.too_old", "socket.ok"]
    node.api.fail["node.doctor"] = UsageError("no", name="INTERNAL")
    assert cli("doctor").status == 70


def test_marks_that_the_terminal_lacks(cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    diagnosed(node, *checks("clock.refused"))
    monkeypatch.setattr("p2pchat.cli.doctor._can_be_shown", lambda characters: False)
    assert [line[0] for line in cli("doctor").out.splitlines()] == ["+", "+", "x", " "]


def test_without_a_daemon_the_program_looks(cli: Cli, home: Path) -> None:
    outcome = cli("doctor", "--json")
    assert outcome.status == 1
    assert [row["code"] for row in outcome.lines] == ["daemon.no_profile", "socket.none", "configuration.none"]
    assert "p2pchat init" in str(outcome.lines[0]["advice"])
    named = cli("--profile", "work", "doctor", "--json").lines[0]
    assert "p2pchat --profile work init" in str(named["advice"])


def test_fix_comes_first(cli: Cli, home: Path) -> None:
    folder = ProfilePaths().socket.parent
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(ProfilePaths().socket))
    folder.chmod(0o755)
    assert cli("doctor", "--json").lines[1]["code"] == "socket.open"
    rows = cli("doctor", "--fix", "--json").lines
    assert [row["code"] for row in rows[:3]] == ["fix.rights", "fix.socket", "daemon.no_profile"]
    assert rows[3]["code"] == "socket.none"


def test_what_would_be_lost_is_asked_about(cli: Cli, node: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    facts: dict[str, int | str] = {"contacts": 2, "contacts_of": 3, "messages": 40, "messages_of": "?", "folder": "/x"}
    program: list[tuple[str, ...]] = []
    answers = ["no", "yes"]

    def ran(invocation: Invocation, command: str, arguments: list[str]) -> list[dict[str, object]]:
        program.append((command, *arguments))
        agreed = "--yes" in arguments
        done = found("fix.saved", contacts=2, messages=40, path="/y") if agreed else found("fix.can_be_saved", **facts)
        return [doctor_command._row(done, invocation)]

    monkeypatch.setattr(doctor_command, "_from_program", ran)
    monkeypatch.setattr(doctor_command, "on_terminal", lambda: True)
    monkeypatch.setattr(doctor_command, "ask", lambda question, missing: answers.pop(0))
    refused = cli("doctor", "--fix")
    assert "contacts: 2 of 3, messages: 40 of ?" in refused.err
    assert refused.out.startswith("! repaired")
    assert cli("doctor", "--fix").out.startswith("✓ repaired")
    assert program == [("repair",), ("repair",), ("repair", "--yes")]
    assert cli("doctor", "--fix", "--json").lines[0]["code"] == "fix.can_be_saved"
    assert cli("doctor", "--fix", "--yes", "--json").lines[0]["code"] == "fix.saved"
    assert answers == []


def test_a_program_that_fails_is_an_error(cli: Cli, home: Path) -> None:
    outcome = cli("--profile", "NO", "doctor")
    assert (outcome.status, outcome.err.split(":")[0]) == (65, "INVALID_PARAMS")


# -- the socket ------------------------------------------------------------------------------------------------------


def seen(profile: str = "default", place: str | None = None) -> str:
    client, finding = socket_look.look(Invocation(profile, place))
    if client is not None:
        client.close()
    return finding.code.partition(".")[2]


@contextmanager
def listening(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    path.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=lambda: serve(listener.accept()[0]), daemon=True)
        thread.start()
        yield
        thread.join(5)


def test_a_socket_that_answers(node: Served) -> None:
    assert seen() == "ok"


def test_sockets_that_do_not_answer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ProfilePaths().socket
    assert seen() == "none"
    monkeypatch.setattr(socket_look, "_REPLY_S", 0.05)
    done = threading.Event()

    def hold(connection: socket.socket) -> None:
        with connection:
            done.wait(5)

    with listening(path, hold):
        assert seen() == "silent"
        done.set()
    assert seen() == "stale"
    path.unlink()
    path.write_text("")
    assert seen() == "no_socket"
    path.unlink()
    path.parent.chmod(0o750)
    assert seen() == "open"
    assert seen(place="/" + "x" * 200) == "too_long"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_socket_of_another_user(home: Path) -> None:
    folder = ProfilePaths().socket.parent
    folder.mkdir(0o700)
    os.chown(folder, 12345, 12345)
    assert seen() == "foreign"


def test_a_socket_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory() as home:  # a socket's path may have 107 bytes, and those of pytest's folders are long
        _look_elsewhere(Path(home), monkeypatch)


def _look_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("P2PCHAT_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert seen("zz-doctor-test") == "no_runtime_folder"
    there = ProfilePaths("zz-doctor-test").socket
    with listening(there, lambda connection: connection.close()):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
        client, finding = socket_look.look(Invocation("zz-doctor-test"))
        assert (client, finding.code, finding.facts) == (None, "socket.elsewhere", {"path": str(there)})
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(there))


# -- how it is laid out ----------------------------------------------------------------------------------------------


def test_lines_are_broken_by_columns_on_a_terminal(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert output.broken("one two three four five six seven", 20) == ["one two three four", "five six seven"]
    assert output.broken("데이터베이스를 열 수 없습니다", 20) == ["데이터베이스를 열 수", "없습니다"]
    assert output.broken("one two three", 0) == ["one two three"]
    assert output.broken("/a/very/long/path/without/any/space x", 20) == ["/a/very/long/path/without/any/space", "x"]
    output.sheet([("!", "키", ["안녕", "to\x1b do"]), ("✓", "long", ["x"])])
    assert capsysbinary.readouterr().out.decode() == "! 키    안녕\n        > to\\x1b do\n✓ long  x\n"


def test_help_has_examples() -> None:
    command = program.get_command(program.make_context("p2pchat", ["status"], resilient_parsing=True), "doctor")
    assert command is not None
    assert "doctor --fix" in str(command.epilog)
