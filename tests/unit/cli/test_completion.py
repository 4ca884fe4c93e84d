"""What TAB offers at each place, and that nothing goes wrong where there is no daemon."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import pytest

from p2pchat.api.paths import ProfilePaths
from p2pchat.base.errors import UsageError
from p2pchat.cli import completion
from p2pchat.cli.app import cli as root
from p2pchat.cli.candidates import candidates
from p2pchat.control.server import Connection
from p2pchat.services.config_keys import KEYS
from tests.fake_api import FakeApi, Served, served
from tests.unit.cli.conftest import Cli


def words(*typed: str) -> list[str]:
    """Candidates for the last of ``typed``."""
    found = candidates(root, typed[:-1], typed[-1])
    assert found.kind == "words"
    return [value for value, _ in found.items]


def test_commands_and_options_of_the_whole_tree() -> None:
    assert words("se") == ["send", "search"]
    assert words("contacts", "re") == ["receipts", "refuse", "remove", "rename"]
    assert words("send", "--li") == ["--live-only"]
    assert words("--json", "net", "pe") == ["peers"]
    assert words("_") == []
    assert words("help", "contacts", "mer") == ["merge"]


def test_the_first_word_of_bash_loads_no_command() -> None:
    for typed in ("", "se", "x"):
        quick = candidates(root, (), typed, described=False)
        assert [value for value, _ in quick.items] == words(typed)


def test_choices_and_literals() -> None:
    assert words("send", "Bob", "x", "--wait", "de") == ["delivered"]
    assert words("send", "Bob", "x", "--wait=de") == ["--wait=delivered"]
    assert words("id", "receipts", "o") == ["on", "off"]
    assert words("completion", "") == ["bash", "zsh", "fish"]
    assert words("contacts", "find", "a") == ["all"]


def test_types_of_events_behind_a_comma_too() -> None:
    assert words("listen", "--types", "message.f") == ["message.failed"]
    assert words("listen", "--types", "peer.*,node.st") == ["peer.*,node.started"]
    assert words("listen", "--types=contact.")[:2] == ["--types=contact.*", "--types=contact.added"]
    assert "message.*" in words("listen", "--types", "")


@pytest.mark.parametrize(
    "typed",
    [
        ("backup", "create", "x"),
        ("contacts", "import", ""),
        ("net", "import", "n"),
        ("export", ""),
        ("unlock", "--passphrase-file", ""),
        ("id", "qr", "--png", ""),
        ("--socket", ""),
    ],
)
def test_files_are_left_to_the_shell(typed: tuple[str, ...], node: Served) -> None:
    assert candidates(root, typed[:-1], typed[-1]).kind == "files"
    assert node.api.calls == []


@pytest.mark.parametrize("typed", [("send", "Bob", "--timeout"), ("contacts", "rename", "Bob"), ("search",)])
def test_what_is_free_text_has_no_candidates(typed: tuple[str, ...], node: Served) -> None:
    assert words(*typed, "") == []


def test_names_of_contacts(node: Served) -> None:
    for name in ("Bob", "Bo Ly", "김영희", "Twin", "twin", "-x", "evil\n", "Sue"):
        node.api.contact(name, "+821011112222" if name == "Sue" else None)
    twins = ["0000000000000004", "0000000000000005"]
    assert words("send", "") == ["Bob", "Bo Ly", "김영희", *twins, "0000000000000006", "0000000000000007", "Sue"]
    for typed in (("send",), ("contacts", "merge", "Bob"), ("search", "x", "--to"), ("mailbox", "use", "Sue")):
        assert words(*typed, "bo") == ["Bob", "Bo Ly"]
    assert words("net", "deny", "김") == ["김영희"]
    assert words("send", "+8210") == ["+821011112222"]
    assert words("send", "00000000000000") == [*twins, *(f"{n:016x}" for n in (6, 7, 1, 2, 3, 8))]
    assert words("--profile", "none", "send", "B") == []
    assert words("--socket", str(node.path), "--profile", "none", "send", "Bob") == ["Bob"]


def test_ids_of_the_newest_messages_first(node: Served) -> None:
    bob = node.api.contact("Bob")
    ids = [node.api.message(bob, f"text {n} \x1b", incoming=False).id for n in range(3)]
    found = candidates(root, ["explain"], "")
    assert [value for value, _ in found.items] == ids[::-1]
    assert found.items[0][1] == "queued: text 2 \\x1b"
    assert words("delete", ids[0], ids[1][:31]) == ids[::-1]
    assert words("read", "B") == ["Bob"]


def test_the_tree_is_as_before(cli: Cli, node: Served) -> None:
    assert candidates(root, ("contacts", "import"), "").kind == "files"
    assert cli("contacts", "import", "/nowhere").status == 2


class Discovered(FakeApi):
    """Tells of its methods and settings."""

    async def dispatch(self, method: str, params: dict[str, object], connection: Connection) -> object:
        match method:
            case "rpc.discover":
                return {"methods": [{"name": "node.status", "summary": "At a glance."}, {"name": "net.peers"}]}
            case "config.get":
                named = [key for key in KEYS if params.get("key") in (None, key.name)]
                return {"settings": [{"key": key.name, "takes": key.takes} for key in named]}
            case _:
                return await super().dispatch(method, params, connection)


def test_methods_and_settings_are_those_of_the_daemon(home: Path) -> None:
    group = click.Group(params=root.params)
    group.command(name="get")(click.argument("key")(lambda key: None))
    with served(Discovered, ProfilePaths().socket):
        assert candidates(root, ["rpc"], "no").items == [("node.status", "At a glance.")]
        assert candidates(group, ["get"], "log.").items == [("log.level", ""), ("log.format", "")]


def test_values_of_settings_that_take_some_words_alone(home: Path) -> None:
    with served(Discovered, ProfilePaths().socket):
        for key in KEYS:
            known = {"switch": ["on", "off"], "word": list(key.words)}
            assert words("config", "set", key.name, "") == known.get(key.kind, []), key.name
        assert words("config", "set", "log.level", "w") == ["warning"]
        assert words("config", "set", "no.such", "") == []


def test_profiles_are_those_on_the_disk(home: Path) -> None:
    for name in ("work", "home"):
        (home / "data" / name).mkdir(parents=True)
        (home / "data" / name / "p2pchat.db").touch()
    (home / "data" / "half").mkdir()
    assert words("--profile", "") == ["home", "work"]
    assert words("--profile=w") == ["--profile=work"]


def test_a_daemon_that_refuses_or_is_not_there_is_silence(cli: Cli, node: Served) -> None:
    node.api.fail["contacts.list"] = UsageError("It is locked.", name="LOCKED")
    outcome = cli("_complete", "bash", "--", "p2pchat send ")
    assert (outcome.status, outcome.out, outcome.err) == (0, "words\n", "")
    outcome = cli("_complete", "zsh", "--", "--socket", "/nowhere.sock", "send", "B")
    assert (outcome.status, outcome.out, outcome.err) == (0, "words\n", "")


def test_bash_gets_what_is_missing_and_the_others_the_whole(cli: Cli, node: Served) -> None:
    node.api.contact("Alice Kim")
    assert cli("_complete", "bash", "--", "p2pchat send Al").out == "words\nice\\ Kim\n"
    assert cli("_complete", "bash", "--", 'p2pchat send "Al').out == "words\nice Kim\n"
    assert cli("_complete", "bash", "--", "p2pchat send $Al").out == "words\n"
    assert cli("_complete", "bash", "--", "p2pchat send al").out == "words\n"  # bash cannot change what is typed
    assert cli("_complete", "fish", "--", "send", "al").out == "words\nAlice Kim\tmatched\n"
    assert cli("_complete", "zsh", "--", "send", '"Al').out == "words\nAlice Kim\tmatched\n"
    assert cli("_complete", "bash", "--", "p2pchat backup create ").out == "files\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_starts_the_program_that_printed_it(
    shell: str, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "p2pchat"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(program.parent))
    assert f"(p2pchat _complete {shell} -- " in cli("completion", shell).out
    monkeypatch.setenv("PATH", "/nowhere")
    assert f"({program} _complete {shell} -- " in cli("completion", shell).out
    monkeypatch.setattr(sys, "argv", ["/x/p2pchat/cli/__main__.py"])
    assert completion._program() == [sys.executable, "-m", "p2pchat.cli"]
    assert os.path.isabs(sys.executable)
