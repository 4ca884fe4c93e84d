"""``contacts export``: what comes out goes in again."""

from __future__ import annotations

import stat
from pathlib import Path

from p2pchat.cli.addressbook.entry import Entry
from p2pchat.cli.addressbook.read import read_book
from tests.fake_api import Served
from tests.unit.cli.conftest import Cli

NAMES = ["Bob", "Kim; Ltd, \\ Sons", "김영희" * 30, "x" * 100, "N:V\tCARD"]


def test_what_is_exported_is_imported_as_it_was(cli: Cli, node: Served, tmp_path: Path) -> None:
    people = [(name, f"+8210123456{n:02d}") for n, name in enumerate(NAMES)]
    for name, number in people:
        node.api.contact(name, number)
    file = tmp_path / "book.vcf"
    outcome = cli("contacts", "export", str(file))
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err.endswith("\n5 contacts\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    data = file.read_bytes()
    assert max(map(len, data.split(b"\r\n"))) <= 75
    read = [(each.name, each.number) for each in read_book(data) if isinstance(each, Entry)]
    assert read == [(name.replace("\t", " "), number) for name, number in people]
    assert cli("contacts", "export").out.encode() == data
    assert cli("contacts", "export", str(file)).status == 73
    assert file.read_bytes() == data


def test_oneself_is_left_out_and_who_has_no_number_is_not(cli: Cli, node: Served) -> None:
    node.api.contact("Invited")
    node.api.contact("Me").self_ = True
    out = cli("-q", "contacts", "export")
    assert out.out.split("\r\n") == ["BEGIN:VCARD", "VERSION:3.0", "N:Invited;;;;", "FN:Invited", "END:VCARD", ""]
    assert out.err == ""
