"""Settings are shown with where they come from, and changed in the file whole or not at all."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from p2pchat.api.settings import Given, Setting
from p2pchat.base.errors import DiskFull, StoreError, UsageError
from p2pchat.core.backup import SETTINGS_BYTES
from p2pchat.services import config_file
from p2pchat.services.config import Config, load
from p2pchat.services.config_keys import KEYS
from p2pchat.services.configure import Configuration, nobody_runs

MINE = "# mine\nlan = true # at home\n\n[log]\nlevel = 'warning'\n"
SECRET = "socks5://me:canary@127.0.0.1:9050"
NODE = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "default.toml"


def configured(
    path: Path,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    *,
    running: Config | None = None,
    apply: Callable[[Config], None] = nobody_runs,
) -> Configuration:
    return Configuration(path, environment or {}, flags or {}, running=running, apply=apply)


def written(path: Path, text: str = MINE) -> Configuration:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return configured(path)


def one(configuration: Configuration, key: str) -> Setting:
    (setting,) = configuration.get(key).settings
    return setting


def refused(configuration: Configuration, key: str, value: Given) -> UsageError:
    with pytest.raises(UsageError) as caught:
        configuration.set(key, value)
    assert caught.value.error_name == "INVALID_PARAMS"
    return caught.value


def test_every_setting_is_shown_with_where_it_comes_from(path: Path) -> None:
    written(path)
    configuration = configured(path, {"P2PCHAT_NET_MODE": "contacts", "P2PCHAT_LOG_LEVEL": "error"}, {"lan": "off"})
    shown = {each.key: each for each in configuration.get().settings}
    assert list(shown) == [key.name for key in KEYS]
    told = {name: (each.value, each.source, each.by, each.file) for name, each in shown.items()}
    assert told["lan"] == (False, "flag", "--no-lan", True)
    assert told["log.level"] == ("error", "environment", "P2PCHAT_LOG_LEVEL", "warning")
    assert told["net.mode"] == ("contacts", "environment", "P2PCHAT_NET_MODE", None)
    assert told["mailbox.ttl_hours"] == (72, "default", None, None)
    assert told["bootstrap.public_entry"] == (["/dnsaddr/bootstrap.libp2p.io"], "default", None, None)
    assert told["log.format"] == told["net.proxy"] == (None, "default", None, None)
    assert {each.default for each in shown.values() if isinstance(each.default, str)} == {"open", "auto", "info"}
    assert one(configuration, "log_level") == shown["log.level"]  # as it was called


def test_only_the_value_changes_and_what_was_asked_for_is_in_force(path: Path) -> None:
    configuration = written(path)
    assert configuration.set("lan", False).value is False
    assert configuration.set("log.level", "debug").source == "file"
    assert configuration.set("mailbox.ttl_hours", 5).file == 5
    assert path.read_text() == ('# mine\nlan = false # at home\n\n[log]\nlevel = "debug"\n\n[mailbox]\nttl_hours = 5\n')
    assert load(path, {}, {}) == Config(lan=False, log_level="debug", mailbox_ttl_hours=5)
    assert configuration.set("lan", None).value is True
    assert configuration.set("lan", None).source == "default"
    assert path.read_text() == '# mine\n\n[log]\nlevel = "debug"\n\n[mailbox]\nttl_hours = 5\n'


@pytest.mark.parametrize(
    ("key", "given", "value"),
    [
        ("lan", "off", False),
        ("lan", "true", True),
        ("mailbox.ttl_hours", "336", 336),
        ("listen", "/ip4/127.0.0.1/tcp/1 /ip6/::1/tcp/2", ["/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/2"]),
        ("listen", ["/ip4/127.0.0.1/tcp/1"], ["/ip4/127.0.0.1/tcp/1"]),
        ("listen", "", []),
        ("relay.offer", "off", "off"),
        ("bootstrap", NODE, [NODE]),
        ("net.proxy", "socks5://[::1]:9050", "socks5://[::1]:9050"),
    ],
)
def test_a_text_stands_for_a_value_as_in_the_environment(path: Path, key: str, given: str, value: object) -> None:
    setting = configured(path).set(key, given)
    assert setting.value == setting.file == value
    assert setting.source == "file"


@pytest.mark.parametrize(
    ("key", "value", "said", "param"),
    [
        ("log.levle", "debug", "key: is no setting; did you mean log.level?", "key"),
        ("log_levle", "debug", "key: is no setting; did you mean log_level?", "key"),
        ("ttl_hours", 5, "key: is no setting; did you mean mailbox.ttl_hours?", "key"),
        ("canary", 5, "key: is no setting; there are listen, bootstrap.nodes,", "key"),
        ("log.level", "loud", "value: log.level is one of debug, info, warning, error", "value"),
        ("log.level", 3, "value: log.level is one of debug", "value"),
        ("mailbox.ttl_hours", 0, "value: mailbox.ttl_hours is a whole number from 1 to 336", "value"),
        ("mailbox.ttl_hours", "9" * 5000, "a whole number from 1 to 336", "value"),
        ("mailbox.ttl_hours", True, "a whole number from 1 to 336", "value"),
        ("mailbox.ttl_hours", "²", "a whole number from 1 to 336", "value"),
        ("lan", 0, "value: lan is on or off", "value"),
        ("lan", ["on"], "value: lan is on or off", "value"),
        ("listen", 5, "value: listen is a list of texts", "value"),
        ("listen", "canary", "value: ", "value"),
        ("bootstrap.nodes", ["/ip4/192.0.2.1/tcp/1"], "value: ", "value"),
        ("bootstrap.public_entry", ["canary"], "value: ", "value"),
        ("net.proxy", "", "value: net.proxy is empty; null takes it away", "value"),
        ("net.proxy", "http://canary:canary@x", "value: net.proxy is socks5://", "value"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    path: Path, key: str, value: Given, said: str, param: str
) -> None:
    error = refused(written(path), key, value)
    assert error.message.startswith(said) or said in error.message
    assert error.data["param"] == param
    assert "canary" not in f"{error.message}{error.data}"
    assert path.read_text() == MINE
    assert list(path.parent.iterdir()) == [path]


def test_what_does_not_go_together_is_refused(path: Path) -> None:
    configuration = written(path, "[net]\nproxy = 'socks5://[::1]:1'\n")
    assert "net.mode is lan" in refused(configuration, "net.mode", "lan").message
    assert "127.0.0.1" in refused(configuration, "listen", ["/ip4/0.0.0.0/tcp/1"]).message
    assert path.read_text() == "[net]\nproxy = 'socks5://[::1]:1'\n"
    # also where the environment keeps it from having effect: it may be gone at the next start
    hidden = configured(path, {"P2PCHAT_NET_MODE": "open"})
    assert "net.mode is lan" in refused(hidden, "net.mode", "lan").message


@pytest.mark.parametrize(
    ("environment", "flags", "by"),
    [({"P2PCHAT_LOG_LEVEL": "error"}, {}, "P2PCHAT_LOG_LEVEL"), ({}, {"log_level": "error"}, "--log-level")],
)
def test_what_comes_before_the_file_is_named(
    path: Path, environment: dict[str, str], flags: dict[str, object], by: str
) -> None:
    applied: list[Config] = []
    running = load(path, environment, flags)
    configuration = configured(path, environment, flags, running=running, apply=applied.append)
    setting = configuration.set("log.level", "debug")
    assert (setting.value, setting.file, setting.by, setting.restart) == ("error", "debug", by, False)
    configuration.take_effect()
    assert applied == []
    assert load(path, {}, {}).log_level == "debug"


def test_what_applies_at_once_does_and_the_rest_waits_for_a_restart(path: Path) -> None:
    applied: list[Config] = []
    configuration = configured(path, running=Config(), apply=applied.append)
    for key, value, waits in (("log.level", "debug", False), ("lan", False, True), ("mailbox.ttl_hours", 9, False)):
        setting = configuration.set(key, value)
        configuration.take_effect()
        assert (setting.applies, setting.restart) == ("restart" if waits else "at once", waits)
        assert one(configuration, key).restart is waits
    assert applied == [Config(log_level="debug"), Config(log_level="debug", mailbox_ttl_hours=9)]
    assert configuration.set("lan", "on").restart is False  # as it runs
    assert configured(path).set("lan", "off").restart is False  # nothing runs


def test_a_file_that_was_changed_by_hand_is_read_anew(path: Path) -> None:
    configuration = written(path)
    path.write_text(MINE + "[relay]\nuse = false\n")
    assert one(configuration, "relay.use").value is False
    path.write_text(MINE + "\n[relai]\nuse = false\n")
    for ask in (lambda: configuration.get("lan"), lambda: configuration.set("lan", False)):
        with pytest.raises(UsageError, match=r"default\.toml, line 8: unknown key 'relai\.use'"):
            ask()
    path.write_text("\nlan = }\n")
    with pytest.raises(UsageError, match=r"not valid TOML: .*line 2, column 7"):
        configuration.set("lan", False)
    assert path.read_text() == "\nlan = }\n"


@pytest.mark.parametrize("text", ["log_level = 'loud'\n", "[log]\nlevel = 7 # x\n"])
def test_a_wrong_value_in_the_file_can_be_put_right(path: Path, text: str) -> None:
    assert written(path, text).set("log.level", "info").value == "info"
    assert load(path, {}, {}) == Config()


@pytest.mark.parametrize(
    ("text", "key", "value", "after"),
    [
        ("log_level = 'error'\n", "log.level", "info", 'log_level = "info"\n'),
        ("log_level = 'error'\n", "log.level", None, ""),
        ("bootstrap = []\n", "bootstrap.announce", True, "bootstrap.nodes = []\nbootstrap.announce = true\n"),
        ("bootstrap = [] # x\n", "bootstrap", NODE, f'bootstrap = ["{NODE}"] # x\n'),
        ("[bootstrap]\nannounce = true\n", "bootstrap", NODE, f'[bootstrap]\nannounce = true\nnodes = ["{NODE}"]\n'),
        ("bootstrap = []\n", "bootstrap.nodes", None, ""),
    ],
)
def test_what_stands_under_an_earlier_name_stays_there(
    path: Path, text: str, key: str, value: Given, after: str
) -> None:
    written(path, text).set(key, value)
    assert path.read_text() == after


def test_a_setting_under_two_names_is_refused(path: Path) -> None:
    text = "log_level = 'info'\n[log]\nlevel = 'info'\n"
    with pytest.raises(UsageError, match=r"line 3: log\.level and log_level are the same"):
        written(path, text).get()
    written(path, text).set("log.level", None)  # takes both out
    assert path.read_text() == "[log]\n"


@pytest.mark.parametrize("value", [5, None])
def test_a_table_in_braces_is_for_its_owner(path: Path, value: Given) -> None:
    text = "# x\nmailbox = { ttl_hours = 7 }\n"
    configuration = written(path, text)
    with pytest.raises(UsageError, match=r"line 2: mailbox\.ttl_hours stands there in a form .* by hand"):
        configuration.set("mailbox.ttl_hours", value)
    assert path.read_text() == text
    assert one(configuration, "mailbox.ttl_hours").value == 7


def test_a_secret_is_shown_to_nobody_and_closed_to_others(path: Path) -> None:
    configuration = written(path)
    path.chmod(0o644)
    setting = configuration.set("net.proxy", SECRET)
    assert setting.value == setting.file == "socks5://***@127.0.0.1:9050"
    assert path.stat().st_mode & 0o777 == 0o600
    assert load(path, {}, {}).proxy == SECRET
    assert "canary" not in f"{configuration.get()} {one(configuration, 'net.proxy').value}"
    path.write_text("[net]\nproxy = 'me:can@ry@x'\n")  # by hand, and wrong
    assert one(configuration, "net.proxy").value == "***@x"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_the_file_keeps_its_rights_and_a_new_one_is_its_owners(path: Path, mode: int) -> None:
    configured(path).set("lan", False)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(mode)
    configured(path).set("lan", True)
    assert path.stat().st_mode & 0o777 == mode


def test_a_link_stays_one(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(tmp_path / "dotfiles.toml")
    configured(path).set("lan", False)
    (tmp_path / "dotfiles.toml").chmod(0o644)
    configured(path).set("lan", True)
    assert path.is_symlink()
    assert (tmp_path / "dotfiles.toml").read_text() == "lan = true\n"
    assert (tmp_path / "dotfiles.toml").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("call", ["fsync", "fchmod"])
@pytest.mark.parametrize(("code", "kind"), [(28, DiskFull), (5, StoreError)])
def test_a_disk_that_refuses_leaves_what_was(
    path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, kind: type[StoreError]
) -> None:
    configuration = written(path)

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(kind, match="configuration file"):
        configuration.set("lan", False)
    assert path.read_text() == MINE
    assert list(path.parent.iterdir()) == [path]


def test_it_is_on_the_disk_before_it_is_in_its_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path)
    steps: list[str] = []
    sync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        steps.append("fsync")
        sync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        steps.append("rename")
        assert self.read_text() == MINE.replace("true", "false")
        assert path.read_text() == MINE
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    config_file.unfinished(path).write_text("what a killed one has left")
    configured(path).set("lan", False)
    assert steps == ["fsync", "rename", "fsync"]


def test_what_no_backup_could_hold_is_not_written(path: Path) -> None:
    configuration = written(path, MINE + "# " + "x" * (SETTINGS_BYTES - len(MINE) - 3) + "\n")
    with pytest.raises(UsageError) as caught:
        configuration.set("mailbox.ttl_hours", 5)
    assert caught.value.error_name == "TOO_LARGE"


def test_a_simulated_node_has_no_file() -> None:
    configuration = Configuration(None, {}, {})
    assert [each.source for each in configuration.get().settings] == ["default"] * len(KEYS)
    with pytest.raises(UsageError) as caught:
        configuration.set("lan", False)
    assert caught.value.error_name == "FORBIDDEN"


def test_every_default_could_be_written(path: Path) -> None:
    configuration = configured(path)
    for each in configuration.get().settings:
        if each.default is not None:
            assert configuration.set(each.key, each.default).value == each.default
    assert load(path, {}, {}) == Config()
    assert set(tomllib.loads(path.read_text())) == {
        "listen",
        "bootstrap",
        "lan",
        "net",
        "nat",
        "relay",
        "mailbox",
        "log",
    }
