"""The table of settings against what it is the table of, and docs/OPERATIONS.md against it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from p2pchat.cli.node import daemon
from p2pchat.services.config import Config
from p2pchat.services.config_keys import KEYS, Key, nearest
from p2pchat.services.toml_lines import literal

DOCUMENT = Path(__file__).parents[3] / "docs" / "OPERATIONS.md"


def test_every_field_has_one_key() -> None:
    assert sorted(key.field for key in KEYS) == sorted(field.name for field in fields(Config))
    names = [name for key in KEYS for name in key.names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_what_is_delivered_is_what_the_key_takes(key: Key) -> None:
    value = Config().value(key)
    assert key.fitted(value) == value or value == ""
    assert key.fitted(None) is None
    assert key.doc.endswith(".")


def test_every_flag_is_one_of_the_command() -> None:
    assert {key.flag for key in KEYS} - {""} <= {name for option in daemon.params for name in option.opts}


@pytest.mark.parametrize(
    ("wrong", "right"), [("lang", "lan"), ("proxy", "net.proxy"), ("log.lvel", "log.level"), ("zzz", None)]
)
def test_the_nearest_name_is_found(wrong: str, right: str | None) -> None:
    assert nearest(wrong) == right


def rows() -> list[list[str]]:
    table = DOCUMENT.read_text(encoding="utf-8").partition("\n| key | ")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_the_documentation_has_every_key_in_its_order() -> None:
    assert [re.findall(r"`([^`]+)`", row[0])[0] for row in rows()] == [key.name for key in KEYS]
    assert [re.findall(r"`([^`]+)`", row[0])[1:] for row in rows()] == [list(key.earlier) for key in KEYS]


@pytest.mark.parametrize(("key", "row"), list(zip(KEYS, rows(), strict=True)), ids=[key.name for key in KEYS])
def test_the_documentation_says_of_a_key_what_is_so(key: Key, row: list[str]) -> None:
    _, sources, delivered, applies, does = row
    assert re.findall(r"`(P2PCHAT_[A-Z_]+|--[a-z-]+)`", sources.partition(";")[0]) == list(
        filter(None, (key.environment, key.flag))
    )
    assert applies == ("at once" if key.at_once else "restart")
    default = Config().value(key)
    if key.kind == "switch":
        assert delivered == ("on" if default else "off")
    elif default:
        assert delivered.strip("`") == (literal(default) if isinstance(default, tuple) else str(default))
    bounds = [str(key.numbers[0]), str(key.numbers[-1])] if key.numbers else key.words
    assert all(re.search(rf"\b{word}\b", does) for word in bounds)
