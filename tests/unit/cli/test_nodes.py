"""``net export`` and ``net import``: files, QR codes and links, and which line was wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat.base.errors import UsageError
from p2pchat.core.links import encode_link
from tests.fake_api import Served
from tests.unit.cli.conftest import Cli

ONE, OTHER = encode_link(b"one"), encode_link(b"other")


@pytest.fixture(autouse=True)
def two_links(node: Served) -> None:
    node.api.links = [ONE, OTHER]


def test_what_is_exported_is_one_link_a_line_behind_a_comment(cli: Cli, node: Served, tmp_path: Path) -> None:
    head, *lines = cli("net", "export").out.splitlines()
    assert head.startswith("# p2pchat nodes, 20")
    assert lines == [ONE, OTHER]
    assert node.api.calls == [("net.export", {})]
    file = tmp_path / "nodes.txt"
    outcome = cli("net", "export", "--own", "--lan", "--nodes", "7", str(file))
    assert (outcome.status, outcome.out) == (0, "")
    assert node.api.calls[-1] == ("net.export", {"nodes": 7, "own": True, "lan": True})
    assert file.read_text() == f"{head}\n{ONE}\n{OTHER}\n"
    assert cli("net", "export", str(file)).status == 73
    assert cli("net", "export", "--json").lines == [{"links": [ONE, OTHER]}]


def test_links_are_drawn(cli: Cli, tmp_path: Path) -> None:
    shown = cli("net", "export", "--qr").out
    assert shown.count("█") > 100
    assert [line for line in shown.splitlines() if line.startswith("p2pchat:")] == [ONE, OTHER]
    file = tmp_path / "nodes.txt"
    assert "█" in cli("net", "export", "--qr", str(file)).out
    assert file.read_text().endswith(f"{ONE}\n{OTHER}\n")


def test_nobody_to_tell_of_is_said_and_no_file_made(cli: Cli, node: Served, tmp_path: Path) -> None:
    node.api.links = []
    file = tmp_path / "nodes.txt"
    outcome = cli("net", "export", str(file))
    assert (outcome.status, outcome.out, file.exists()) == (75, "", False)
    assert "--lan" in outcome.err
    assert cli("net", "export", "--nodes", "65").status == 2


def test_a_file_stdin_and_links_are_imported_without_comments_and_blanks(
    cli: Cli, node: Served, tmp_path: Path
) -> None:
    file = tmp_path / "nodes.txt"
    file.write_bytes(f"\ufeff# p2pchat nodes\r\n\r\n  # more\r\n{ONE}\r\n{OTHER}\r\n".encode())
    outcome = cli("net", "import", str(file))
    assert outcome.out == "2 nodes, 1 of them new\n"
    assert "chooses through whom you begin" in outcome.err
    assert node.api.calls == [("net.import", {"links": [ONE, OTHER]})]
    cli("net", "import", "-", f" <{OTHER.upper()}> ", "--idempotency-key", "k", stdin=f"{ONE}\n".encode())
    assert node.api.calls[-1] == ("net.import", {"links": [ONE, f" <{OTHER.upper()}> "], "idempotency_key": "k"})
    assert cli("net", "import", str(file), "--json").lines == [{"nodes": 2, "new": 1}]
    assert cli("-q", "net", "import", str(file)).out == ""


def test_a_line_that_is_none_is_named(cli: Cli, node: Served, tmp_path: Path) -> None:
    file = tmp_path / "nodes.txt"
    file.write_text(f"# p2pchat nodes\n{ONE}\n\nhello\n{OTHER}\n")
    why = "links: is no link; one begins with p2pchat:"
    node.api.fail["net.import"] = UsageError(why, data={"param": "links", "index": 1})
    outcome = cli("net", "import", str(file))
    assert outcome.status == 65
    assert "Line 4 is no link; one begins with p2pchat:; nothing was taken." in outcome.err
    assert "hello" not in outcome.err
    node.api.fail["net.import"] = UsageError(why, data={"param": "links"})
    assert "links: is no link" in cli("net", "import", str(file)).err


@pytest.mark.parametrize(
    ("data", "status"), [(b"", 65), (b"# nothing\n\n", 65), (b"x\n" * 65, 65), (b"x" * 300_000, 74)]
)
def test_what_is_no_list_is_not_asked_about(cli: Cli, node: Served, tmp_path: Path, data: bytes, status: int) -> None:
    file = tmp_path / "nodes.txt"
    file.write_bytes(data)
    outcome = cli("net", "import", str(file))
    assert (outcome.status, outcome.out, node.api.calls) == (status, "", [])
    assert cli("net", "import", str(tmp_path / "none.txt")).status == 65
    assert cli("net", "import", str(tmp_path)).status == 65
    assert cli("net", "import").status == 2
