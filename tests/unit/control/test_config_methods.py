"""``config.*`` of a node that is locked; what the unlocked one adds is in tests/e2e/test_config.py."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio

from p2pchat.api.settings import Config as Shown
from p2pchat.api.settings import ConfigGet, ConfigSet
from p2pchat.base.errors import UsageError
from p2pchat.control.channel import Channel, Connection
from p2pchat.control.config_methods import ConfigMethods
from p2pchat.services import config
from p2pchat.services.config import Config, load
from p2pchat.services.configure import Configuration

CONNECTION = Connection(Channel.__new__(Channel))  # these methods do nothing with it


async def test_what_many_set_at_the_same_time_is_all_set(tmp_path: Path) -> None:
    path, applied = tmp_path / "c.toml", list[Config]()
    methods = ConfigMethods(Configuration(path, {}, {}, running=Config(), apply=applied.append), None)
    given: dict[str, bool | int | str] = {
        "lan": False,
        "bootstrap.announce": True,
        "nat.mapping": False,
        "relay.use": False,
        "relay.offer": "on",
        "net.mode": "contacts",
        "mailbox.ttl_hours": 9,
        "log.level": "error",
        "log.format": "json",
    }

    async def set_(key: str, value: bool | int | str) -> None:
        await methods.set(ConfigSet(key=key, value=value), CONNECTION)

    async with trio.open_nursery() as nursery:
        for key, value in given.items():
            nursery.start_soon(set_, key, value)
    shown = await methods.get(ConfigGet(), CONNECTION)
    assert isinstance(shown, Shown)
    assert {each.key: each.value for each in shown.settings if each.source == "file"} == given
    assert len(applied) == 3
    assert (applied[-1].log_level, applied[-1].log_format, applied[-1].mailbox_ttl_hours) == ("error", "json", 9)
    assert load(path, {}, {}).mode == "contacts"


async def test_a_key_that_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    methods = ConfigMethods(Configuration(path, {}, {}, running=Config()), None)
    with pytest.raises(UsageError, match="p2pchat unlock") as refused:
        await methods.set(ConfigSet(key="lan", value=False, idempotency_key="k"), CONNECTION)
    assert refused.value.error_name == "LOCKED"
    assert not path.exists()


async def test_whoever_leaves_meanwhile_has_set_it_all_the_same(tmp_path: Path) -> None:
    """The file and what is in force never differ."""
    path, applied = tmp_path / "c.toml", list[Config]()
    configuration = Configuration(path, {}, {}, running=Config(), apply=applied.append)
    slow = trio.CancelScope()
    write = configuration.set

    def cut_off(key: str, value: object) -> object:
        trio.from_thread.run_sync(slow.cancel)
        return write(key, value)  # type: ignore[arg-type]

    configuration.set = cut_off  # type: ignore[method-assign, assignment]
    with slow:
        await ConfigMethods(configuration, None).set(ConfigSet(key="log.level", value="debug"), CONNECTION)
    assert load(path, {}, {}).log_level == "debug"
    assert [each.log_level for each in applied] == ["debug"]


async def test_the_file_is_read_beside_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home on a disk that hangs must not keep everybody waiting."""
    loop, read_in = threading.get_ident(), list[int]()

    def read(_: Path) -> str:
        read_in.append(threading.get_ident())
        return ""

    monkeypatch.setattr(config, "read", read)
    await ConfigMethods(Configuration(tmp_path / "c.toml", {}, {}), None).get(ConfigGet(), CONNECTION)
    assert read_in
    assert loop not in read_in
