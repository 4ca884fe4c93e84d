"""``p2pchat config``: what it prints and sends, with a daemon and without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.api.paths import ProfilePaths
from p2pchat.services.config import Config
from p2pchat.services.config_keys import KEYS
from p2pchat.services.configure import Configuration
from tests.fake_api import Served
from tests.unit.cli.conftest import Cli


@pytest.fixture
def path(node: Served) -> Path:
    """The file of a daemon that runs, with a flag of its own."""
    path, flags = ProfilePaths().config_file, {"lan": "off"}
    node.api.configuration = Configuration(path, {}, flags, running=Config(lan=False))
    return path


def test_one_value_is_printed_as_it_is_set(cli: Cli, path: Path) -> None:
    shown = {key: cli("config", "get", key).out for key in ("log.level", "lan", "mailbox.ttl_hours", "net.proxy")}
    assert shown == {"log.level": "info\n", "lan": "off\n", "mailbox.ttl_hours": "72\n", "net.proxy": ""}
    assert cli("config", "set", "listen", "/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/2").status == 0
    assert cli("config", "get", "listen").out == "/ip4/127.0.0.1/tcp/1\n/ip6/::1/tcp/2\n"
    assert path.read_text() == 'listen = ["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/2"]\n'


def test_all_are_listed_with_where_they_come_from(cli: Cli, path: Path) -> None:
    cli("config", "set", "relay.offer", "off")
    rows = {line.split()[0]: line.split()[1:] for line in cli("config", "get").out.splitlines()}
    assert list(rows) == [key.name for key in KEYS]
    assert rows["lan"] == ["off", "--no-lan"]
    assert rows["net.proxy"] == ["–", "default"]
    assert rows["relay.offer"] == ["off", "file", *["once", "the", "daemon", "is", "started", "again"]]
    assert [each["key"] for each in cli("config", "get", "--json").lines] == list(rows)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("log.level", "debug"), "log.level is debug\n"),
        (("relay.use", "off"), "relay.use is off once the daemon is started again\n"),
        (("lan", "on"), "lan is written, and stays off: --no-lan comes before the file\n"),
        (("--unset", "log.format"), "log.format is not set\n"),
    ],
)
def test_it_says_when_a_setting_is_in_effect(cli: Cli, path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = cli("config", "set", *arguments)
    assert (done.status, done.out, done.err) == (0, "", said)
    assert cli("-q", "config", "set", *arguments).err == ""
    (printed,) = cli("config", "set", *arguments, "--json").lines
    assert printed["key"] in arguments


def test_what_is_sent(cli: Cli, node: Served, path: Path) -> None:
    cli("config", "set", "log.level", "debug", "--idempotency-key", "k")
    cli("config", "set", "--unset", "log.level")
    assert node.api.calls == [
        ("config.set", {"key": "log.level", "value": "debug", "idempotency_key": "k"}),
        ("config.set", {"key": "log.level", "value": None}),
    ]


@pytest.mark.parametrize("arguments", [("lan",), ("--unset", "lan", "off"), ()])
def test_a_value_is_needed_or_none(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli("config", "set", *arguments).status == 2


def test_a_mistake_is_named(cli: Cli, path: Path) -> None:
    refused = cli("config", "set", "log.levle", "debug")
    assert (refused.status, refused.err) == (65, "INVALID_PARAMS: key: is no setting; did you mean log.level?\n")
    assert not path.exists()


def test_a_password_comes_from_standard_input_alone(cli: Cli, path: Path) -> None:
    refused = cli("config", "set", "net.proxy", "socks5://me:canary@[::1]:1")
    assert (refused.status, refused.err.split(":")[0]) == (65, "INVALID_PARAMS")
    assert "canary" not in refused.err
    done = cli("config", "set", "net.proxy", "-", stdin=b"socks5://me:canary@[::1]:1\n")
    assert done.err == "net.proxy is socks5://***@[::1]:1 once the daemon is started again\n"
    assert "canary" in path.read_text()
    assert "canary" not in cli("config", "get", "--json").out


def test_without_a_daemon_the_file_is_read_and_written(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ProfilePaths()
    refused = cli("config", "get")
    assert (refused.status, refused.err.split(":")[0]) == (66, "NO_PROFILE")
    paths.data_dir.mkdir(parents=True)
    monkeypatch.setenv("P2PCHAT_LOG_LEVEL", "error")
    done = cli("config", "set", "net.proxy", "-", stdin=b"socks5://me:canary@[::1]:1\n")
    assert done.err == "net.proxy is socks5://***@[::1]:1, from the next start on\n"
    assert cli("config", "set", "log.level", "debug").err == (
        "log.level is written, and stays error: P2PCHAT_LOG_LEVEL comes before the file\n"
    )
    assert paths.config_file.read_text() == ('[net]\nproxy = "socks5://me:canary@[::1]:1"\n\n[log]\nlevel = "debug"\n')
    refused = cli("config", "set", "net.mode", "lan")
    assert (refused.status, refused.err.split(":")[0]) == (65, "INVALID_PARAMS")
    assert "net.proxy" in refused.err
    assert cli("config", "set", "lan", "off", "--idempotency-key", "k").status == 65
    (level,) = cli("config", "get", "log.level", "--json").lines
    assert (level["value"], level["file"], level["restart"]) == ("error", "debug", False)


def test_another_socket_has_no_file(cli: Cli, home: Path) -> None:
    refused = cli("--socket", str(home / "none.sock"), "config", "get")
    assert (refused.status, refused.err.split(":")[0]) == (69, "NO_DAEMON")
