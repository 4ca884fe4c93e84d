"""Configuration: defaults < file < environment < flags, and a mistake is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.cli.sandbox import ALONE
from p2pchat.services.config import Config, load


def test_each_source_overrides_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    assert load(path, {}, {}) == Config()
    path.write_text('listen = ["/ip4/0.0.0.0/tcp/1"]\nlog_level = "error"\nlog_format = "json"\n')
    environment = {"P2PCHAT_LOG_LEVEL": "warning", "P2PCHAT_BOOTSTRAP": "a b"}
    config = load(path, environment, {"log_level": "debug", "listen": (), "bootstrap": ()})
    assert config == Config(("/ip4/0.0.0.0/tcp/1",), ("a", "b"), "debug", "json")


def test_a_table_of_the_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[mailbox]\nttl_hours = 336\n")
    assert load(path, {}, {}) == Config(mailbox_ttl_hours=336)


@pytest.mark.parametrize("kind", ["a pipe", "endless", "a folder", "a circle"])
def test_what_cannot_be_read_to_its_end_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "c.toml"
    match kind:
        case "a pipe":
            os.mkfifo(path)
        case "endless":
            path.symlink_to("/dev/zero")
        case "a folder":
            path.mkdir()
        case _:
            path.symlink_to(path)
    with pytest.raises(UsageError) as refused:
        load(path, {}, {})
    assert str(path) in refused.value.message


def test_a_file_that_is_linked_away_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.symlink_to("/dev/null")
    assert load(path, {}, {}) == Config()


@pytest.mark.parametrize(
    "text", ['bootstrap = ["a", "b"]', '[bootstrap]\nnodes = ["a", "b"]'], ids=["as a list", "as a table"]
)
def test_the_nodes_to_start_from_are_a_list_or_stand_in_a_table(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    assert load(path, {}, {}) == Config(bootstrap=("a", "b"))


def test_the_public_dht_is_looked_at_and_not_announced_in_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    config = load(path, {}, {})
    assert (config.public_dht, config.announce, config.public_entry) == (True, False, ("/dnsaddr/bootstrap.libp2p.io",))
    path.write_text('[bootstrap]\npublic_dht = false\nannounce = "on"\npublic_entry = ["x"]\n')
    config = load(path, {}, {})
    assert (config.public_dht, config.announce, config.public_entry) == (False, True, ("x",))
    assert not load(tmp_path / "none", {"P2PCHAT_PUBLIC_DHT": "off"}, {}).public_dht
    assert load(tmp_path / "none", ALONE, {}) == Config(lan=False, public_dht=False, mapping=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('listn = ["x"]', "listen"),
        ('log_level = "loud"', "debug, info, warning, error"),
        ('listen = "x"', "list of texts"),
        ("listen = [1]", "list of texts"),
        ("listen = [", "TOML"),
        ("log_level = 3", "one of"),
        ("[mailbox]\nttl_hours = 0", "mailbox.ttl_hours is a whole number from 1 to 336"),
        ("[mailbox]\nttl_hours = 337", "1 to 336"),
        ("[mailbox]\nttl_hours = true", "1 to 336"),
        ("[mailbox]\nttl_hors = 1", "Did you mean mailbox.ttl_hours?"),
        ("mailbox_ttl_hours = 1", "unknown key"),
        ("[bootstrap]\nnode = ['x']", "Did you mean bootstrap"),
        ("[bootstrap]\nnodez = ['x']", "Did you mean bootstrap.nodes?"),
        ("[bootstrap]\nnodes = 'x'", "bootstrap.nodes is a list of texts"),
        ("[bootstrap]\npublic_dht = 'yes'", "bootstrap.public_dht is on or off"),
        ("[bootstrap]\npublic_dht = 1", "bootstrap.public_dht is on or off"),
        ("lan = 0", "lan is on or off"),
        ("[bootstrap]\npublic_entry = [1]", "bootstrap.public_entry is a list of texts"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        load(path, {}, {})


def test_a_mistake_in_the_environment_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="The environment"):
        load(tmp_path / "none", {"P2PCHAT_LOG_FORMAT": "xml"}, {})


OPEN_PROXY, SECRET_PROXY = "socks5://127.0.0.1:9050", "socks5://me:canary@127.0.0.1:9050"


@pytest.mark.parametrize(("mode", "is_taken"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False)])
def test_a_proxys_password_stands_where_nobody_else_reads_it(tmp_path: Path, mode: int, is_taken: bool) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f'[net]\nproxy = "{SECRET_PROXY}"\n')
    path.chmod(mode)
    if is_taken:
        assert load(path, {}, {}).proxy == SECRET_PROXY
        assert "canary" not in repr(load(path, {}, {}))
        return
    with pytest.raises(UsageError, match="chmod 600") as refused:
        load(path, {}, {})
    assert "canary" not in refused.value.message


def test_a_proxy_without_a_password_is_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f'[net]\nproxy = "{OPEN_PROXY}"\n')
    path.chmod(0o644)
    assert load(path, {}, {}).proxy == OPEN_PROXY
    assert load(path, {}, {"net.proxy": "socks5://[::1]:1"}).proxy == "socks5://[::1]:1"
    with pytest.raises(UsageError, match="shown to everybody") as refused:
        load(path, {}, {"net.proxy": SECRET_PROXY})
    assert "canary" not in refused.value.message


def test_whoever_counts_on_a_proxy_does_not_go_without(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    with pytest.raises(UsageError, match=r"net\.proxy is empty"):
        load(path, {}, {"net.proxy": ""})
    for variable in ("P2PCHAT_PROXY", "P2PCHAT_NET_PROXY"):
        with pytest.raises(UsageError, match="not taken from the environment"):
            load(path, {variable: OPEN_PROXY}, {})
    path.write_text('[net]\nproxy = ""\n')
    with pytest.raises(UsageError, match=r"net\.proxy is empty"):
        load(path, {}, {})
