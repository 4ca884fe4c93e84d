"""What applies at once, in a daemon that runs: in the logs, and in the half that a key has opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import structlog
import trio

from p2pchat.api.paths import ProfilePaths
from p2pchat.control.dispatch import Methods
from p2pchat.daemon import node
from p2pchat.daemon.unlocked import Unlocked
from p2pchat.services.config import Config
from p2pchat.services.context import Context


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


class Half:
    """Of a context what is set there."""

    box_ttl_s = 0


async def test_for_how_long_boxes_are_left_changes_now_and_after_the_next_unlocking(tmp_path: Path) -> None:
    paths = ProfilePaths("default", {"P2PCHAT_HOME": str(tmp_path)})
    config = Config(mailbox_ttl_hours=5)
    start = node.Start(paths, tmp_path / "socket", node.parse(config), config)
    async with trio.open_nursery() as nursery:
        one = node.Node(start, nursery)
        half = Half()
        one._half = Unlocked(cast("Context", half), cast("Methods", None))
        one.configuration.set("mailbox.ttl_hours", 7)
        one.configuration.take_effect()
    assert half.box_ttl_s == 7 * 3600
    assert one._start.settings == node.parse(Config(mailbox_ttl_hours=7))


async def test_the_level_of_the_log_changes_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = ProfilePaths("default", {"P2PCHAT_HOME": str(tmp_path)})
    config = Config(log_level="error", log_format="json")
    log = structlog.get_logger()
    async with trio.open_nursery() as nursery:
        one = node.Node(node.Start(paths, tmp_path / "socket", node.parse(config), config), nursery)
        one.configuration.set("log.level", "debug")
        one.configuration.take_effect()
    log.debug("now")
    assert '"now"' in capsys.readouterr().err
