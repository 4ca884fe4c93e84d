"""One value of a TOML file is changed, and every other byte stays."""

from __future__ import annotations

import tomllib
from typing import Final

import pytest

from p2pchat.services.toml_lines import TomlLines, literal

WRITTEN: Final = """\
# mine
lan = true   # at home
listen = [
  "/ip4/0.0.0.0/tcp/1", # the "first" ]
  '/ip4/0.0.0.0/tcp/2',
]

# who holds
[mailbox]
ttl_hours = 5 # five
# the end of it

[ "log" ] # [not this]
"level" = \"\"\"debug\"\"\"
format= 'json'
"""


@pytest.mark.parametrize(
    ("name", "value", "old", "new"),
    [
        ("lan", False, "lan = true   # at home", "lan = false   # at home"),
        ("mailbox.ttl_hours", 336, "ttl_hours = 5 # five", "ttl_hours = 336 # five"),
        ("log.level", "info", '"level" = """debug"""', '"level" = "info"'),
        ("log.format", "text", "format= 'json'", 'format= "text"'),
        ("log.more", "x", "format= 'json'\n", "format= 'json'\nmore = \"x\"\n"),
        ("mailbox.other", 1, "# five\n", "# five\nother = 1\n"),
        ("top", 1, "]\n\n# who", "]\ntop = 1\n\n# who"),
        ("net.mode", "lan", "format= 'json'\n", "format= 'json'\n\n[net]\nmode = \"lan\"\n"),
    ],
)
def test_a_value_is_put_where_it_belongs_and_nothing_else_changes(
    name: str, value: bool | int | str, old: str, new: str
) -> None:
    assert WRITTEN.count(old) == 1
    assert TomlLines(WRITTEN).put((name,), literal(value)) == WRITTEN.replace(old, new)


def test_a_list_of_several_lines_is_replaced_whole() -> None:
    begin, end = WRITTEN.index("listen"), WRITTEN.index("]\n\n#") + 1
    assert TomlLines(WRITTEN).put(("listen",), literal(["a"])) == WRITTEN[:begin] + 'listen = ["a"]' + WRITTEN[end:]
    assert TomlLines(WRITTEN).take_out(("listen",)) == WRITTEN[:begin] + WRITTEN[end + 1 :]


@pytest.mark.parametrize(
    ("text", "name", "after"),
    [
        ("", "lan", "lan = true\n"),
        ("", "a.b", "[a]\nb = true\n"),
        ("x = 1", "lan", "x = 1\nlan = true\n"),
        ("x = 1", "a.b", "x = 1\n\n[a]\nb = true\n"),
        ("# mine\n\n# of a\n[a]\n", "lan", "# mine\n\nlan = true\n\n# of a\n[a]\n"),
        ("# mine\n# of a\n[a]", "lan", "lan = true\n\n# mine\n# of a\n[a]"),
        ("# mine\n", "lan", "# mine\nlan = true\n"),
        ("[a]", "a.b", "[a]\nb = true\n"),
        ("[a]\n\n[c]\n", "a.b", "[a]\nb = true\n\n[c]\n"),
        ("a.c = 1\n[d]\n", "a.b", "a.c = 1\na.b = true\n[d]\n"),
        ("[a]\r\nc = 1\r\n", "a.b", "[a]\r\nc = 1\r\nb = true\r\n"),
        ("a.b = 1 # x\n", "a.b", "a.b = true # x\n"),
        ("[a]\nb = ''\n", "a.b", "[a]\nb = true\n"),
        ('[a]\nb = ["#", """x\n]""""]\nc = 1', "a.b", "[a]\nb = true\nc = 1"),
    ],
)
def test_where_a_value_goes(text: str, name: str, after: str) -> None:
    assert TomlLines(text).put((name,), literal(True)) == after
    tomllib.loads(after)


def test_a_line_is_named_from_1() -> None:
    lines = TomlLines(WRITTEN)
    named = {name: lines.line_of(name) for name in ("lan", "listen", "mailbox.ttl_hours", "log.level", "log", "no")}
    assert named == {"lan": 2, "listen": 3, "mailbox.ttl_hours": 10, "log.level": 14, "log": 13, "no": None}
    assert TomlLines("\na = { b = 1 }").line_of("a.b") == 2


def test_a_name_is_changed_at_its_place() -> None:
    assert TomlLines("# x\na = [1] # y\n").rename("a", "a.n") == "# x\na.n = [1] # y\n"
