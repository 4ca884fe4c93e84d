"""``p2pchat stats``."""

from __future__ import annotations

from tests.fake_api import Served
from tests.unit.cli.conftest import Cli


def test_what_was_never_refused_is_left_out_of_the_table(cli: Cli, node: Served) -> None:
    shown = cli("stats").out
    rows = dict(line.split("  ", 1) for line in shown.splitlines())
    assert {name: value.strip() for name, value in rows.items()} == {
        "running for": "1 h 1 min",
        "peers": "7",
        "connections inbound": "4",
        "connections outbound": "3",
        "connections relayed": "1",
        "handshakes under way": "2",
        "streams /p2pchat/msg/1": "5",
        "messages not delivered": "9",
        "records kept for others": "1234",
        "boxes held for others": "3, 40 KiB",
        "strangers' unfinished frames": "0 bytes",
        "tasks": "61",
        "memory": "58.2 MiB",
        "database": "4.8 MiB, log 32 bytes",
        "commits": "77, 1 failed",
        "a commit takes": "p50 0.4 ms, p99 2.5 ms, max 31.0 ms",
        "refused stream.excessive": "12",
    }


def test_json_has_all_of_it(cli: Cli, node: Served) -> None:
    (printed,) = cli("stats", "--json").lines
    assert printed["refusals"] == {"connection.crowded": 0, "stream.excessive": 12}
    assert printed["connections"] == {"inbound": 4, "outbound": 3, "relayed": 1}


def test_a_system_that_does_not_tell_of_memory_is_no_error(cli: Cli, node: Served) -> None:
    node.api.rss_bytes = None
    assert any(line.split() == ["memory", "–"] for line in cli("stats").out.splitlines())
